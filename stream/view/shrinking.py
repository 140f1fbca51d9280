"""Evidence over time that the endoscope's picture has become smaller, and is not merely dark at its sides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Plane
from stream.view.field_of_view import Sighting
from stream.view.outline import Outline, Reach

_JUMP_CELLS = 4.0  # a smaller difference may be noise
_EDGE_CELLS = 2.0  # within which an edge stands still
_SHARP_S, _SHARP_LOOKS = 0.5, 3  # of looks that end at sharp edges
_SHARP_SHARE = 0.75  # of the directions in which a field shrinks, at least, must end at a sharp edge
_OFTEN_LOOKS = 2  # at least must see an edge sharp at its place
_STILL_S = 5.0  # of looks at what stays a margin
_STILL_DIRECTIONS = 8  # of 32, at least, in which the field shrinks: a lumen darkens one side only
_STILL_LEVELS = 8  # by which the grey level of a cell that stands still may change
_STILL_SHARE = 0.98  # of what is given up must stand still
_MOVING_LEVELS = 16  # by which the grey level of the picture's cells changes, in the middle of them, when it moves


@dataclass(frozen=True, eq=False)
class _Seen:
    time_s: float
    reach: Reach
    sharp: npt.NDArray[np.bool_]


class Shrinking:
    """Gathers what the looks tell since the first one that saw less than the known picture.

    A dark side is no margin: its edge wanders, and fades. Two things show a smaller picture. Its edges are sharp and
    stand still; that is seen within half a second. Or, where dark scenes hide the edges, what lies outside it stays at
    the margin's grey level for seconds, all around, while the picture inside moves: a scene that moves would have lit
    some of it.
    """

    def __init__(self) -> None:
        """Begin without any evidence."""
        self._seen: list[_Seen] = []
        self._brightest: Plane | None = None
        self._darkest: Plane | None = None

    def clear(self) -> None:
        """Forget all evidence."""
        self._seen.clear()

    def outline_after(self, sighting: Sighting, known: Outline, time_s: float) -> Outline | None:
        """Take a look into account, and return the smaller outline once it is certain.

        Args:
            sighting: of the look.
            known: the outline that is believed in until now.
            time_s: of the look in seconds, not before that of the look before.
        """
        cell_px = known.cell_px
        if not (known.reach - sighting.outline.reach > _JUMP_CELLS * cell_px).any():
            self.clear()
            return None
        if self._seen and (sighting.outline.reach - self._reach() > _JUMP_CELLS * cell_px).any():
            self.clear()  # it was larger than that: evidence begins anew
        if self._seen and self._brightest is not None and self._darkest is not None:
            self._brightest = np.maximum(self._brightest, sighting.brightness)
            self._darkest = np.minimum(self._darkest, sighting.brightness)
        else:
            self._brightest = self._darkest = sighting.brightness
        self._seen.append(_Seen(time_s, sighting.outline.reach, sighting.sharp))
        smaller = replace(sighting.outline, reach=self._reach())
        moved = known.reach - smaller.reach > _JUMP_CELLS * cell_px
        if moved.any() and (self._ends_sharply(moved, cell_px) or self._stands_still(sighting, smaller, known, moved)):
            self.clear()
            return smaller
        return None

    def _reach(self) -> Reach:
        reach: Reach = np.max([seen.reach for seen in self._seen], axis=0)
        return reach

    @property
    def _lasted_s(self) -> float:
        return self._seen[-1].time_s - self._seen[0].time_s

    def _ends_sharply(self, moved: npt.NDArray[np.bool_], cell_px: float) -> bool:
        if len(self._seen) < _SHARP_LOOKS or self._lasted_s < _SHARP_S:
            return False
        at_edge = np.stack([seen.reach for seen in self._seen]) >= self._reach() - _EDGE_CELLS * cell_px
        often = (at_edge & np.stack([seen.sharp for seen in self._seen])).sum(axis=0) >= _OFTEN_LOOKS
        return float(often[moved].mean()) >= _SHARP_SHARE

    def _stands_still(self, sighting: Sighting, smaller: Outline, known: Outline, moved: npt.NDArray[np.bool_]) -> bool:
        if self._lasted_s < _STILL_S or np.count_nonzero(moved) < _STILL_DIRECTIONS:
            return False
        assert self._brightest is not None and self._darkest is not None
        inside = _drawn(smaller, self._brightest.shape)
        margin = cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0  # two cells away from the edge
        given_up = _drawn(known, self._brightest.shape).view(np.bool_) & margin
        change = cv2.subtract(self._brightest, self._darkest)
        still = (self._brightest <= sighting.margin_level) | (change <= _STILL_LEVELS)
        moving = float(np.median(change[inside.view(np.bool_)])) >= _MOVING_LEVELS
        return moving and bool(given_up.any()) and float(still[given_up].mean()) >= _STILL_SHARE


def _drawn(outline: Outline, shape: tuple[int, ...]) -> Plane:
    """Return a plane of a shape that is 1 inside an outline."""
    plane = np.zeros(shape, np.uint8)
    scale_xy = np.divide(outline.resolution_wh, shape[::-1])
    cv2.fillConvexPoly(plane, np.rint(outline.corners() / scale_xy).astype(np.int32), 1)
    return plane
