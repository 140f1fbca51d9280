"""Text inside a picture: what is thin and stands out is drawn in black on white, and Tesseract reads it.

Tissue as it is makes Tesseract read words into folds and vessels, slowly. Strokes alone it reads faster and better.
What it still reads into tissue are short words, mostly. In a recording these count only where they stay in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engine.arrays import Image, Plane
from stream.hospital.deidentify.looking.drawings import Drawing, drawings_of
from stream.hospital.deidentify.looking.recogniser import Recogniser, Word

_HIGHEST_WORD = 0.2  # of the picture's height
#: Of two words of a block, in their heights: gaps beside and below, what their left edges differ by, and their ratio.
_ASIDE, _BELOW, _ALIGNED, _ALIKE = 2.0, 1.5, 0.8, 1.6
_GAP = 0.8  # of a word's height, between two signs of a line
_SHORTEST, _TALLEST = 0.5, 1.3  # of a word's height, of another sign in its line
_SHORT = 3  # letters and digits, up to which a word has to stay
_BATCH = 4  # pictures a call: its start costs as much as half a picture


@dataclass(frozen=True, slots=True)
class Strictness:
    """From which confidence on words count, 0 to 100. Into plain tissue Tesseract reads short words, hardly a number.

    Attributes:
        number: of those with three digits or more.
        word: of other words of three letters or more.
        pair: of those of two letters or digits.
        blocks: whether words beside those that count do so as well.
    """

    number: float
    word: float
    pair: float
    blocks: bool

    def counts(self, word: Word) -> bool:
        """Whether a word counts."""
        if word.signs < 2:
            return False
        digits = sum(sign.isdigit() for sign in word.text)
        least = self.number if digits >= 3 else self.word if word.signs >= 3 else self.pair
        return word.confidence >= least


COVERING = Strictness(number=35, word=60, pair=85, blocks=True)
"""What is covered. Planted words are read with over 90 mostly, and few are read into tissue with over these."""
CHECKING = Strictness(number=60, word=88, pair=101, blocks=False)
"""What counts as readable when an output is read back."""


def find_words(
    images: Sequence[Image], recogniser: Recogniser, strictness: Strictness, *, beside: Sequence[Sequence[Image]] = ()
) -> list[tuple[Word, ...]]:
    """Reads the words inside pictures.

    Args:
        images: BGR uint8, shape (height, width, 3), black where nothing is to be looked for.
        recogniser: that reads.
        strictness: which words count.
        beside: for each picture, the same part of frames shortly before and after it, or nothing: short words
            then have to stay at their places.

    Returns:
        The words of each picture, with boxes in its pixels.

    Raises:
        RunError: Tesseract failed.
    """
    neighbours = beside or [()] * len(images)
    prepared = [
        (number, drawing)
        for number, (image, others) in enumerate(zip(images, neighbours, strict=True))
        for drawing in drawings_of(image, others)
    ]
    found: list[list[Word]] = [[] for _ in images]
    for start in range(0, len(prepared), _BATCH):
        batch = prepared[start : start + _BATCH]
        for (number, drawing), words in zip(batch, recogniser.read([one.signs for _, one in batch]), strict=True):
            found[number] += _counted(words, drawing, strictness)
    return [tuple(words) for words in found]


def _counted(words: Sequence[Word], drawing: Drawing, strictness: Strictness) -> list[Word]:
    """The words of a drawing that count, with boxes in pixels of the picture."""
    low = [one for one in words if _height(one) <= _HIGHEST_WORD * drawing.signs.shape[0]]
    certain = [one for one in low if strictness.counts(one) and (one.signs > _SHORT or drawing.stays(one.box_xyxy))]
    counted = []
    for word in _with_their_blocks(certain, low) if strictness.blocks else certain:
        x1, y1, x2, y2 = (side / drawing.scale for side in _with_rest_of_line(word.box_xyxy, drawing.signs))
        counted.append(Word(word.text, word.confidence, (x1, y1, x2, y2)))
    return counted


def _with_their_blocks(certain: Sequence[Word], words: Sequence[Word]) -> list[Word]:
    """Words that count, and those of about their height beside them or aligned below or above, however sure."""
    chosen = list(certain)
    for anchor in chosen:  # which grows meanwhile
        chosen += [word for word in words if word.signs and word not in chosen and _of_one_block(anchor, word)]
    return chosen


def _of_one_block(anchor: Word, word: Word) -> bool:
    x1, y1, x2, y2 = anchor.box_xyxy
    left, top, right, bottom = word.box_xyxy
    high = _height(anchor)
    if not 1 / _ALIKE <= _height(word) / high <= _ALIKE:
        return False
    in_line = abs(top + bottom - y1 - y2) <= high and max(left - x2, x1 - right) <= _ASIDE * high
    return in_line or (abs(left - x1) <= _ALIGNED * high and max(top - y2, y1 - bottom) <= _BELOW * high)


def _height(word: Word) -> float:
    return max(word.box_xyxy[3] - word.box_xyxy[1], 1.0)


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
