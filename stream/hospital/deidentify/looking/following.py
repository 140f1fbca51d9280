"""Words that were read in samples of a recording, followed through the frames between them.

A word is covered from the sample before it was read to the sample after it. Where the next sample has it elsewhere, all
of the way between is covered too, and as much beyond it. Where it is read again later at the same place, it was there
all the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from engine.pictures.picture import Box
from stream.hospital.deidentify.looking.recogniser import Word
from stream.hospital.deidentify.looking.regions import Reason, Region, box_around, joined, overlap, whole_box

_GROWN = (1.0, 0.4)  # of a word's height, along it and beside it: a letter that was not read, and soft edges
_STANDS = 1.5  # as high as it is wide: a word that is read downwards or upwards
_ALIKE_TEXT = 0.6  # of the letters of two words: they are one, elsewhere
_LEAST_SIGNS = 4  # of a word that is followed: shorter ones are alike by chance
_SAME_PLACE = 0.3  # intersection over union
_AWAY_S = 30.0  # over which a word that is read again at the same place was not gone
_ALIKE = 1.6  # times as high at most: the same word, elsewhere
_STAYED = 0.9  # intersection over union: it has not moved
_FAR = 0.3  # of the frame's longer side, that a word moves between two samples


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame in which words were looked for.

    Attributes:
        index: of the frame.
        time_s: of the frame, in seconds.
        words: that were read in it, with boxes in its pixels.
    """

    index: int
    time_s: float
    words: tuple[Word, ...]


def regions_of_words(samples: Sequence[Sample], *, last: int, resolution_wh: tuple[int, int]) -> tuple[Region, ...]:
    """What has to be covered for the words of a recording.

    Args:
        samples: in order.
        last: index of the last frame.
        resolution_wh: of the frames, in pixels.
    """

    def region(box: tuple[float, float, float, float], first: int, end: int) -> Region:
        return Region(_padded(box, resolution_wh), first, end, Reason.WORD)

    found: list[Region] = []
    far = _FAR * max(resolution_wh)
    for place, sample in enumerate(samples):
        before = samples[place - 1].index if place else 0
        after = samples[place + 1].index if place + 1 < len(samples) else last
        earlier = samples[place - 1].words if place else ()
        later = samples[place + 1].words if place + 1 < len(samples) else ()
        for word in sample.words:
            found.append(region(word.box_xyxy, before, after))
            came_from = [other.box_xyxy for other in _moved(word, earlier, far=far)]
            goes_to = [other.box_xyxy for other in _moved(word, later, far=far)]
            # Where it was seen to move on one side only, it may have moved as far on the other.
            onwards = goes_to or [_beyond(word.box_xyxy, box) for box in came_from]
            backwards = came_from or [_beyond(word.box_xyxy, box) for box in goes_to]
            found += [region(box_around([word.box_xyxy, box]), sample.index, after) for box in onwards]
            found += [region(box_around([word.box_xyxy, box]), before, sample.index) for box in backwards]
            again = next(_again(word, sample, samples[place + 2 :]), None)
            if again is not None:
                box = box_around([word.box_xyxy, again[1].box_xyxy])
                found.append(region(box, sample.index, again[0].index))
    return joined(found)


def regions_of_picture(words: Sequence[Word], resolution_wh: tuple[int, int]) -> tuple[Region, ...]:
    """What has to be covered for the words of a single picture, whose index is 0."""
    return joined(Region(_padded(word.box_xyxy, resolution_wh), 0, 0, Reason.WORD) for word in words)


def _padded(box: tuple[float, float, float, float], resolution_wh: tuple[int, int]) -> Box:
    across, down = box[2] - box[0], box[3] - box[1]
    along, beside = _GROWN
    if down > _STANDS * across:
        return whole_box(box, resolution_wh, grown_xy=(beside * across, along * across))
    return whole_box(box, resolution_wh, grown_xy=(along * down, beside * down))


def _beyond(
    box: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Where a box is that moved on from another one by as much as it came from there."""
    x1, y1, x2, y2 = (2 * here - there for here, there in zip(box, other, strict=True))
    return x1, y1, x2, y2


def _moved(word: Word, others: Sequence[Word], *, far: float) -> Iterator[Word]:
    """The words of a neighbouring sample that may be this one, elsewhere."""
    x1, y1, x2, y2 = word.box_xyxy
    for other in others if word.signs >= _LEAST_SIGNS else ():
        left, top, right, bottom = other.box_xyxy
        high, higher = sorted((y2 - y1, bottom - top))
        away = max(abs(left + right - x1 - x2), abs(top + bottom - y1 - y2)) / 2
        alike = higher <= _ALIKE * high and SequenceMatcher(None, word.text, other.text).ratio() >= _ALIKE_TEXT
        if alike and away <= far and overlap(word.box_xyxy, other.box_xyxy) < _STAYED:
            yield other


def _again(word: Word, sample: Sample, later: Sequence[Sample]) -> Iterator[tuple[Sample, Word]]:
    """Where a word is read again at the same place, after samples in which it was not."""
    for one in later:
        if one.time_s - sample.time_s > _AWAY_S:
            return
        for other in one.words:
            if overlap(word.box_xyxy, other.box_xyxy) > _SAME_PLACE:
                yield one, other
