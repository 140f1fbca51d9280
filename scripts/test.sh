#!/usr/bin/env bash
# Makes a virtual environment for development, then runs ruff, mypy and the tests. Arguments go to pytest:
#   bash scripts/test.sh                        the fast tests
#   bash scripts/test.sh -m "not long and not gpu"     these and the slow ones, as CI runs them (.ci/run)
#   bash scripts/test.sh -m long                those that CI leaves out
#   bash scripts/test.sh tests/engine/windows/test_grid.py     one file
# Tests that need a program of the system (an RTSP server, browsers, OpenSSL, FFmpeg) are left out where it is missing. An
# administrator of Debian or Ubuntu, as in a container, gets them installed; all others are told the command.
# Tests run in as many processes as there are cores, at most in four; `-n 0` runs them in one, for a debugger.
# PYTHON names the Python to take, POLYPSTREAM_VENV the folder of the environment (default: .venv-test in the project).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# beside FUNCTION calls it in the background; joined FUNCTION waits for its end, prints what it said, gives its status.
said=$(mktemp -d)
trap 'wait; rm -rf "$said"' EXIT # what is being installed is not broken off
beside() {
    "$1" >"$said/$1" 2>&1 &
    echo $! >"$said/$1.process"
}
joined() {
    local status=0
    wait "$(cat "$said/$1.process")" || status=$?
    cat "$said/$1"
    return "$status"
}

install_project() {
    beside install_tensorrt_rtx # nothing else depends on it
    local extras=test,docs,serve,study,pdf,tables,dicom,deidentify,review,cluster,train,search,tensorboard
    if ! install_torch; then
        say "torch could not be had for this Python: the tests of training and mypy are left out." \
            "Try PYTHON=... with another Python."
        extras=test,docs,serve,study,pdf,tables,dicom,deidentify,review,cluster
    fi
    pip_install --no-build-isolation --editable ".[$extras]"
    joined install_tensorrt_rtx
}

# Real servers and a browser for the tests, from the system's own packages. Tests in Firefox run where it is installed.
install_programs() {
    local missing=()
    command -v apt-get >/dev/null || return 0
    [ -e /usr/lib/girepository-1.0/GstRtspServer-1.0.typelib ] ||
        compgen -G "/usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib" >/dev/null ||
        missing+=(gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good)
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v ffmpeg >/dev/null || missing+=(ffmpeg)
    command -v tesseract >/dev/null || missing+=(tesseract-ocr)
    command -v dcmdump >/dev/null || missing+=(dcmtk)
    command -v dciodvfy >/dev/null || missing+=(dicom3tools)
    # An archive. The tests start their own, with their own folder and settings.
    [ -e /usr/sbin/Orthanc ] || missing+=(orthanc orthanc-dicomweb)
    # What lays out reports as PDF.
    ldconfig -p 2>/dev/null | grep -q libpangoft2 || missing+=(libpango-1.0-0 libpangoft2-1.0-0)
    command -v gst-launch-1.0 >/dev/null ||
        missing+=(gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        say "Some tests will be left out. This brings what they need: sudo apt install ${missing[*]}"
        return 0
    fi
    say "Installing ${missing[*]}"
    # Debian starts a service (an archive on open ports) when it is installed, unless this says no.
    local policy=/usr/sbin/policy-rc.d own_policy=""
    if [ ! -e "$policy" ]; then
        own_policy=$policy
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    fi
    # A package that cannot be had (Ubuntu has no chromium of its own) leaves its tests out, and those alone.
    apt-get update -qq || true
    local package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        for package in "${missing[@]}"; do
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
                say "$package could not be had: its tests are left out."
        done
    [ -z "$own_policy" ] || rm -f "$own_policy"
}

# NVIDIA's parser and builder run without a GPU; where there is no wheel of them, their tests are left out.
install_tensorrt_rtx() {
    [ "$(uname -sm)" = "Linux x86_64" ] || return 0
    "$bin/python" -m pip --disable-pip-version-check install --constraint "$root/constraints.txt" tensorrt-rtx-cu13 ||
        say "TensorRT-RTX could not be had: the tests of NVIDIA's builder are left out."
}

# PyPI's torch for Linux brings gigabytes of CUDA along: its CPU build is taken where pip has been told where to find it.
# Elsewhere than on Linux PyPI's torch is the CPU build.
install_torch() {
    local pinned
    pinned=$(grep '^torch==' "$root/constraints.txt")
    local command=("$bin/python" -m pip --disable-pip-version-check install --constraint "$root/constraints.txt")
    [ "$(uname -s)" = Linux ] && "${command[@]}" --no-deps "$pinned+cpu" 2>/dev/null || "${command[@]}" "$pinned"
}

beside install_programs
set_up "${POLYPSTREAM_VENV:-$root/.venv-test}" "about 600 MB"
joined install_programs
cd "$root"
status=0
# Tests start many Pythons, each of which would otherwise compile anew what it imports.
unset PYTHONDONTWRITEBYTECODE
check_types() {
    say "mypy --strict"
    if "$bin/python" -c 'import torch' 2>/dev/null; then
        "$bin/python" -m mypy --strict polypstream stream engine train calibration tests benchmarks
    else
        echo "left out: it needs torch"
    fi
}

say "ruff"
"$bin/python" -m ruff check . || status=1
# Types are checked beside the tests.
beside check_types
say "pytest $*"
# The tests of a file share what they make, so a file stays in one process. The order is that of tests/conftest.py.
# With one process more than cores, browsers that play video beside other tests show frames too late.
processes=$("$bin/python" -c 'import os; print(min(os.cpu_count() or 1, 4))')
"$bin/python" -m pytest --numprocesses "$processes" --dist loadfile --no-loadscope-reorder \
    -m "not slow and not long and not gpu" "$@" || status=$?
joined check_types || status=1
[ "$status" = 0 ] || echo "Faults were found by ruff, mypy or pytest; they stand above."
exit "$status"
