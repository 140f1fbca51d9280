"""Masks as COCO writes them: run lengths down the columns, plain or packed into text, and polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from engine.arrays import Bools


def encode_runs(mask: Bools) -> dict[str, Any]:
    """A mask (height, width) as run lengths, beginning with those outside it."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    edges = np.concatenate([[0], changes, [mask.size]])
    lengths = np.diff(edges)
    # A mask that reaches its last pixel ends with a run of no length.
    counts = lengths[:-1] if len(lengths) > 1 and lengths[-1] == 0 else lengths
    return {"size": [int(side) for side in mask.shape], "counts": [int(count) for count in counts]}


def decode(segmentation: Any, size_hw: tuple[int, int]) -> Bools:
    """The mask (height, width) of a COCO `segmentation`.

    Args:
        segmentation: polygons (lists of x, y, x, y, ...), or run lengths (a list, or COCO's text).
        size_hw: height and width of the picture in pixels.

    Raises:
        ValueError: it is something else, or belongs to a picture of another size.
    """
    if isinstance(segmentation, list):
        mask = np.zeros(size_hw, np.uint8)
        for polygon in segmentation:
            points = np.array(polygon, np.float64).reshape(-1, 2)
            cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
        return mask > 0
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError(f"segmentation is neither polygons nor run lengths but {type(segmentation).__name__}")
    if list(segmentation.get("size", [])) != list(size_hw):
        raise ValueError(f"run lengths are of a picture of {segmentation.get('size')}, the picture is {list(size_hw)}")
    counts = segmentation["counts"]
    if isinstance(counts, (str, bytes)):
        counts = _unpack(counts.encode("ascii") if isinstance(counts, str) else counts)
    inside = np.arange(len(counts)) % 2 == 1
    flat = np.repeat(inside, counts)
    if flat.size != size_hw[0] * size_hw[1]:
        raise ValueError(f"run lengths make up {flat.size} pixels of {size_hw[0] * size_hw[1]}")
    return flat.reshape(size_hw, order="F")


def _unpack(text: bytes) -> Sequence[int]:
    """COCO's text: five bits a character, low ones first; from the third run on, differences to the run before last."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        piece = character - 48
        value |= (piece & 0x1F) << shift
        shift += 5
        if piece & 0x20:
            continue
        if piece & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
