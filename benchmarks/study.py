"""How fast a study is: workers side by side, against one `polypstream detect` after another over the same recordings.

    python -m benchmarks.study RECORDING... [--workers 2] [--rounds 3]

Both ways are timed in turns, from the start of the first command. A study is timed until its last recording is looked
at, as its ledger says; it also writes reports of the first ones meanwhile, and those of the last ones afterwards
(`seconds_with_reports`). The time of `detect` has the start of Python and the opening of the model in it, once for each
recording, as in a script; `seconds_of_frames` leaves these out.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.environment import write_result

_PROGRAM = (sys.executable, "-m", "polypstream")


def main() -> None:
    """Measures, and writes `benchmarks/results/study.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            one_by_one = _detect(arguments.recordings, Path(folder))
            study = _study(arguments.recordings, Path(folder), arguments.workers)
        rounds.append({"load": os.getloadavg()[0], "detect": one_by_one, "study": study})
        print(f"round {number + 1}: {rounds[-1]}", flush=True)
    ratios = [one["study"]["frames_per_second"] / one["detect"]["frames_per_second"] for one in rounds]
    path = write_result(
        "study",
        {
            "recordings": len(arguments.recordings),
            "workers": arguments.workers,
            "times_faster": round(statistics.median(ratios), 3),
            "times_faster_of_rounds": [round(ratio, 3) for ratio in ratios],
            "rounds": rounds,
        },
    )
    print(path)


def _detect(recordings: list[Path], folder: Path) -> dict[str, Any]:
    frames, of_frames = 0, 0.0
    began = time.monotonic()
    for number, recording in enumerate(recordings):
        events = folder / f"{number}.jsonl"
        _run("detect", str(recording), "--events", str(events), "--candidates")
        record = json.loads(events.with_suffix(".run.json").read_text(encoding="utf-8"))
        frames += record["counts"]["frames"]
        of_frames += record["timings"]["seconds"]
    seconds = time.monotonic() - began
    return {**_speed(frames, seconds), "seconds_of_frames": round(of_frames, 2)}


def _study(recordings: list[Path], folder: Path, workers: int) -> dict[str, Any]:
    lines = [f"{recording.resolve()},{number}" for number, recording in enumerate(recordings)]
    (folder / "list.csv").write_text("\n".join(["path,procedure", *lines]) + "\n", encoding="utf-8")
    began = time.time()
    results = folder / "results"
    _run("study", str(folder / "list.csv"), "--output", str(results), "--workers", str(workers))
    whole = time.time() - began
    ledger = sqlite3.connect(results / "ledger.sqlite")
    rows = ledger.execute("SELECT frames, ended FROM recordings WHERE state = 'done'").fetchall()
    ledger.close()
    assert len(rows) == len(recordings), "a recording failed"
    last = max(datetime.fromisoformat(ended).timestamp() for _, ended in rows)
    return {**_speed(sum(frames for frames, _ in rows), last - began), "seconds_with_reports": round(whole, 2)}


def _speed(frames: int, seconds: float) -> dict[str, Any]:
    return {"frames": frames, "seconds": round(seconds, 2), "frames_per_second": round(frames / seconds, 2)}


def _run(*arguments: str) -> None:
    subprocess.run([*_PROGRAM, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
