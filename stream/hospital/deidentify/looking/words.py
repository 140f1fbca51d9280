"""Text inside a picture: what is thin and stands out is drawn in black on white, and Tesseract reads it.

Tissue as it is makes Tesseract read words into folds and vessels, slowly. Strokes alone it reads faster and better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engine.arrays import Image, Plane
from stream.hospital.deidentify.looking.recogniser import Recogniser, Word

_LONGER_SIDE = 1000  # pixels to which smaller pictures are scaled: text of 8 px in 352 becomes large enough
_LARGEST = 2000  # pixels to which larger ones are
_STROKE = 0.021  # of the longer side: strokes are thinner, and gaps between them
_STANDS_OUT = 40  # grey levels of a stroke above, or below, what is around it
_LOWEST_SIGN_PX, _LEAST_SIGN_PX = 5, 6  # height and area of a piece that can be a sign
_HIGHEST_SIGN, _WIDEST_SIGN = 1 / 6, 1 / 5  # of the picture
_HIGHEST_WORD = 0.2  # of the picture's height
_GAP = 0.8  # of a word's height, between two signs of a line
_SHORTEST, _TALLEST = 0.5, 1.3  # of a word's height, of another sign in its line
_BATCH = 4  # pictures a call: its start costs as much as half a picture


@dataclass(frozen=True, slots=True)
class Strictness:
    """From which confidence on words count, 0 to 100. Into plain tissue Tesseract reads short words, hardly a number.

    Attributes:
        number: of those with three digits or more.
        word: of other words of three letters or more.
        pair: of those of two letters or digits.
    """

    number: float
    word: float
    pair: float

    def counts(self, word: Word) -> bool:
        """Whether a word counts."""
        if word.signs < 2:
            return False
        digits = sum(sign.isdigit() for sign in word.text)
        least = self.number if digits >= 3 else self.word if word.signs >= 3 else self.pair
        return word.confidence >= least


COVERING = Strictness(number=35, word=60, pair=85)
"""What is covered. Planted words are read with over 90 mostly, and few are read into tissue with over these."""
CHECKING = Strictness(number=60, word=88, pair=101)
"""What counts as readable when an output is read back."""


def find_words(images: Sequence[Image], recogniser: Recogniser, strictness: Strictness) -> list[tuple[Word, ...]]:
    """Reads the words inside pictures.

    Args:
        images: BGR uint8, shape (height, width, 3), black where nothing is to be looked for.
        recogniser: that reads.
        strictness: which words count.

    Returns:
        The words of each picture, with boxes in its pixels.

    Raises:
        RunError: Tesseract failed.
    """
    prepared = [(number, *drawn) for number, image in enumerate(images) for drawn in _drawings(image)]
    found: list[list[Word]] = [[] for _ in images]
    for start in range(0, len(prepared), _BATCH):
        batch = prepared[start : start + _BATCH]
        for (number, signs, scale), words in zip(batch, recogniser.read([one[1] for one in batch]), strict=True):
            for word in words:
                height = (word.box_xyxy[3] - word.box_xyxy[1]) / scale
                if strictness.counts(word) and height <= _HIGHEST_WORD * images[number].shape[0]:
                    x1, y1, x2, y2 = (side / scale for side in _with_rest_of_line(word.box_xyxy, signs))
                    found[number].append(Word(word.text, word.confidence, (x1, y1, x2, y2)))
    return [tuple(words) for words in found]


def _with_rest_of_line(box: tuple[float, float, float, float], signs: Plane) -> tuple[float, float, float, float]:
    """A word's box with the signs beside it that Tesseract has not read: of about its height, no wider apart than that.

    Args:
        box: in pixels of the drawing.
        signs: the drawing, 0 on 255.
    """
    x1, y1, x2, y2 = (round(side) for side in box)
    height = max(y2 - y1, 1)
    top = max(y1 - height // 2, 0)
    strip = np.equal(signs[top : y2 + height // 2], 0).astype(np.uint8)
    _, _, stats, centres = cv2.connectedComponentsWithStats(strip, connectivity=8)
    pieces = [
        (x, x + across)
        for (x, _, across, down, _), (_, middle) in zip(stats[1:].tolist(), centres[1:], strict=True)
        if _SHORTEST * height <= down <= _TALLEST * height and across <= 2 * height and y1 <= middle + top <= y2
    ]
    gap = _GAP * height
    while beside := [
        one for one in pieces if x1 - gap <= one[1] and one[0] <= x2 + gap and (one[0] < x1 or one[1] > x2)
    ]:
        x1, x2 = min([x1, *(left for left, _ in beside)]), max([x2, *(right for _, right in beside)])
    return x1, y1, x2, y2


def _drawings(image: Image) -> list[tuple[Plane, float]]:
    """What is thin in a picture, black on white: bright strokes and dark strokes, with the scale of both drawings."""
    longer = max(image.shape[:2])
    scale = max(1.0, _LONGER_SIDE / longer) if longer < _LARGEST else _LARGEST / longer
    size_wh = round(image.shape[1] * scale), round(image.shape[0] * scale)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    side = round(_STROKE * max(size_wh)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    # Tissue is red: in green what is drawn in white, yellow, green or cyan stands out most.
    bright = np.asarray(cv2.resize(np.ascontiguousarray(image[:, :, 1]), size_wh, interpolation=method), np.uint8)
    grey = np.asarray(cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), size_wh, interpolation=method), np.uint8)
    drawings = []
    for plane, operation in ((bright, cv2.MORPH_TOPHAT), (grey, cv2.MORPH_BLACKHAT)):
        signs = _signs(np.asarray(cv2.morphologyEx(plane, operation, kernel), np.uint8))
        if not signs.all():
            drawings.append((signs, scale))
    return drawings


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
