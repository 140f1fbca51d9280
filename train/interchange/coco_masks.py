"""Masks as COCO writes them: run lengths down the columns, plain or packed into text, and polygons."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from engine.arrays import Bools
from engine.reading.bounded import shortened, whole_number

_FARTHEST = 1_000_000  # pixels; OpenCV counts with 32 bits
_MOST_BITS = 40  # of a run length


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
            if len(polygon) % 2:
                raise ValueError(f"a polygon is x, y, x, y, ...; this one has {len(polygon)} numbers")
            points = np.array(polygon, np.float64).reshape(-1, 2)
            if not (np.abs(points) <= _FARTHEST).all():
                raise ValueError(f"a polygon has a point that is more than {_FARTHEST} pixels away")
            cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
        return mask > 0
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError(f"segmentation is neither polygons nor run lengths but {type(segmentation).__name__}")
    if list(segmentation.get("size", [])) != list(size_hw):
        size = shortened(segmentation.get("size"))
        raise ValueError(f"run lengths are of a picture of {size}, the picture is {list(size_hw)}")
    counts = segmentation["counts"]
    if isinstance(counts, (str, bytes)):
        counts = _unpack(counts.encode("ascii") if isinstance(counts, str) else counts)
    if not isinstance(counts, list):
        raise ValueError(f"run lengths must be a list or a text. Received: {shortened(counts)}")
    pixels = size_hw[0] * size_hw[1]
    made = sum(whole_number("a run length", count, 0, pixels) for count in counts)
    if made != pixels:
        raise ValueError(f"run lengths make up {made} pixels of {pixels}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(size_hw, order="F")


def _unpack(text: bytes) -> list[int]:
    """COCO's text: five bits a character, low ones first; from the third run on, differences to the run before last."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        piece = character - 48
        value |= (piece & 0x1F) << shift
        shift += 5
        if shift > _MOST_BITS:
            raise ValueError("a run length of the text has too many digits")
        if piece & 0x20:
            continue
        if piece & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
