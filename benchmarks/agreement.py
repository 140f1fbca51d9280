"""Detections of this checkout beside those of another one, on real clips: how far they agree, and how right both are.

A frame counts as right where a polyp is clearly in view (`NAME.visible.csv`) and anything is shown, as wrong where none
is and something is shown, as missed where nothing is shown of a polyp. Frames in doubt do not count.

    git worktree add ../before c081542
    python -m benchmarks.agreement ../before --videos DATA/videos --labels DATA/video_labels --folder EVENTS
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import write_result
from engine.boxes import pairwise_iou

_HERE = Path(__file__).resolve().parents[1]
_SAME = 0.5  # intersection over union of two boxes that are one detection
_SUFFIXES = frozenset({".avi", ".mpg", ".mp4"})


def main() -> None:
    """Runs both checkouts over all labelled clips, and writes how they agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, metavar="CHECKOUT", help="folder of the other commit's checkout")
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--labels", type=Path, required=True, metavar="DIR", help="with NAME.visible.csv of each clip")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="event files; what is there is kept")
    parser.add_argument("--name", default="agreement", help="of the JSON under benchmarks/results")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    clips: dict[str, dict[str, Any]] = {}
    judged = {"before": np.zeros(3, np.int64), "now": np.zeros(3, np.int64)}
    for clip in sorted(path for path in arguments.videos.iterdir() if path.suffix in _SUFFIXES):
        labels = arguments.labels / f"{clip.name}.visible.csv"
        if not labels.exists():
            continue
        events = {
            side: _events(checkout, clip, arguments.folder / f"{side}_{clip.stem}.jsonl")
            for side, checkout in (("before", arguments.before), ("now", _HERE))
        }
        clips[clip.stem] = _agreement(events["before"], events["now"])
        for side, found in events.items():
            counts = _judged(found, labels)
            clips[clip.stem][f"right_wrong_missed_{side}"] = counts.tolist()
            judged[side] += counts
        print(clip.stem, clips[clip.stem], flush=True)
    figures = {
        "command": f"python -m benchmarks.agreement CHECKOUT --videos VIDEOS --labels LABELS --name {arguments.name}",
        "frames": sum(figures["frames"] for figures in clips.values()),
        "f1_of_frames": {side: round(_f1(*counts.tolist()), 4) for side, counts in judged.items()},
        "clips": clips,
    }
    print(write_result(arguments.name, figures))


def _events(checkout: Path, clip: Path, path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        command = [sys.executable, "-m", "polypstream", "detect", str(clip), "--events", str(path), "--candidates"]
        surroundings = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
        subprocess.run(command, cwd=checkout, env=surroundings, check=True, stdout=subprocess.DEVNULL)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _agreement(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> dict[str, Any]:
    """How the detections and best scores of two runs over the same frames differ."""
    shown = {"before": 0, "now": 0, "both": 0}
    scores = []
    for then, here in zip(before, now, strict=True):
        first, second = (np.array([one["box_xyxy"] for one in line["detections"]]) for line in (then, here))
        shown["before"] += len(first)
        shown["now"] += len(second)
        if len(first) and len(second):
            shown["both"] += int((pairwise_iou(first, second).max(axis=1) >= _SAME).sum())
        scores.append(abs(_best(then) - _best(here)))
    return {
        "frames": len(before),
        "detections": shown,
        "same_field_of_view": sum(
            then["field_of_view_xyxy"] == here["field_of_view_xyxy"] for then, here in zip(before, now, strict=True)
        ),
        "best_score_differs_by": {"mean": round(float(np.mean(scores)), 4), "most": round(max(scores), 4)},
    }


def _best(line: dict[str, Any]) -> float:
    return max((float(one["score"]) for one in line["candidates"]), default=0.0)


def _judged(events: list[dict[str, Any]], labels: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Frames that are right, wrong and missed."""
    said: dict[int, str] = {}
    with labels.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            said |= dict.fromkeys(range(int(row["first"]), int(row["last"]) + 1), row["label"])
    counts = np.zeros(3, np.int64)
    for line in events:
        label, shown = said.get(line["frame"]), bool(line["detections"])
        counts += [label == "polyp" and shown, label == "none" and shown, label == "polyp" and not shown]
    return counts


def _f1(right: int, wrong: int, missed: int) -> float:
    return 2 * right / (2 * right + wrong + missed) if right else 0.0


if __name__ == "__main__":
    main()
