"""Evidence over time that the endoscope's picture has become smaller, and is not merely dark at its sides."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Plane
from stream.view.field_of_view import Sighting
from stream.view.outline import Outline

_JUMP_CELLS = 4.0  # a smaller difference may be noise
_EDGE_CELLS = 2.0  # within which an edge stands still
_SPANS_S = (0.5, 1.5, 5.0)  # of looks that are weighed together: the darker the scene, the longer it takes
_LEAST_LOOKS = 3
_SHARP_SHARE = 0.75  # of the directions in which a field shrinks, at least, must end at a sharp edge
_OFTEN_LOOKS = 2  # at least must see an edge sharp at its place
_STILL_DIRECTIONS = 8  # of 32, at least, in which the field shrinks: a lumen darkens one side only
_STILL_LEVELS = 8  # by which the grey level of a cell that stands still may change
_STILL_SHARE = 0.98  # of what is given up must stand still
_MOVING_LEVELS = 16  # by which the grey level of the picture's cells changes, in the middle of them, when it moves


@dataclass(frozen=True, eq=False)
class _Seen:
    time_s: float
    sighting: Sighting


class Shrinking:
    """Gathers what the looks of the last seconds tell, as long as they see less than the known picture.

    A dark side is no margin: its edge wanders, and fades. Two things show a smaller picture. Its edges are sharp and
    stand still; in a bright scene that is seen within half a second. Or, where dark scenes hide the edges, what lies
    outside it stays at the margin's grey level for seconds, all around, while the picture inside moves: a scene that
    moves would have lit some of it. Either way the picture is no smaller than the largest that was seen meanwhile.
    """

    def __init__(self) -> None:
        """Begin without any evidence."""
        self._seen: deque[_Seen] = deque()

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
        if not _moved(known, sighting.outline).any():
            self.clear()
            return None
        self._seen.append(_Seen(time_s, sighting))
        # The oldest look that is kept is the last one before the longest span.
        while len(self._seen) > 1 and self._seen[1].time_s <= time_s - _SPANS_S[-1]:
            self._seen.popleft()
        for span_s in _SPANS_S:
            latest = [seen.sighting for seen in self._seen if seen.time_s > time_s - span_s]
            older = len(self._seen) - len(latest)
            if not older or len(latest) < _LEAST_LOOKS - 1:
                return None  # they do not last so long
            latest.insert(0, self._seen[older - 1].sighting)
            smaller = replace(sighting.outline, reach=np.max([seen.outline.reach for seen in latest], axis=0))
            if not _moved(known, smaller).any():
                return None  # nor is it smaller over a longer span
            if _ends_sharply(latest, smaller, known) or (
                span_s == _SPANS_S[-1] and _stands_still(latest, smaller, known)
            ):
                self.clear()
                return smaller
        return None


def _moved(known: Outline, smaller: Outline) -> npt.NDArray[np.bool_]:
    """Say in which directions an outline reaches less far than the known one."""
    moved: npt.NDArray[np.bool_] = known.reach - smaller.reach > _JUMP_CELLS * known.cell_px
    return moved


def _ends_sharply(looks: Sequence[Sighting], smaller: Outline, known: Outline) -> bool:
    at_edge = np.stack([look.outline.reach for look in looks]) >= smaller.reach - _EDGE_CELLS * known.cell_px
    often = (at_edge & np.stack([look.sharp for look in looks])).sum(axis=0) >= _OFTEN_LOOKS
    return float(often[_moved(known, smaller)].mean()) >= _SHARP_SHARE


def _stands_still(looks: Sequence[Sighting], smaller: Outline, known: Outline) -> bool:
    if np.count_nonzero(_moved(known, smaller)) < _STILL_DIRECTIONS:
        return False
    planes = [look.brightness for look in looks]
    brightest, darkest = np.max(planes, axis=0), np.min(planes, axis=0)
    inside = _drawn(smaller, brightest.shape)
    margin = cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0  # two cells away from the edge
    given_up = _drawn(known, brightest.shape).view(np.bool_) & margin
    change = cv2.subtract(brightest, darkest)
    still = (brightest <= looks[-1].margin_level) | (change <= _STILL_LEVELS)
    moving = float(np.median(change[inside.view(np.bool_)])) >= _MOVING_LEVELS
    return moving and bool(given_up.any()) and float(still[given_up].mean()) >= _STILL_SHARE


def _drawn(outline: Outline, shape: tuple[int, ...]) -> Plane:
    """Return a plane of a shape that is 1 inside an outline."""
    plane = np.zeros(shape, np.uint8)
    scale_xy = np.divide(outline.resolution_wh, shape[::-1])
    cv2.fillConvexPoly(plane, np.rint(outline.corners() / scale_xy).astype(np.int32), 1)
    return plane
