#!/usr/bin/env bash
# Tries the newest versions of everything: makes a virtual environment anew, without constraints.txt, runs the fast tests
# in it, and prints which versions differ from constraints.txt. CI does not run it: releases of others would fail it.
#   bash scripts/newest.sh                      the newest versions that setup.py allows
#   bash scripts/newest.sh av numpy             the newest of these, also beyond the upper bounds in setup.py
#   bash scripts/newest.sh -- tests/stream      arguments of pytest
# On Linux, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu spares gigabytes of CUDA.
# PYTHON names the Python to take, POLYPSTREAM_VENV the folder of the environment (default: .venv-newest).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

beyond=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    beyond+=("$1")
    shift
done
[ $# -eq 0 ] || shift

# Takes the place of the one in common.sh, which keeps to constraints.txt.
pip_install() {
    "$bin/python" -m pip --disable-pip-version-check install --no-compile --upgrade "$@" ||
        fail "pip failed; its message stands above"
}

install_project() {
    pip_install --no-build-isolation --editable ".[test,docs,serve,train,search,tensorboard]"
    # By themselves, so that the bounds of the project do not count; pip then says which of them were passed.
    [ ${#beyond[@]} -eq 0 ] || pip_install "${beyond[@]}"
}

venv=${POLYPSTREAM_VENV:-$root/.venv-newest}
[ ! -f "$venv/polypstream-setup" ] || : >"$venv/polypstream-setup" # an earlier one is made anew
set_up "$venv" "about 600 MB, or gigabytes where torch comes with CUDA"

say "Versions that differ from constraints.txt"
cd "$root"
"$bin/python" - <<'END'
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pinned = {}
for line in Path("constraints.txt").read_text(encoding="utf-8").splitlines():
    if line.strip() and not line.startswith("#"):
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate():
            pinned[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
found = {canonicalize_name(one.name): one.version.partition("+")[0] for one in distributions()}
rows = [(name, pinned.get(name, "-"), found[name]) for name in sorted(found.keys() - {"pip", "polypstream"})]
different = [row for row in rows if row[1] != row[2]]
for name, tested, newest in [("package", "pinned", "newest"), *different] if different else [("none", "", "")]:
    print(f"{name:32} {tested:20} {newest}".rstrip())
END

say "pytest"
"$bin/python" -m pytest -m "not slow and not long and not gpu" "$@"
