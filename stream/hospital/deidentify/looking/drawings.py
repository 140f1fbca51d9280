"""What can be writing in a picture: what is thin and stands out, drawn in black on white, and whether it stays there.

Burned-in text stays where it is on the screen while tissue moves. So the strokes of a word are looked for at the same
place in frames shortly before and after; where all of the scene stays as well, that says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from engine.arrays import Float32s, Image, Plane
from stream.hospital.deidentify.looking.recogniser import Word

_LONGER_SIDE = 1000  # pixels to which smaller pictures are scaled: text of 8 px in 352 becomes large enough
_LARGEST = 2000  # pixels to which larger ones are
_STROKE = 0.021  # of the longer side: strokes are thinner, and gaps between them
_STANDS_OUT = 40  # grey levels of a stroke above, or below, what is around it
_LOWEST_SIGN_PX, _LEAST_SIGN_PX = 5, 6  # height and area of a piece that can be a sign
_HIGHEST_SIGN, _WIDEST_SIGN = 1 / 6, 1 / 5  # of the picture
#: Correlation of strokes with those at the same place of another frame. Planted words that were read had 0.65 and more
#: in one of both frames, four of five words that were read into tissue less than 0.25, and a whole scene that moves 0.1
#: to 0.4.
_STAYED, _SCENE_STAYED = 0.35, 0.6
_SOFT_PX, _AROUND_PX = 1.5, 4  # by which strokes are blurred, and what is compared around a word, in the drawing


@dataclass(frozen=True, eq=False)
class Drawing:
    """The bright or the dark strokes of a picture.

    Attributes:
        strokes: by how much each pixel stands out from what is around it, in grey levels.
        signs: 0 where a sign can be, 255 elsewhere.
        scale: of the drawing, to that of the picture.
        is_bright: whether the strokes are brighter than what is around them.
        beside: the same part of frames shortly before and after, BGR uint8.
    """

    strokes: Plane
    signs: Plane
    scale: float
    is_bright: bool
    beside: tuple[Image, ...] = ()

    def stays(self, box_xyxy: tuple[float, float, float, float]) -> bool:
        """Whether what is written in a box can be burned in: its strokes stay, or nothing says that they do not.

        Args:
            box_xyxy: in pixels of the drawing.
        """
        if not self.beside:
            return True
        x1, y1, x2, y2 = (round(side) for side in box_xyxy)
        rows = slice(max(y1 - _AROUND_PX, 0), y2 + _AROUND_PX)
        columns = slice(max(x1 - _AROUND_PX, 0), x2 + _AROUND_PX)
        now, others = self._compared
        return any(
            scene >= _SCENE_STAYED or _alike(now[rows, columns], then[rows, columns]) >= _STAYED
            for then, scene in others
        )

    def placed(self, word: Word, box_xyxy: tuple[float, float, float, float]) -> Word:
        """A word with a box in pixels of the picture, from one in pixels of the drawing."""
        x1, y1, x2, y2 = (side / self.scale for side in box_xyxy)
        return Word(word.text, word.confidence, (x1, y1, x2, y2))

    @cached_property
    def _compared(self) -> tuple[Float32s, list[tuple[Float32s, float]]]:
        """The strokes of the picture, and those of each frame beside it with how alike they are in whole."""
        of_others = (_strokes(image, self.signs.shape, is_bright=self.is_bright) for image in self.beside)
        now, *others = (
            np.asarray(cv2.GaussianBlur(strokes.astype(np.float32), (0, 0), _SOFT_PX), np.float32)
            for strokes in (self.strokes, *of_others)
        )
        return now, [(then, _alike(now, then)) for then in others]


def drawings_of(image: Image, beside: Sequence[Image] = ()) -> list[Drawing]:
    """The drawings of a picture in which there is anything.

    Args:
        image: BGR uint8, shape (height, width, 3), black where nothing is to be looked for.
        beside: the same part of frames shortly before and after.
    """
    longer = max(image.shape[:2])
    scale = max(1.0, _LONGER_SIDE / longer) if longer < _LARGEST else _LARGEST / longer
    shape = round(image.shape[0] * scale), round(image.shape[1] * scale)
    drawings = []
    for is_bright in (True, False):
        strokes = _strokes(image, shape, is_bright=is_bright)
        signs = _signs(strokes)
        if not signs.all():
            drawings.append(Drawing(strokes, signs, scale, is_bright, tuple(beside)))
    return drawings


def _alike(one: Float32s, other: Float32s) -> float:
    """Pearson's correlation of two planes."""
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    return float((one * other).sum()) / size if size else 0.0


def _strokes(image: Image, shape: tuple[int, ...], *, is_bright: bool) -> Plane:
    """By how much each pixel stands out from what is around it, where that is no more than a stroke."""
    # Tissue is red: in green what is drawn in white, yellow, green or cyan stands out most.
    plane = np.ascontiguousarray(image[:, :, 1]) if is_bright else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    method = cv2.INTER_CUBIC if shape[0] > plane.shape[0] else cv2.INTER_AREA
    scaled = cv2.resize(plane, shape[1::-1], interpolation=method)
    side = round(_STROKE * max(shape)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    operation = cv2.MORPH_TOPHAT if is_bright else cv2.MORPH_BLACKHAT
    return np.asarray(cv2.morphologyEx(scaled, operation, kernel), np.uint8)


def _signs(strokes: Plane) -> Plane:
    """What of the strokes can be signs by its size, 0 on 255."""
    stands_out = np.greater(strokes, _STANDS_OUT).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(stands_out, connectivity=8)
    width, height, area = (stats[:, column] for column in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    kept = (height >= _LOWEST_SIGN_PX) & (area >= _LEAST_SIGN_PX)
    kept &= (height <= _HIGHEST_SIGN * strokes.shape[0]) & (width <= _WIDEST_SIGN * strokes.shape[1])
    kept[0] = False
    signs: Plane = np.where(kept[labels], 0, 255).astype(np.uint8)
    return signs
