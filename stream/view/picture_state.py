"""What each frame shows as a whole: something useful, blur, glare, the room, the picture before once more, or nothing.

It decides nothing; reports of procedures count it. The limits were read off real frames of ten sets (white light, FICE,
dye), of which nearly all have over 0.5 of their cells reddish, and off eight moving clips, whose neighbouring frames
differ by 0.38 grey levels at least. `benchmarks/procedure.py` counts how often they are wrong.

Instruments are told by a network (`stream.instruments`); washing is not told from the rest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.pictures.picture import AnyPicture
from stream.frame import FieldOfView, PictureState
from stream.view.frame_quality import Flaw, SmallPicture, flaw_of, small_picture

_LEAST_REDDISH = 0.25  # of the cells that are lit
_LIT = 30  # grey level of the brightest colour under which a cell has no colour to judge
_LEAST_LIT = 64  # cells
_STILL = 0.25  # mean difference of two pictures in grey levels under which they are the same
_STATES = {Flaw.NO_PICTURE: PictureState.BLACK, Flaw.WASH: PictureState.WASHED_OUT, Flaw.BLUR: PictureState.BLURRED}


class PictureWatch:
    """Tells of each frame of one source, fed in order from one thread, what it shows."""

    def __init__(self, *, steady: bool = True) -> None:
        """Start without memory.

        Args:
            steady: whether frames follow each other in time; pictures of a folder need not.
        """
        self._steady = steady
        self._before: SmallPicture | None = None

    def update(self, image: AnyPicture, field: FieldOfView) -> tuple[Flaw | None, PictureState]:
        """Look at the next frame.

        Args:
            image: BGR uint8, shape (height, width, 3), or as it was decoded.
            field: its field of view.

        Returns:
            Why it shows nothing useful, as `find_flaw` says, and its state.
        """
        if not field.has_picture or min(field.size_wh) <= 0:
            self._before = None
            return Flaw.NO_PICTURE, _without_picture(image)
        picture = small_picture(image, field)
        flaw = flaw_of(picture)
        before, self._before = self._before, picture
        if self._steady and before is not None and _same(before, picture):
            return flaw, PictureState.STILL
        if flaw is not Flaw.WASH and shows_room(picture):
            return flaw, PictureState.OUTSIDE
        return flaw, PictureState.USEFUL if flaw is None else _STATES[flaw]


def _without_picture(image: AnyPicture) -> PictureState:
    """What a frame shows that has no field of view: nothing at all, a wall of the room, or mucosa at the lens."""
    height, width = image.shape[:2]
    picture = small_picture(image, FieldOfView((0, 0, width, height)))
    if not _lit(picture).any():
        return PictureState.BLACK
    return PictureState.OUTSIDE if shows_room(picture) else PictureState.BLURRED


def shows_room(picture: SmallPicture) -> bool:
    """Whether a picture lacks the red of the body: the endoscope lies outside."""
    blue, green, red = picture.cells[_lit(picture)].astype(np.int16).T
    reddish = (red >= green) & (red > 1.1 * blue)
    return reddish.size > 0 and float(reddish.mean()) < _LEAST_REDDISH


def _lit(picture: SmallPicture) -> npt.NDArray[np.bool_]:
    """Cells inside that are bright enough to have a colour; none where there are too few to tell."""
    lit: npt.NDArray[np.bool_] = picture.inside & (picture.cells.max(axis=2) > _LIT)
    return lit if np.count_nonzero(lit) >= _LEAST_LIT else np.zeros_like(lit)


def _same(one: SmallPicture, other: SmallPicture) -> bool:
    if one.cells.shape != other.cells.shape or not other.tells:
        return False
    difference = np.abs(one.cells.astype(np.int16) - other.cells)[other.inside]
    return float(difference.mean()) < _STILL
