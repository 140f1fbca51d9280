#!/usr/bin/env bash
# Runs the Python of the environment that scripts/test.sh makes, or of the one that is active:
#   bash scripts/in_environment.sh -m ruff check .
# The hooks of .pre-commit-config.yaml call it, so that they use the pinned versions and fetch nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for folder in "${POLYPSTREAM_VENV:-}" "${VIRTUAL_ENV:-}" "$root/.venv-test"; do
    [ -n "$folder" ] || continue
    for python in "$folder/bin/python" "$folder/Scripts/python.exe"; do
        [ ! -x "$python" ] || exec "$python" "$@"
    done
done
echo "No environment for development was found. Make it first: bash scripts/test.sh" >&2
exit 1
