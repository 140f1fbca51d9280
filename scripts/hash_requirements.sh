#!/usr/bin/env bash
# Writes requirements.txt anew: what detection and the live page need, for every system and Python, with the pins of
# constraints.txt and the hashes of all their files, for `pip install --require-hashes`. To be run after a pin changed.
#   bash scripts/hash_requirements.sh           needs uv (`pip install uv`) and the network
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v uv >/dev/null || {
    echo "uv is missing; install it with: pip install uv" >&2
    exit 2
}
build=$(mktemp)
trap 'rm -f "$build"' EXIT
# What `pip install --no-build-isolation` builds the project with.
echo setuptools >"$build"
uv pip compile setup.py "$build" --extra serve --constraint constraints.txt --universal --python-version 3.10 \
    --generate-hashes --no-header --no-annotate --quiet --output-file requirements.txt
echo "requirements.txt: $(grep -c '==' requirements.txt) packages"
