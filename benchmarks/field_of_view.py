"""How well the field of view is found in every frame of the five polyp sets, and what it costs.

    python -m benchmarks.field_of_view --data ../shared/data

For every frame, found by itself (`find_field_of_view`), it counts:

* frames taken for no picture (should be none);
* frames in which more than 1 % of the annotated polyp lies outside the box, and outside the mask. Some annotations
  reach a few pixels over the picture's border, or lie on what was blacked out; these count all the same;
* the share of pixels that are no picture and yet in the input: once inside box and mask (what a model sees), once
  inside the box alone, where a disc cannot have less than 21 % and an octagon has its corners. Each is relative to all
  pixels of that region; a frame passes with 15 % at most;
* frames in which the mask loses more than 2 % of the picture.

What is no picture is decided at full resolution by another rule than the finder's, without its grid, hull or opening
of text: a pixel is picture when its median brightness is more than 10 levels above the commonest dark level of the
frame's border, and its region is the largest; what that region encloses is picture too; evenly green or blue rectangles
are not. A dark lumen that opens to the border thus counts as no picture, which makes the figures worse than they are,
never better. The rule's worst frames were compared by eye on contact sheets (`scripts/field_of_view_sheet.py`).

Times are of one thread: single frames, and the tracker over the clips once it has seen a second of them. `wall` is what
passed, other load included; `cpu` is what the call itself used.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.environment import write_result
from engine.arrays import Image, Mask
from stream.frame import FieldOfView
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from stream.view.tracker import FieldOfViewTracker

SETS = ("cvc-clinicdb", "kvasir-seg", "bkai-neopolyp", "polypgen", "cvc-colondb")
LOCKED_S = 1.0  # seconds of a clip after which the tracker is timed
SIZES_WH = ((16, 16), (352, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160), (7680, 4320))
REPEATS = 50


@dataclass(frozen=True)
class FrameFigures:
    """The figures of one frame: shares of 0 to 1, times in milliseconds."""

    rejected: bool
    polyp_outside_box: float
    polyp_outside_mask: float
    margin_in_mask: float
    margin_in_box: float
    picture_lost: float
    wall_ms: float
    cpu_ms: float


class Stopwatch:
    """Gathers how long its `with` blocks take, in milliseconds."""

    def __init__(self) -> None:
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def __enter__(self) -> None:
        self._started = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.wall_ms.append((time.perf_counter() - self._started[0]) * 1000)
        self.cpu_ms.append((time.thread_time() - self._started[1]) * 1000)

    def summary(self) -> dict[str, dict[str, float]]:
        """Return the spread of both times."""
        return {"wall": spread(np.array(self.wall_ms)), "cpu": spread(np.array(self.cpu_ms))}


def spread(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return mean, median, 99th percentile and largest value."""
    median, p99, most = np.percentile(values, [50, 99, 100]).round(3).tolist()
    return {"mean": round(float(values.mean()), 3), "median": median, "p99": p99, "max": most}


