"""Stretches outside the body: what is not surely inside becomes black.

`stream.view.picture_state` tells a room for reports, and is right when it says so. Here the opposite has to be sure. A
frame is inside when most of it has the saturated red of tissue; it is outside when hardly anything has. Between them it
is doubtful. The limits were read off 600 frames of ten sets; `benchmarks/deidentify.py` counts how often they are
wrong.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from engine.pictures.picture import AnyPicture
from stream.frame import FieldOfView
from stream.hospital.deidentify.looking.regions import Stretch
from stream.view.frame_quality import SmallPicture, small_picture
from stream.view.picture_state import shows_room

_LIT = 30  # grey level of the brightest colour under which a cell has no colour
_LEAST_LIT = 64  # cells
_SATURATED = 1.25  # red above green and blue, of tissue
_LEAST_SATURATED, _LEAST_REDDISH = 0.5, 0.75  # of the lit cells
_PAD_S = 1.5  # around what is outside
_BRIDGE_S = 2.0  # of doubt between two moments inside
_LEAST_S = 2.0  # that a stretch inside lasts, of a recording that is so long


class Evidence(IntEnum):
    """What one frame says of where the endoscope is."""

    OUTSIDE = 0
    DOUBT = 1
    INSIDE = 2


def evidence_of(image: AnyPicture, field: FieldOfView) -> Evidence:
    """Say where the endoscope is by one frame.

    Args:
        image: BGR uint8, shape (height, width, 3), or as it was decoded.
        field: its field of view.
    """
    if not field.has_picture or min(field.size_wh) <= 0:
        return Evidence.DOUBT
    picture = small_picture(image, field)
    if shows_room(picture):
        return Evidence.OUTSIDE
    return Evidence.INSIDE if _shows_tissue(picture) else Evidence.DOUBT


def _shows_tissue(picture: SmallPicture) -> bool:
    lit = picture.cells[picture.inside & (picture.cells.max(axis=2) > _LIT)].astype(np.float32)
    if len(lit) < _LEAST_LIT:
        return False
    blue, green, red = lit.T
    reddish = (red >= green) & (red > 1.1 * blue)
    saturated = (red > _SATURATED * green) & (red > _SATURATED * blue)
    return float(reddish.mean()) >= _LEAST_REDDISH and float(saturated.mean()) >= _LEAST_SATURATED


def frames_inside(evidence: npt.NDArray[np.int8], times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Say which frames of a recording are surely inside the body, by those around them.

    A frame is, when no frame up to 1.5 s away shows a room, when no doubt lasts 2 s around it, and when the stretch
    that it belongs to lasts 2 s (or as long as the recording).

    Args:
        evidence: values of `Evidence`, shape (N,).
        times_s: presentation times in seconds, shape (N,), rising.
    """
    inside = evidence == Evidence.INSIDE
    for first, last in _runs(evidence == Evidence.DOUBT):
        between = first > 0 and last + 1 < len(inside) and inside[first - 1] and inside[last + 1]
        if between and times_s[last + 1] - times_s[first - 1] <= _BRIDGE_S:
            inside[first : last + 1] = True
    for first, last in _runs(evidence == Evidence.OUTSIDE):
        inside[(times_s >= times_s[first] - _PAD_S) & (times_s <= times_s[last] + _PAD_S)] = False
    step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    for first, last in _runs(inside):
        whole = first == 0 and last + 1 == len(inside)
        if not whole and times_s[last] - times_s[first] + step_s < _LEAST_S:
            inside[first : last + 1] = False
    return inside


def stretches(chosen: npt.NDArray[np.bool_]) -> tuple[Stretch, ...]:
    """The runs of chosen frames."""
    return tuple(Stretch(first, last) for first, last in _runs(chosen))


def _runs(chosen: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]
