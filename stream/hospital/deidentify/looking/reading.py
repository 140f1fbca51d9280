"""Words of frames now and then, read by as many programs as there are processors while the video is decoded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from engine.arrays import Image, Mask
from stream.frame import FieldOfView, Frame
from stream.hospital.deidentify.looking.fields import safe_mask
from stream.hospital.deidentify.looking.following import Sample
from stream.hospital.deidentify.looking.recogniser import Recogniser, Word
from stream.hospital.deidentify.looking.words import COVERING, Strictness, find_words

_SAMPLES_A_TASK = 2  # frames that one call of the recogniser reads


@dataclass(slots=True)
class _Shot:
    """A frame that is read, with frames half a distance of samples before and after it, where there are any."""

    frame: Frame
    field: FieldOfView
    before: Frame | None
    after: Frame | None = None


class Reading:
    """Reads the frames of a recording that are due; all frames are handed in, in order."""

    def __init__(
        self, recogniser: Recogniser | None, *, text_every_s: float, strictness: Strictness = COVERING
    ) -> None:
        """Nothing was read yet.

        Args:
            recogniser: that reads; None reads nothing.
            text_every_s: least distance of two frames that are read, in seconds.
            strictness: which words count.
        """
        self._recogniser, self._every_s, self._strictness = recogniser, text_every_s, strictness
        self._workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="words")
        self._next_s = -np.inf
        self._before: Frame | None = None
        self._open: _Shot | None = None
        self._last: tuple[Frame, FieldOfView] | None = None
        self._waiting: list[_Shot] = []
        self._running: deque[Future[list[Sample]]] = deque()
        self._done: list[Sample] = []

    def __enter__(self) -> Reading:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)

    def update(self, frame: Frame, field: FieldOfView) -> None:
        """Takes the next frame."""
        if self._recogniser is None or not field.has_picture:
            return
        if self._open is not None and frame.time_s >= self._open.frame.time_s + self._every_s / 2:
            self._open.after = frame
            self._close()
        if frame.time_s < self._next_s:
            self._last = frame, field
            if self._before is None and frame.time_s >= self._next_s - self._every_s / 2:
                self._before = frame
            return
        self._close()
        self._open = _Shot(frame, field, self._before)
        self._last = self._before = None
        self._next_s = frame.time_s + self._every_s

    def finish(self) -> list[Sample]:
        """All samples, in order; the last frame is one.

        Raises:
            RunError: Tesseract failed.
        """
        if self._open is not None and self._last is not None:
            self._open.after = self._last[0]
        self._close()
        if self._last is not None:
            self._open = _Shot(*self._last, self._before)
            self._close()
        if self._waiting:
            self._start()
        while self._running:
            self._done += self._running.popleft().result()
        return self._done

    def _close(self) -> None:
        """Lets the open shot be read."""
        if self._open is None:
            return
        self._waiting.append(self._open)
        self._open = None
        if len(self._waiting) == _SAMPLES_A_TASK:
            self._start()

    def _start(self) -> None:
        if len(self._running) > self._workers:
            self._done += self._running.popleft().result()
        assert self._recogniser is not None
        self._running.append(self._pool.submit(_read, self._waiting, self._recogniser, self._strictness))
        self._waiting = []


def words_shown(
    images: Sequence[tuple[Image, FieldOfView]],
    recogniser: Recogniser,
    strictness: Strictness,
    *,
    beside: Sequence[Sequence[Image]] = (),
) -> list[tuple[Word, ...]]:
    """The words that can be read inside the fields of view of pictures, with boxes in pixels of the whole pictures.

    Args:
        images: BGR uint8, shape (height, width, 3), with their fields of view.
        recogniser: that reads.
        strictness: which words count.
        beside: for each picture, whole frames shortly before and after it (`find_words`).

    Raises:
        RunError: Tesseract failed.
    """
    parts, neighbours = [], []
    for (image, field), others in zip(images, beside or [()] * len(images), strict=True):
        height, width = image.shape[:2]
        mask = safe_mask(field, (width, height))
        parts.append(_in_field(image, field, mask))
        neighbours.append([_in_field(other, field, mask) for other in others if other.shape == image.shape])
    found = []
    for (_, field), words in zip(images, find_words(parts, recogniser, strictness, beside=neighbours), strict=True):
        x, y = field.box_xyxy[:2]
        moved = []
        for word in words:
            left, top, right, bottom = word.box_xyxy
            moved.append(Word(word.text, word.confidence, (left + x, top + y, right + x, bottom + y)))
        found.append(tuple(moved))
    return found


def _in_field(image: Image, field: FieldOfView, mask: Mask) -> Image:
    """What a picture shows in the box of a field of view, black outside the mask, which is of the whole picture."""
    x1, y1, x2, y2 = field.box_xyxy
    return np.where(mask[y1:y2, x1:x2, None], image[y1:y2, x1:x2], 0).astype(np.uint8)


def _read(shots: list[_Shot], recogniser: Recogniser, strictness: Strictness) -> list[Sample]:
    images = [(shot.frame.image, shot.field) for shot in shots]
    beside = [[one.image for one in (shot.before, shot.after) if one is not None] for shot in shots]
    words = words_shown(images, recogniser, strictness, beside=beside)
    return [Sample(shot.frame.index, shot.frame.time_s, one) for shot, one in zip(shots, words, strict=True)]
