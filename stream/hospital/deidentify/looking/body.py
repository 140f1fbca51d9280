"""Stretches outside the body: what is not surely inside becomes black.

`stream.view.picture_state` tells a room for reports, and is right when it says so. Here the opposite has to be sure. A
frame is inside when nearly all of it is reddish, and most of it has the saturated red of tissue; it is outside when
hardly anything has. Between them it is doubtful, and so is what is pale and evenly lit, as skin is in a bright room:
the light of an endoscope falls off with the distance. The limits were read off 600 frames of ten sets and rendered
faces; `benchmarks/deidentify.py` counts how often they are wrong.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.pictures.picture import AnyPicture
from stream.frame import FieldOfView
from stream.hospital.deidentify.looking.regions import Stretch
from stream.view.frame_quality import SmallPicture, small_picture
from stream.view.picture_state import shows_room

_LIT = 30  # grey level of the brightest colour under which a cell has no colour
_LEAST_LIT = 64  # cells
#: Red above green and blue, of tissue. Light skin has about 1.3 times as much red as green, nearly all tissue has more.
_ABOVE_GREEN, _ABOVE_BLUE = 1.35, 1.25
_LEAST_SATURATED, _LEAST_REDDISH = 0.5, 0.75  # of the lit cells
_GLARE = 200  # grey level of all colours over which a cell has none
_LEAST_REDDISH_OR_GLARE = 0.85  # of the lit cells: instruments have the rest, and so does the wall behind a face
#: Pale: median of the colours' saturation. Evenly lit: the 5th percentile of the brightness as a share of the 95th.
_PALE, _EVEN = 0.46, 0.65
_PAD_S, _DOUBT_PAD_S = 1.5, 0.5  # around what is outside, and what is doubtful for long
_BRIDGE_S = 2.0  # of doubt between two moments inside
_LEAST_S = 2.0  # that a stretch inside lasts, of a recording that is so long
_LEAST_BY_ROOM_S = 5.0  # that it lasts where a room is seen before or after it: a face in front of the lens does not


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
    cells = picture.cells[picture.inside]
    lit = cells[cells.max(axis=1) > _LIT].astype(np.float32)
    if len(lit) < _LEAST_LIT:
        return False
    blue, green, red = lit.T
    reddish = (red >= green) & (red > 1.1 * blue)
    glare = lit.min(axis=1) > _GLARE
    saturated = (red > _ABOVE_GREEN * green) & (red > _ABOVE_BLUE * blue)
    enough = float(reddish.mean()) >= _LEAST_REDDISH and float(saturated.mean()) >= _LEAST_SATURATED
    return enough and float((reddish | glare).mean()) >= _LEAST_REDDISH_OR_GLARE and not _is_pale_and_even(cells, lit)


def _is_pale_and_even(cells: Image, lit: npt.NDArray[np.float32]) -> bool:
    dark, bright = np.percentile(cells.max(axis=1), (5, 95))
    saturation = float(np.median(1 - lit.min(axis=1) / lit.max(axis=1)))
    return saturation < _PALE and float(dark) > _EVEN * float(bright)


def frames_inside(evidence: npt.NDArray[np.int8], times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Say which frames of a recording are surely inside the body, by those around them.

    A frame is, when no frame up to 1.5 s away shows a room, when no doubt lasts 2 s around it, and when the stretch
    that it belongs to lasts 2 s (or as long as the recording), or 5 s where what is beside it shows a room.

    Args:
        evidence: values of `Evidence`, shape (N,).
        times_s: presentation times in seconds, shape (N,), rising.
    """
    inside: npt.NDArray[np.bool_] = np.equal(evidence, Evidence.INSIDE)
    doubtful: list[tuple[int, int]] = []
    for first, last in _runs(evidence == Evidence.DOUBT):
        between = first > 0 and last + 1 < len(inside) and inside[first - 1] and inside[last + 1]
        if between and times_s[last + 1] - times_s[first - 1] <= _BRIDGE_S:
            inside[first : last + 1] = True
        else:
            doubtful.append((first, last))
    for runs, pad_s in ((_runs(evidence == Evidence.OUTSIDE), _PAD_S), (doubtful, _DOUBT_PAD_S)):
        for first, last in runs:
            inside[(times_s >= times_s[first] - pad_s) & (times_s <= times_s[last] + pad_s)] = False
    step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    rooms = np.equal(evidence, Evidence.OUTSIDE)
    end = 0  # of the stretch before
    for (first, last), (following, _) in pairwise([*_runs(inside), (len(inside), len(inside))]):
        whole = first == 0 and last + 1 == len(inside)
        by_room = rooms[end:first].any() or rooms[last + 1 : following].any()
        if not whole and times_s[last] - times_s[first] + step_s < (_LEAST_BY_ROOM_S if by_room else _LEAST_S):
            inside[first : last + 1] = False
        end = last + 1
    return inside


def stretches(chosen: npt.NDArray[np.bool_]) -> tuple[Stretch, ...]:
    """The runs of chosen frames."""
    return tuple(Stretch(first, last) for first, last in _runs(chosen))


def _runs(chosen: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]
