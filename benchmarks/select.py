"""Frames that `prepare select` chooses: how often the detector is wrong in them, against frames taken by lot.

    polypstream study RECORDINGS --output RESULTS
    python -m benchmarks.select RESULTS [--frames 100]

RECORDINGS have their truth beside them (rendered examinations: `benchmarks.examinations`). A frame is wrong when a
polyp in it has no box whose centre lies in it, or a box that is shown lies on none. Frames that the truth does not
judge, and frames that show nothing useful, are left out of both. Writes `benchmarks/results/select.json`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import write_result
from engine.statistics.bootstrap import GroupBootstrap
from engine.statistics.ratios import ratio, ratios, rounded
from train.data.video_truth import BoxXyxy, ClipTruth, read_clip
from train.labels.export_writer import ExportSettings, Format
from train.labels.label_set import LabelledPicture
from train.labels.results import Recording, read_results
from train.selection.selecting import SelectionSettings, select_frames


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose frames, judge them by the truth, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results of a study over recordings with their truth")
    parser.add_argument("--frames", type=int, default=100, help="to choose (default: 100)")
    parser.add_argument("--model", default="polyp", help="that made the results (default: polyp)")
    parser.add_argument("--name", default="select", help="write benchmarks/results/NAME.json")
    options = parser.parse_args(arguments)

    recordings = read_results(options.results).recordings
    truths = {one.path: read_clip(one.path) for one in recordings}
    settings = SelectionSettings(ExportSettings(Format.YOLO), frames=options.frames, model=options.model)
    with tempfile.TemporaryDirectory(prefix="polypstream-") as scratch:
        began_s = time.monotonic()
        selected = select_frames(options.results, Path(scratch) / "selected", settings)
        took_s = time.monotonic() - began_s
    judged = [pick for pick in selected.picks if _is_judged(truths[pick.picture.path], pick.picture)]
    wrong = [is_wrong(truths[pick.picture.path], pick.picture) for pick in judged]
    by_reason: dict[str, list[bool]] = defaultdict(list)
    for pick, one in zip(judged, wrong, strict=True):
        by_reason[pick.reasons[0].value].append(one)
    figures = {
        "recordings": len(recordings),
        "minutes": round(sum(one.times_s[-1] - one.times_s[0] for one in recordings) / 60, 2),
        "selected": {
            **share_of([pick.procedure for pick in judged], wrong),
            "not_judged": len(selected.picks) - len(judged),
            "by_strongest_reason": {
                reason: {"frames": len(found), "wrong": sum(found)} for reason, found in sorted(by_reason.items())
            },
        },
        "by_lot": all_frames(recordings, truths),
        "seconds": round(took_s, 1),
    }
    print(write_result(options.name, figures))
    return 0


def all_frames(recordings: Sequence[Recording], truths: dict[Path, ClipTruth]) -> dict[str, Any]:
    """All frames that could have been chosen: what frames by lot come to, without the luck of a draw."""
    groups, wrong = [], []
    for one in recordings:
        for frame, seen in zip(one.frames, one.perceived or (), strict=True):
            if seen.useful and _is_judged(truths[one.path], frame):
                groups.append(one.name)
                wrong.append(is_wrong(truths[one.path], frame))
    return share_of(groups, wrong)


def share_of(groups: Sequence[str], wrong: Sequence[bool]) -> dict[str, Any]:
    """How many frames are wrong, with the 95 % interval by bootstrap over procedures."""
    rows = np.stack([np.array(wrong, np.float64), np.ones(len(wrong))], 1)
    interval = GroupBootstrap(groups).of_sums(rows, lambda sums: ratios(sums[:, 0], sums[:, 1]))
    return {
        "frames": len(wrong),
        "wrong": sum(wrong),
        "share_wrong": rounded(ratio(sum(wrong), len(wrong))),
        "interval_95": None if interval is None else [rounded(interval.low), rounded(interval.high)],
    }


def is_wrong(truth: ClipTruth, picture: LabelledPicture) -> bool:
    """Whether what is shown in a frame is not what is there."""
    assert picture.frame is not None
    polyps = [box for polyp in truth.polyps if (box := polyp.box_in(picture.frame)) is not None]
    shown = [label.box_xyxy for label in picture.labels]
    on = [[_holds(polyp, box) for polyp in polyps] for box in shown]
    missed = any(not any(row[place] for row in on) for place in range(len(polyps)))
    return missed or any(not any(row) for row in on)


def _holds(polyp: BoxXyxy, box: BoxXyxy) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return polyp[0] <= x < polyp[2] and polyp[1] <= y < polyp[3]


def _is_judged(truth: ClipTruth, picture: LabelledPicture) -> bool:
    return picture.frame is not None and truth.is_judged(picture.frame)


if __name__ == "__main__":
    raise SystemExit(main())
