"""Text inside a picture: what is thin and stands out is drawn in black on white, and Tesseract reads it.

Tissue as it is makes Tesseract read words into folds and vessels, slowly. Strokes alone it reads faster and better.
What it still reads into tissue are short words, mostly. In a recording these count only where they stay in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from engine.arrays import Image, Plane
from stream.hospital.deidentify.looking.drawings import Drawing, drawings_of
from stream.hospital.deidentify.looking.recogniser import Recogniser, Word
from stream.hospital.deidentify.looking.rows import Page, Row, rows_of, with_rest_of_line

_HIGHEST_WORD = 0.2  # of the picture's height
#: Of two words of a block, in their heights: gaps beside and below, what their left edges differ by, and their ratio.
_ASIDE, _BELOW, _ALIGNED, _ALIKE = 2.0, 1.5, 0.8, 1.6
_SHORT = 3  # letters and digits, up to which a word has to stay
_UNREAD = Word("", 0, (0, 0, 0, 0))
_BATCH = 4  # pictures a call: its start costs as much as half a picture


@dataclass(frozen=True, slots=True)
class Strictness:
    """From which confidence on words count, 0 to 100. Into plain tissue Tesseract reads short words, hardly a number.

    Attributes:
        number: of those with three digits or more.
        word: of other words of three letters or more.
        pair: of those of two letters or digits.
        blocks: whether words beside those that count do so as well, and rows of print that cannot be read.
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

    def counts_in_row(self, word: Word) -> bool:
        """Whether a word of a row that was read by itself counts: short ones are read into specks."""
        return word.signs > _SHORT and self.counts(word)


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
    tasks: list[tuple[int, Plane, Callable[[Sequence[Word]], list[Word]]]] = []
    for number, (image, others) in enumerate(zip(images, beside or [()] * len(images), strict=True)):
        drawings = drawings_of(image, others)
        tasks += [(number, one.signs, partial(_of_drawing, one, strictness)) for one in drawings]
        page = Page.of(row for one in drawings for row in rows_of(one))
        if page is not None:
            tasks.append((number, page.picture, partial(_of_page, page, strictness)))
    found: list[list[Word]] = [[] for _ in images]
    for start in range(0, len(tasks), _BATCH):
        batch = tasks[start : start + _BATCH]
        for (number, _, counted), words in zip(batch, recogniser.read([plane for _, plane, _ in batch]), strict=True):
            found[number] += counted(words)
    return [tuple(words) for words in found]


def _of_drawing(drawing: Drawing, strictness: Strictness, words: Sequence[Word]) -> list[Word]:
    """The words of a drawing that count, with boxes in pixels of the picture."""
    low = [one for one in words if _height(one) <= _HIGHEST_WORD * drawing.signs.shape[0]]
    certain = [one for one in low if strictness.counts(one) and (one.signs > _SHORT or drawing.stays(one.box_xyxy))]
    return [
        drawing.placed(word, with_rest_of_line(word.box_xyxy, drawing.signs))
        for word in (_with_their_blocks(certain, low) if strictness.blocks else certain)
    ]


def _of_page(page: Page, strictness: Strictness, words: Sequence[Word]) -> list[Word]:
    """The rows of a page that hold a word that counts, or that are print, with boxes in pixels of the picture."""
    found: list[Word] = []
    rows = page.by_row(words)
    for drawing, is_standing in dict.fromkeys((row.drawing, row.is_standing) for row, _ in rows):
        low: dict[Word, Row] = {}
        certain = []
        for row, read in rows:
            if row.drawing is not drawing or row.is_standing is not is_standing:
                continue
            best = max(read, key=lambda word: (strictness.counts_in_row(word), word.signs), default=_UNREAD)
            word = Word(best.text, best.confidence, row.level_xyxy)
            low[word] = row
            is_print = strictness.blocks and row.is_print and drawing.stays(row.box_xyxy)
            if is_print or strictness.counts_in_row(best):
                certain.append(word)
        for word in _with_their_blocks(certain, list(low)) if strictness.blocks else certain:
            found.append(drawing.placed(word, low[word].whole_box()))
    return found


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
