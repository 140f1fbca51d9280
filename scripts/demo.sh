#!/usr/bin/env bash
# Makes a virtual environment, installs polypstream and runs it on the sample clip. Nothing has to be set up before.
#   bash scripts/demo.sh
# PYTHON names the Python to take, POLYPSTREAM_VENV the folder of the environment (default: .venv in the project).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Installed in place, so that changes of the sources count at once.
install_project() { pip_install --no-build-isolation --editable .; }

set_up "${POLYPSTREAM_VENV:-$root/.venv}" "about 200 MB"

if ! findings=$("$bin/polypstream" doctor 2>&1); then
    printf '%s\n' "$findings"
    fail "something is missing; the remedy stands under each finding above"
fi

say "Looking for polyps in examples/colon.mp4"
results=$root/runs/demo
mkdir -p "$results"
"$bin/polypstream" detect "$root/examples/colon.mp4" \
    --output "$results/colon.annotated.mp4" --events "$results/colon.events.jsonl" --overwrite

say "Done. Research software, not a medical device."
cat <<END
Annotated video:           $results/colon.annotated.mp4
Detections of each frame:  $results/colon.events.jsonl
On a video of your own:    "$bin/polypstream" detect exam.mp4 --output annotated.mp4 --events events.jsonl
END
