"""What is covered, where and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from engine.pictures.picture import Box

_ONE_PLACE = 0.8  # intersection over union of two boxes that become one


class Reason(str, Enum):
    """Why a part of the field of view is covered."""

    WORD = "word"
    OVERLAY = "static overlay"


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the frames that becomes black.

    Attributes:
        box_xyxy: whole pixels within the frame, right and bottom exclusive.
        first: index of the first frame.
        last: index of the last frame.
        reason: why.
    """

    box_xyxy: Box
    first: int
    last: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames that become black as a whole: from the first to the last one, by their indexes."""

    first: int
    last: int


def box_around(boxes: Iterable[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    """The smallest box around some boxes, of which there is one at least."""
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if min(width, height) <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def whole_box(
    box: tuple[float, float, float, float], resolution_wh: tuple[int, int], *, grown_xy: tuple[float, float] = (0, 0)
) -> Box:
    """A box in whole pixels of a frame, which it never leaves, larger by some pixels at each side."""
    width, height = resolution_wh
    across, down = grown_xy
    x1, y1, x2, y2 = box[0] - across, box[1] - down, box[2] + across, box[3] + down
    return max(int(x1), 0), max(int(y1), 0), min(-int(-x2 // 1), width), min(-int(-y2 // 1), height)


def joined(regions: Iterable[Region]) -> tuple[Region, ...]:
    """The same with fewer regions: those of about one place that follow each other in time become one."""
    done: list[Region] = []
    for region in sorted(regions, key=lambda one: (one.first, one.last)):
        for place, other in enumerate(done):
            alike = other.reason is region.reason and overlap(other.box_xyxy, region.box_xyxy) > _ONE_PLACE
            if alike and region.first <= other.last + 1:
                x1, y1, x2, y2 = box_around([other.box_xyxy, region.box_xyxy])
                box = int(x1), int(y1), int(x2), int(y2)
                done[place] = replace(other, box_xyxy=box, last=max(other.last, region.last))
                break
        else:
            done.append(region)
    return tuple(done)
