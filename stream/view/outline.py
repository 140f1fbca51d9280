"""The outline of the endoscope's picture in a frame: a convex polygon less the boxes that cover it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import FieldOfView

Rectangle = tuple[int, int, int, int]
Points = npt.NDArray[np.float64]
Reach = npt.NDArray[np.float64]

_DIRECTIONS = 32  # circumscribes a circle with 0.5 % of its radius to spare, and an octagon exactly
_STEP = 2 * math.pi / _DIRECTIONS
NORMALS: Points = np.stack([np.cos(np.arange(_DIRECTIONS) * _STEP), np.sin(np.arange(_DIRECTIONS) * _STEP)], axis=1)
"""Unit vectors at multiples of 11.25 degrees, shape (32, 2): x to the right, y downwards."""

_SLACK = 1 / 256  # of the frame's longer side: outlines are not known better; a box is widened by as much


@dataclass(frozen=True, eq=False)
class Outline:
    """A convex outline, given by how far it reaches in 32 directions.

    Octagon, circle and rectangle are all the same to it, and the outlines of two moments can be compared and joined
    number by number.

    Attributes:
        reach: float64, shape (32,), pixels: a point p of the frame is inside when `p . NORMALS[k] <= reach[k]` for
            all k.
        resolution_wh: width and height of the frame in pixels.
        covers: rectangles (xyxy, whole pixels of the frame) inside the outline that are no picture: position boxes.
    """

    reach: Reach
    resolution_wh: tuple[int, int]
    covers: tuple[Rectangle, ...] = ()

    @classmethod
    def around(cls, points: Points, *, resolution_wh: tuple[int, int], covers: tuple[Rectangle, ...] = ()) -> Outline:
        """Return the outline around points (float64, shape (N, 2), N >= 1, x and y in pixels)."""
        return cls((points @ NORMALS.T).max(axis=0), resolution_wh, covers)

    @classmethod
    def whole(cls, resolution_wh: tuple[int, int]) -> Outline:
        """Return the outline of a frame without margins."""
        return cls.around(_box_corners((0, 0, *resolution_wh)), resolution_wh=resolution_wh)

    @property
    def cell_px(self) -> float:
        """The precision with which an outline is found, in pixels."""
        return max(1.0, max(self.resolution_wh) * _SLACK)

    def box_xyxy(self, *, slack_px: float = 0.0) -> Rectangle:
        """Return the smallest box of whole pixels around the outline, right and bottom exclusive.

        Args:
            slack_px: how much wider the box is on each side, in pixels; it never leaves the frame.
        """
        width, height = self.resolution_wh
        right, down, left, up = self.reach[:: _DIRECTIONS // 4] + slack_px
        # A finder's grid divides the frame into fractions of pixels: a hair over a pixel's edge is that edge.
        x1, y1 = math.floor(-left + 0.01), math.floor(-up + 0.01)
        x2, y2 = math.ceil(right - 0.01), math.ceil(down - 0.01)
        return max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)

    def corners(self) -> Points:
        """Return the polygon's corners in order, shape (32, 2), x and y in pixels; neighbours may coincide."""
        after, normals_after = np.roll(self.reach, -1), np.roll(NORMALS, -1, axis=0)
        x = self.reach * normals_after[:, 1] - after * NORMALS[:, 1]
        y = after * NORMALS[:, 0] - self.reach * normals_after[:, 0]
        return np.clip(np.stack([x, y], axis=1) / math.sin(_STEP), 0, self.resolution_wh)

    def field_of_view(self) -> FieldOfView:
        """Draw the outline: its box, a cell wider than it, and its mask where the outline is no plain rectangle."""
        box = self.box_xyxy(slack_px=self.cell_px)
        rectangle = Outline.around(_box_corners(self.box_xyxy()), resolution_wh=self.resolution_wh)
        if not self.covers and float((rectangle.reach - self.reach).max()) < _SLACK * max(self.resolution_wh):
            return FieldOfView(box)
        width, height = self.resolution_wh
        mask = np.zeros((height, width), np.uint8)
        # Pixel centres lie at half pixels, and what is filled takes in the polygon's own edge, half a pixel wide.
        polygon = replace(self, reach=self.reach - 0.5).corners() - 0.5
        cv2.fillConvexPoly(mask, np.rint(polygon * 16).astype(np.int32), 1, shift=4)
        for x1, y1, x2, y2 in self.covers:
            mask[y1:y2, x1:x2] = 0
        return FieldOfView(box, mask.view(np.bool_))


def _box_corners(box_xyxy: tuple[int, int, int, int]) -> Points:
    x1, y1, x2, y2 = box_xyxy
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)
