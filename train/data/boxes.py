"""Polyps that are known by their boxes only: the table that names them, and what stands for their outline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Pixels
from engine.errors import InputError
from engine.reading.bounded import shortened
from engine.reading.tables import read_table
from train.data.name_lists import read_errors
from train.data.video_truth import BoxXyxy

#: File of a data set with the boxes of polyps that nobody outlined, a line for each polyp; it may have other columns.
BOX_TABLE = "boxes.csv"
BOX_COLUMNS = ("image", "x0", "y0", "x1", "y1")
#: Pixels that a box may reach over the picture's edge: annotators and rounding do.
SLACK_PX = 2.0


def read_boxes(path: Path, named: Callable[[str], str]) -> dict[str, tuple[BoxXyxy, ...]]:
    """Boxes by the name of their picture; none without the file.

    Args:
        path: of the table: image,x0,y0,x1,y1 in pixels of the picture as it is shown, right and bottom exclusive.
        named: gives the name of a picture that was written with or without its ending.

    Raises:
        InputError: the table cannot be read, or a line of it gives no box.
    """
    if not path.is_file():
        return {}
    found: dict[str, tuple[BoxXyxy, ...]] = {}
    with read_errors(path):
        rows = read_table(path, BOX_COLUMNS)
    for line, row in enumerate(rows, start=2):
        try:
            x1, y1, x2, y2 = (float(row[side]) for side in BOX_COLUMNS[1:])
        except ValueError:
            x1, y1, x2, y2 = 0.0, 0.0, 0.0, 0.0
        if not (math.isfinite(x1 + y1 + x2 + y2) and x1 < x2 and y1 < y2):
            given = shortened(",".join(row[side] for side in BOX_COLUMNS[1:]))
            raise InputError(
                f"line {line} of {str(path)!r} gives no box; write {','.join(BOX_COLUMNS)} with x0 < x1, y0 < y1. "
                f"Received: {given}"
            )
        name = named(row["image"])
        found[name] = (*found.get(name, ()), (x1, y1, x2, y2))
    return found


def within(box: BoxXyxy, size_wh: tuple[int, int]) -> BoxXyxy | None:
    """The part of a box that lies in a picture; None when it reaches further than `SLACK_PX` over the edge."""
    x1, y1, x2, y2 = box
    width, height = size_wh
    if min(x1, y1) < -SLACK_PX or x2 > width + SLACK_PX or y2 > height + SLACK_PX:
        return None
    inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    return inside if inside[0] < inside[2] and inside[1] < inside[3] else None


def stand_in_mask(boxes_xyxy: Iterable[Sequence[float]], size_hw: tuple[int, int]) -> Pixels:
    """What stands for the outlines of polyps: for each the ellipse that fills its box.

    Args:
        boxes_xyxy: in pixels of the picture.
        size_hw: height and width of the picture.

    Returns:
        uint8 (height, width): 0, and a number from 1 for each polyp (from 1 again after 255). Smaller ones lie on top,
        so that boxes within each other both remain.
    """
    mask = np.zeros(size_hw, np.uint8)
    height, width = size_hw
    for number, box in enumerate(sorted(boxes_xyxy, key=_area, reverse=True)):
        x1, y1, x2, y2 = box
        left, top = min(max(round(x1), 0), width - 1), min(max(round(y1), 0), height - 1)
        right, bottom = min(max(round(x2), left + 1), width), min(max(round(y2), top + 1), height)
        value = number % 255 + 1
        middle = ((left + right - 1) // 2, (top + bottom - 1) // 2)
        axes = ((right - left - 1) // 2, (bottom - top - 1) // 2)
        cv2.ellipse(mask, middle, axes, 0, 0, 360, value, -1)
        # The ellipse of whole numbers may end a pixel early: its axes end where the box does.
        mask[middle[1], left:right] = value
        mask[top:bottom, middle[0]] = value
    return mask


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
