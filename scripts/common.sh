# Set-up that demo.sh and test.sh share: a Python that fits, a virtual environment, an installation that is left out
# when nothing changed. To be sourced; sets `root` (the project) and, once set up, `bin` (programs of the environment).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=

say() { printf '\n== %s\n' "$*"; }

fail() {
    printf '\npolypstream cannot be set up: %s\n' "$*" >&2
    exit 1
}

# Prints the first Python 3.10 to 3.13 that can make virtual environments. PYTHON names the one to take instead.
find_python() {
    local candidates=(python3 python3.13 python3.12 python3.11 python3.10 python)
    local candidate version without_venv='' others=''
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        # A name on the path may still not run: version managers and Windows put such stubs there.
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        case $version in
            3.10 | 3.11 | 3.12 | 3.13) ;;
            *) others="$others$candidate is $version, "; continue ;;
        esac
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
        without_venv=${without_venv:-$version}
    done
    if [ -n "$without_venv" ]; then
        fail "Python $without_venv lacks its venv module; install it with: sudo apt install python$without_venv-venv"
    fi
    fail "Python 3.10, 3.11, 3.12 or 3.13 was not found (looked for ${candidates[*]}; ${others}nothing else)." \
        "Debian and Ubuntu: sudo apt install python3 python3-venv. Mac: brew install python@3.12." \
        "Or name one: PYTHON=/path/to/python3.12 bash ..."
}

# set_up FOLDER DOWNLOAD: makes a virtual environment in FOLDER and calls `install_project` of the caller in the
# project's root. DOWNLOAD says how much that fetches.
set_up() {
    local download=$2 python wanted venv stamp
    mkdir -p "$(dirname "$1")"
    venv=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
    stamp=$venv/polypstream-setup
    python=$(find_python)
    wanted="$("$python" -V) $root $(grep '^__version__' "$root/polypstream/__init__.py") $(
        cat "$root"/{setup.py,pyproject.toml,constraints.txt,scripts/common.sh} "$0" | cksum
    )"
    bin=$venv/bin
    [ ! -d "$venv/Scripts" ] || bin=$venv/Scripts
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$bin/python" -c '' 2>/dev/null; then
        return
    fi
    if [ -e "$venv" ] && [ ! -f "$stamp" ]; then
        fail "$venv was not made by this script; move it away, or name another folder: POLYPSTREAM_VENV=... bash ..."
    fi
    say "Making a virtual environment with $("$python" -V) in $venv"
    rm -rf "$venv"
    mkdir "$venv"
    : >"$stamp" # ours from now on, even if what follows is interrupted
    "$python" -m venv "$venv" || fail "$python -m venv failed; its message stands above"
    [ ! -d "$venv/Scripts" ] || bin=$venv/Scripts
    say "Installing (fetches $download; later runs skip this)"
    cd "$root"
    pip_install setuptools
    install_project
    printf '%s\n' "$wanted" >"$stamp"
}

pip_install() {
    # Compiling what is never imported would be a third of the work.
    "$bin/python" -m pip --disable-pip-version-check install --no-compile --constraint "$root/constraints.txt" "$@" ||
        fail "pip failed; its message stands above. Check the network (HTTPS_PROXY behind a proxy), then run this again"
}
