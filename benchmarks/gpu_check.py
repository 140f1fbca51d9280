"""Checks and measures all that needs an NVIDIA GPU: kernels, engine, parity, latency, windows, streams, soak.

    python -m benchmarks.gpu_check [--seconds 500] [--model polyp] [--frames examples/colon.mp4] [--only STAGE ...]

Every stage runs in a process of its own with a time limit, so that neither a fault nor a crash nor a hang of one costs
the others. The JSON is written again after each stage, with what the stage had found when it ended. A stage that this
machine cannot run is marked so, with the reason. Exit status 1 when a stage failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS, environment
from engine.files import write_text

ROOT = Path(__file__).resolve().parent.parent
OK, FAILED, NOT_RUN, OUT_OF_TIME = "ok", "failed", "not run", "out of time"
#: Most seconds of each stage, in the order in which they run: what matters most comes first, the soak takes the rest.
LIMITS_S = {
    "gpu": 20,
    "kernels": 40,
    "transfers": 20,
    "graphs": 20,
    "library": 30,
    "model": 60,
    "engine": 150,
    "parity": 60,
    "dense": 45,
    "feed": 45,
    "windows_vgg16": 120,
    "windows_small_cnn": 60,
    "streams": 60,
    "soak": 300,
}
_LEAST_S = 3.0


@dataclass(frozen=True)
class Asked:
    """Arguments of the command line.

    Attributes:
        seconds: that all stages may take together.
        model: shipped name or folder of a dense detector.
        frames: video or folder of pictures that it is measured on.
        count: frames for each latency.
        soak: frames of the endurance run.
        only: stages to run; all when empty.
        output: JSON to write.
    """

    seconds: float
    model: str
    frames: str
    count: int
    soak: int
    only: tuple[str, ...]
    output: Path


def main() -> int:
    """Runs the stages and returns the exit status."""
    asked = _asked()
    started = time.monotonic()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for stage in asked.only or LIMITS_S:
            left = asked.seconds - (time.monotonic() - started)
            print(f"== {stage}", flush=True)
            figures[stage] = _run(stage, asked, Path(folder), min(left, LIMITS_S[stage]))
            for key, value in figures[stage].items():
                print(f"   {key}: {value}", flush=True)
            seconds = round(time.monotonic() - started, 1)
            _write(asked.output, {"environment": environment(), "seconds": seconds, **figures})
    print(_table(figures))
    print(asked.output)
    return int(any(found["status"] == FAILED for found in figures.values()))


def _asked() -> Asked:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=500, help="for all stages together (default: 500)")
    parser.add_argument("--model", default="polyp", help="a dense detector (default: polyp)")
    parser.add_argument("--frames", default="examples/colon.mp4", help="video or pictures (default: the sample clip)")
    parser.add_argument("--count", type=int, default=2000, help="frames for each latency (default: 2000)")
    parser.add_argument("--soak", type=int, default=100_000, help="frames of the endurance run (default: 100000)")
    parser.add_argument("--only", nargs="+", choices=LIMITS_S, default=[], metavar="STAGE", help=", ".join(LIMITS_S))
    parser.add_argument("--output", type=Path, default=RESULTS / "gpu.json", help="JSON to write")
    found = vars(parser.parse_args())
    return Asked(**{**found, "only": tuple(found["only"])})


def _run(stage: str, asked: Asked, folder: Path, limit_s: float) -> dict[str, Any]:
    """What a stage found, in a process of its own: its status first."""
    if limit_s < _LEAST_S:
        return {"status": NOT_RUN, "reason": "no time left; give more --seconds, or --only this stage"}
    found = folder / f"{stage}.json"
    order = {
        "stage": stage,
        "found": str(found),
        "folder": str(folder),
        "seconds": limit_s,
        "model": asked.model,
        "frames": asked.frames,
        "count": asked.count,
        "soak": asked.soak,
    }
    command = [sys.executable, "-m", "benchmarks.gpu_stages", json.dumps(order)]
    try:
        ended = subprocess.run(command, cwd=ROOT, timeout=limit_s, check=False).returncode
    except subprocess.TimeoutExpired:
        return {"status": OUT_OF_TIME, "reason": f"ended after {limit_s:.0f} s", **_read(found)}
    figures = _read(found)
    if "status" not in figures:
        figures = {"status": FAILED, "reason": f"the process ended with status {ended}", **figures}
    return figures


def _read(path: Path) -> dict[str, Any]:
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return figures


def _write(path: Path, figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(figures, indent=2) + "\n")


def _table(figures: dict[str, Any]) -> str:
    """Markdown: times, rates, and the stages that did not come to their end."""
    rows = ["", "| what | p50 ms | p99 ms | max ms |", "|---|---|---|---|"]
    others = ["", "| what | |", "|---|---|"]
    for stage, found in figures.items():
        if found["status"] != OK:
            others.append(f"| {stage} | {found['status']}: {found['reason']} |")
        for name, value in found.items():
            if isinstance(value, dict) and "p50" in value:
                rows.append(f"| {stage}: {name} | {value['p50']} | {value['p99']} | {value['max']} |")
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                others.append(f"| {stage}: {name} | {value} |")
    return "\n".join([*(rows if len(rows) > 3 else []), *(others if len(others) > 3 else []), ""])


if __name__ == "__main__":
    sys.exit(main())