def main() -> None:
    """Measures all sets and clips and writes `benchmarks/results/field_of_view.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the sets and of videos/")
    parser.add_argument("--name", default="field_of_view", help="of the JSON under benchmarks/results")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    by_set = {name: [_figures(*pair) for pair in _frames(arguments.data / name)] for name in SETS}
    figures = {
        "command": "python -m benchmarks.field_of_view --data DATA",
        "all": _summary([figures for of_set in by_set.values() for figures in of_set]),
        "sets": {name: _summary(of_set) for name, of_set in by_set.items()},
        "clips": {path.name: _clip(path) for path in sorted((arguments.data / "videos").iterdir())},
        "sizes": _sizes(read_picture(sorted((arguments.data / SETS[0] / "images").iterdir())[0])),
    }
    print(write_result(arguments.name, figures))


def not_picture(image: Image) -> Mask:
    """Decide by a rule of its own which pixels of a frame show no picture; see the top of this file."""
    height, width = image.shape[:2]
    brightness = cv2.medianBlur(image, 3).max(axis=2)
    border = np.concatenate([edge.ravel() for edge in (brightness[:2], brightness[-2:], brightness[:, :2])])
    border = np.concatenate([border, brightness[:, -2:].ravel()])
    dark = border[border < 40]
    if dark.size < 0.01 * border.size:
        return np.zeros((height, width), np.bool_)
    lit = (brightness > np.bincount(dark).argmax() + 10).astype(np.uint8)
    blue, green, red = cv2.split(image)
    cool = (cv2.subtract(cv2.max(blue, green), red) > 50).astype(np.uint8)
    cool = cv2.morphologyEx(cool, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)).astype(np.uint8)
    for x, y, columns, rows, area in cv2.connectedComponentsWithStats(cool)[2][1:].tolist():
        if area > max(0.9 * columns * rows, 0.01 * height * width):
            lit[y : y + rows, x : x + columns] = 0
    lit = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lit)
    if len(stats) < 2:
        return np.ones((height, width), np.bool_)
    rest = (labels != 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=4)
    outside = np.zeros((height, width), np.bool_)
    for number, (x, y, columns, rows, _) in enumerate(stats.tolist()):
        if number and (x == 0 or y == 0 or x + columns == width or y + rows == height):
            outside |= labels == number
    return outside


def _frames(folder: Path) -> Iterator[tuple[Image, Mask]]:
    masks = {path.stem: path for path in (folder / "masks").iterdir()}
    for path in sorted((folder / "images").iterdir()):
        mask = cv2.imread(str(masks[path.stem]), cv2.IMREAD_GRAYSCALE)
        assert mask is not None, f"unreadable mask {masks[path.stem]}"
        yield read_picture(path), mask > 127


def _figures(image: Image, polyp: Mask) -> FrameFigures:
    stopwatch = Stopwatch()
    with stopwatch:
        field = find_field_of_view(image)
    box = np.zeros(polyp.shape, np.bool_)
    x1, y1, x2, y2 = field.box_xyxy
    box[y1:y2, x1:x2] = True
    mask = box if field.mask is None else box & field.mask
    margin = not_picture(image)
    return FrameFigures(
        rejected=not field.has_picture,
        polyp_outside_box=_share(polyp, ~box),
        polyp_outside_mask=_share(polyp, ~mask),
        margin_in_mask=_share(mask, margin),
        margin_in_box=_share(box, margin),
        picture_lost=_share(~margin, ~mask),
        wall_ms=stopwatch.wall_ms[0],
        cpu_ms=stopwatch.cpu_ms[0],
    )


def _share(region: Mask, of: Mask) -> float:
    """Return the share of a region's pixels that another mask has, 0 for an empty region."""
    return int(np.count_nonzero(region & of)) / max(int(np.count_nonzero(region)), 1)


def _summary(frames: list[FrameFigures]) -> dict[str, Any]:
    column = {field.name: np.array([getattr(frame, field.name) for frame in frames]) for field in fields(FrameFigures)}
    return {
        "frames": len(frames),
        "frames_rejected": int(column["rejected"].sum()),
        "frames_box_cuts_polyp_over_1_percent": int((column["polyp_outside_box"] > 0.01).sum()),
        "frames_mask_cuts_polyp_over_1_percent": int((column["polyp_outside_mask"] > 0.01).sum()),
        "share_of_frames_margin_in_mask_at_most_15_percent": round(float((column["margin_in_mask"] <= 0.15).mean()), 4),
        "share_of_frames_margin_in_box_at_most_15_percent": round(float((column["margin_in_box"] <= 0.15).mean()), 4),
        "margin_in_mask_median": round(float(np.median(column["margin_in_mask"])), 4),
        "margin_in_mask_p95": round(float(np.percentile(column["margin_in_mask"], 95)), 4),
        "frames_mask_loses_over_2_percent_of_picture": int((column["picture_lost"] > 0.02).sum()),
        "find_field_of_view_ms": {"wall": spread(column["wall_ms"]), "cpu": spread(column["cpu_ms"])},
    }


def _clip(path: Path) -> dict[str, Any]:
    """Time the tracker over a clip, in turns with the single-frame finder, and count how often the field changes."""
    tracker, tracked, single = FieldOfViewTracker(), Stopwatch(), Stopwatch()
    changes = rejected = frames = 0
    previous: FieldOfView | None = None
    with open_source(str(path)) as source:
        for frame in source:
            with tracked if frame.time_s >= LOCKED_S else Stopwatch():
                field = tracker.update(frame.image, frame.time_s)
            with single:
                find_field_of_view(frame.image)
            frames += 1
            rejected += not field.has_picture
            changes += previous is not None and field is not previous
            previous = field
        resolution_wh = source.info.resolution_wh
    return {
        "resolution_wh": resolution_wh,
        "frames": frames,
        "frames_rejected": rejected,
        "changes_of_the_field": changes,
        "tracker_ms": tracked.summary(),
        "find_field_of_view_ms": single.summary(),
    }


def _sizes(image: Image) -> dict[str, Any]:
    """Time finder and tracker, in turns, on one picture in many sizes."""
    by_size = {}
    for width, height in SIZES_WH:
        frame = np.asarray(cv2.resize(image, (width, height)), np.uint8)
        tracker, tracked, single = FieldOfViewTracker(), Stopwatch(), Stopwatch()
        for number in range(2 * REPEATS):
            with tracked if number >= REPEATS else Stopwatch():
                tracker.update(frame, number / 25)
            with single:
                find_field_of_view(frame)
        by_size[f"{width}x{height}"] = {"tracker_ms": tracked.summary(), "find_field_of_view_ms": single.summary()}
    return by_size


if __name__ == "__main__":
    main()
