"""The field of view on the safe side: smaller than it was found, and no larger than it is a few seconds later."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np

from engine.arrays import Mask
from stream.frame import FieldOfView

_MARGIN = 1 / 128  # of the longer side: what is taken off at each edge of the field that is no edge of the frame
_BEFORE_S, _AFTER_S = 0.5, 5.0  # a smaller field is believed after up to five seconds (`stream.view.shrinking`)

_Note: TypeAlias = tuple[float, FieldOfView, tuple[int, int]]


def safe_mask(field_of_view: FieldOfView, resolution_wh: tuple[int, int], *, margins: int = 1) -> Mask:
    """What of a frame is shown: the field of view without a margin along its edge.

    Args:
        field_of_view: of the frame.
        resolution_wh: of the frame, in pixels.
        margins: how many margins are taken off.

    Returns:
        bool, shape (height, width).
    """
    width, height = resolution_wh
    shown = np.zeros((height, width), np.uint8)
    if not field_of_view.has_picture:
        return shown.view(np.bool_)
    x1, y1, x2, y2 = field_of_view.box_xyxy
    shown[y1:y2, x1:x2] = 1 if field_of_view.mask is None else field_of_view.mask[y1:y2, x1:x2]
    margin = margins * math.ceil(_MARGIN * max(width, height))
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    eroded = cv2.erode(shown, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)  # the frame's own edge stays
    return np.asarray(eroded, np.uint8).view(np.bool_)


@dataclass(slots=True)
class Fields:
    """The fields of view of a recording, noted in order, and what is shown of each frame."""

    _notes: list[_Note] = field(default_factory=list)
    _of: tuple[tuple[int, int], tuple[int, int]] | None = None
    _mask: Mask | None = None

    def note(self, field_of_view: FieldOfView, time_s: float, resolution_wh: tuple[int, int]) -> None:
        """Take the field of the next frame; one without picture says nothing of where it is."""
        if field_of_view.has_picture and (not self._notes or self._notes[-1][1] is not field_of_view):
            self._notes.append((time_s, field_of_view, resolution_wh))

    def shown(self, time_s: float, resolution_wh: tuple[int, int]) -> Mask:
        """What may be shown of a frame: that which is in all fields from shortly before it until seconds later.

        Args:
            time_s: of the frame. Times are asked for in rising order.
            resolution_wh: of the frame, in pixels.

        Returns:
            bool, shape (height, width); not to be written to.
        """
        begins = [begin for begin, _, _ in self._notes]
        # The field that holds at a time is the last one that began before it.
        first = max(int(np.searchsorted(begins, time_s - _BEFORE_S, side="right")) - 1, 0)
        last = max(int(np.searchsorted(begins, time_s + _AFTER_S, side="right")), first + 1)
        if self._mask is None or self._of != ((first, last), resolution_wh):
            width, height = resolution_wh
            mask = np.ones((height, width), np.bool_)
            fitting = [one for _, one, size_wh in self._notes[first:last] if size_wh == resolution_wh]
            for one in fitting:
                mask &= safe_mask(one, resolution_wh)
            self._mask = mask if fitting else np.zeros((height, width), np.bool_)
            self._of = (first, last), resolution_wh
        return self._mask
