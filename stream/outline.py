"""The outline of the endoscope's picture in a frame: a convex polygon less the boxes that cover it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import FieldOfView

Rectangle = tuple[int, int, int, int]

_DIRECTIONS = 32  # circumscribes a circle with 0.5 % of its radius to spare, and an octagon exactly
_STEP = 2 * math.pi / _DIRECTIONS
_NORMALS = np.stack([np.cos(np.arange(_DIRECTIONS) * _STEP), np.sin(np.arange(_DIRECTIONS) * _STEP)])


@dataclass(frozen=True, eq=False)
class Outline:
    """A convex outline, given by how far it reaches in 32 directions.

    Octagon, circle and rectangle are all the same to it, the outlines of two moments can be compared and joined number
    by number, and what is dark inside or at one side of the picture does not dent it.

    Attributes:
        reach: float64, shape (32,), pixels: a point p of the frame is inside when `p . normal_k <= reach[k]` for all
            k, normal_k being the unit vector at k times 11.25 degrees (x to the right, y downwards).
        resolution_wh: width and height of the frame in pixels.
        covers: rectangles (xyxy, pixels) that are no picture although inside: position boxes.
    """

    reach: npt.NDArray[np.float64]
    resolution_wh: tuple[int, int]
    covers: tuple[Rectangle, ...] = ()

    @classmethod
    def around(cls, points: npt.NDArray[np.floating], resolution_wh: tuple[int, int]) -> Outline:
        """Return the outline around points.

        Args:
            points: shape (N, 2), N >= 1, x and y in pixels.
            resolution_wh: width and height of the frame in pixels.
        """
        return cls(reach=(points @ _NORMALS).max(axis=0), resolution_wh=resolution_wh)

    @classmethod
    def whole(cls, resolution_wh: tuple[int, int]) -> Outline:
        """Return the outline of a frame without margins."""
        width, height = resolution_wh
        return cls.around(np.array([(0.0, 0.0), (width, 0), (0, height), (width, height)]), resolution_wh)

    @property
    def box_xyxy(self) -> Rectangle:
        """The smallest box of whole pixels around the outline, right and bottom exclusive."""
        width, height = self.resolution_wh
        right, down, left, up = self.reach[:: _DIRECTIONS // 4]
        # The grid of a finder divides the frame into fractions of pixels: a hair over a pixel's edge is that edge.
        x1, y1 = math.floor(-left + 0.01), math.floor(-up + 0.01)
        x2, y2 = math.ceil(right - 0.01), math.ceil(down - 0.01)
        return max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)

    def corners(self) -> npt.NDArray[np.float64]:
        """Return the polygon's corners in order, shape (32, 2), x and y in pixels; neighbours may coincide."""
        after, normals_after = np.roll(self.reach, -1), np.roll(_NORMALS, -1, axis=1)
        x = self.reach * normals_after[1] - after * _NORMALS[1]
        y = after * _NORMALS[0] - self.reach * normals_after[0]
        return np.clip(np.stack([x, y], axis=1) / math.sin(_STEP), 0, self.resolution_wh)

    def depth(self, x: float, y: float) -> float:
        """Return how far a point lies inside the outline, in pixels; negative outside."""
        return float((self.reach - np.array([x, y]) @ _NORMALS).min())

    def joined(self, other: Outline) -> Outline:
        """Return the outline around this one and another of the same resolution, with this one's covers."""
        return Outline(np.maximum(self.reach, other.reach), self.resolution_wh, self.covers)

    def field_of_view(self) -> FieldOfView:
        """Draw the outline: its box, and its mask where the box is not all picture."""
        width, height = self.resolution_wh
        x1, y1, x2, y2 = self.box_xyxy
        inscribed = Outline.around(np.array([(x1, y1), (x2, y1), (x1, y2), (x2, y2)], np.float64), self.resolution_wh)
        # Less than 1.5 px from the box's own corners: a rectangle.
        if not self.covers and float((inscribed.reach - self.reach).max()) < 1.5:
            return FieldOfView((x1, y1, x2, y2))
        mask = np.zeros((height, width), np.uint8)
        # Pixel centres lie at half pixels; four fractional bits keep the edge where it was found.
        polygon = np.rint((self.corners() - 0.5) * 16).astype(np.int32)
        cv2.fillConvexPoly(mask, polygon, 1, shift=4)
        for left, top, right, bottom in self.covers:
            mask[top:bottom, left:right] = 0
        return FieldOfView((x1, y1, x2, y2), mask.view(np.bool_))
