#!/usr/bin/env bash
# Makes a virtual environment for development, then runs ruff, mypy and the tests. Arguments go to pytest:
#   bash scripts/test.sh                        the fast tests
#   bash scripts/test.sh -m "not long and not gpu"     these and the slow ones, as CI runs them (.ci/run)
#   bash scripts/test.sh -m long                those that CI leaves out
#   bash scripts/test.sh tests/engine/windows/test_grid.py     one file
# Tests that need a program of the system are left out where it is missing. On Debian this brings the RTSP server:
#   apt install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good
# PYTHON names the Python to take, POLYPSTREAM_VENV the folder of the environment (default: .venv-test in the project).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

install_project() {
    local extras=test,docs,serve,train,search,tensorboard
    if ! install_torch; then
        say "torch could not be had for this Python: the tests of training and mypy are left out." \
            "Try PYTHON=... with another Python."
        extras=test,docs,serve
    fi
    pip_install --no-build-isolation --editable ".[$extras]"
    install_tensorrt_rtx
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

set_up "${POLYPSTREAM_VENV:-$root/.venv-test}" "about 600 MB"
cd "$root"
status=0
# Tests start many Pythons, each of which would otherwise compile anew what it imports.
unset PYTHONDONTWRITEBYTECODE
say "ruff"
"$bin/python" -m ruff check . || status=1
say "mypy --strict"
if "$bin/python" -c 'import torch' 2>/dev/null; then
    "$bin/python" -m mypy --strict polypstream stream engine train calibration tests benchmarks || status=1
else
    echo "left out: it needs torch"
fi
say "pytest"
"$bin/python" -m pytest -m "not slow and not long and not gpu" "$@" || status=$?
[ "$status" = 0 ] || echo "Faults were found by ruff, mypy or pytest; they stand above."
exit "$status"
