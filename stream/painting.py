"""Marks painted on pictures in the pictures' own format: what lies outside the marks stays as it was, to the bit.

Where several pixels share one value of chroma, marks cover all of them or none: their edges lie on that grid.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.arrays import Image, Mask
from engine.pictures.color import bgr_to_planes
from engine.pictures.picture import Picture


class Rect(NamedTuple):
    """Whole pixels, right and bottom exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int

    def grown(self, by: int) -> Rect:
        """Larger by so many pixels on each side."""
        return Rect(self.x1 - by, self.y1 - by, self.x2 + by, self.y2 + by)

    def within(self, outer: Rect) -> tuple[slice, slice]:
        """Its rows and columns in an array of the pixels of another rectangle."""
        return slice(self.y1 - outer.y1, self.y2 - outer.y1), slice(self.x1 - outer.x1, self.x2 - outer.x1)

    def of(self, pixels: npt.NDArray[np.generic]) -> tuple[slice, slice]:
        """Its rows and columns in an array of all pixels of a picture."""
        return slice(self.y1, self.y2), slice(self.x1, self.x2)


class Mark(NamedTuple):
    """Something that is painted.

    Attributes:
        rect: where, within the picture; its sides lie on the picture's grid (`Picture.step_xy`) or at its edge.
        pixels: BGR uint8, shape (height, width, 3) of the rectangle.
        shape: bool, shape (height, width), True where it is painted, all of a block of the grid or none; None for the
            whole rectangle.
    """

    rect: Rect
    pixels: Image
    shape: Mask | None = None


def painted(picture: Picture, marks: Iterable[Mark]) -> Picture:
    """A copy of a picture with marks on it, in the same format.

    Args:
        picture: stays as it is.
        marks: painted in their order, each over those before.
    """
    coding, (across, down) = picture.coding, picture.step_xy
    planes = [plane.copy() for plane in picture.planes]
    for rect, pixels, shape in marks:
        if picture.is_bgr:
            _put(planes[0][rect.of(planes[0])], pixels, shape)
            continue
        chroma = Rect(rect.x1 // across, rect.y1 // down, -(-rect.x2 // across), -(-rect.y2 // down))
        values = bgr_to_planes(pixels, coding, step_xy=picture.step_xy)
        for number, (plane, value) in enumerate(zip(planes, values, strict=False)):
            where, covered = (chroma, None if shape is None else shape[::down, ::across]) if number else (rect, shape)
            _put(plane[where.of(plane)], value, covered)
    return Picture(planes, color=picture.color, bits=coding.bits, shift=coding.shift)


def covered_pixels(marks: Iterable[Mark], resolution_wh: tuple[int, int]) -> Mask:
    """The pixels of a picture that marks may change: bool, shape (height, width)."""
    width, height = resolution_wh
    covered = np.zeros((height, width), dtype=bool)
    for rect, _, shape in marks:
        covered[rect.of(covered)] |= True if shape is None else shape
    return covered


def _put(target: npt.NDArray[np.generic], values: npt.NDArray[np.generic], shape: Mask | None) -> None:
    if shape is None:
        target[:] = values
    else:
        target[shape] = values[shape]
