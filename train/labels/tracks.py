"""Tracks as labelling tools keep them: key frames, between which boxes move evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from train.data.video_truth import BoxXyxy

#: Frames that a recording may have (18 hours at 30 a second), and boxes that the tracks of a file may have.
MOST_FRAMES, MOST_BOXES = 2_000_000, 5_000_000


def between(first: tuple[int, BoxXyxy], last: tuple[int, BoxXyxy]) -> dict[int, BoxXyxy]:
    """Boxes of the frames from one key frame (included) to the next (left out)."""
    (begin, one), (end, other) = first, last
    found: dict[int, BoxXyxy] = {}
    for frame in range(begin, end):
        share = (frame - begin) / (end - begin)
        x1, y1, x2, y2 = (a + (b - a) * share for a, b in zip(one, other, strict=True))
        found[frame] = (x1, y1, x2, y2)
    return found


def runs_of(boxes: Mapping[int, BoxXyxy]) -> list[list[int]]:
    """The frames of a track in runs without gaps."""
    runs: list[list[int]] = []
    for frame in sorted(boxes):
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def key_frames(boxes: Mapping[int, BoxXyxy], run: Sequence[int], *, tolerance: float) -> list[int]:
    """The frames of a run that are enough to know all of its boxes.

    By the rule of Douglas and Peucker (1973): the frame furthest from what its neighbours foretell is kept, until all
    are near enough.

    Args:
        boxes: by frame.
        run: frames without gaps, in order.
        tolerance: share of a box's longer side by which its sides may be off; 0 for boxes as exact as they are.

    Returns:
        Frames in order, the first and the last of the run among them.
    """
    places = np.array([boxes[frame] for frame in run], np.float64)
    longest = np.maximum(places[:, 2] - places[:, 0], places[:, 3] - places[:, 1])
    allowed = np.maximum(tolerance * longest, 1e-6)
    kept = {0, len(run) - 1}
    open_parts = [(0, len(run) - 1)]
    while open_parts:
        begin, end = open_parts.pop()
        if end - begin < 2:
            continue
        shares = np.linspace(0, 1, end - begin + 1)[1:-1, None]
        foretold = places[begin] + (places[end] - places[begin]) * shares
        off = np.abs(places[begin + 1 : end] - foretold).max(1) / allowed[begin + 1 : end]
        worst = int(off.argmax())
        if off[worst] > 1:
            kept.add(begin + 1 + worst)
            open_parts += [(begin, begin + 1 + worst), (begin + 1 + worst, end)]
    return [run[index] for index in sorted(kept)]
