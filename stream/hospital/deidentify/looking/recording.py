"""A recording looked at from its first frame to its last, before anything of it is written."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.arrays import Image, Mask, Plane
from engine.errors import InputError
from engine.interrupts import check
from stream.frame import FieldOfView, Frame
from stream.hospital.deidentify.looking.body import Evidence, evidence_of, frames_inside
from stream.hospital.deidentify.looking.fields import Fields, safe_mask
from stream.hospital.deidentify.looking.following import Sample, regions_of_words
from stream.hospital.deidentify.looking.overlays import SAMPLES_A_SECOND, Overlay, OverlayWatch
from stream.hospital.deidentify.looking.recogniser import Recogniser, Word
from stream.hospital.deidentify.looking.regions import Reason, Region, joined
from stream.hospital.deidentify.looking.words import COVERING, Strictness, find_words
from stream.sources.source import Source
from stream.view.tracker import FieldOfViewTracker

_SAMPLES_A_TASK = 2  # frames that one call of the recogniser reads
_MARGINS_OF_OVERLAYS = 3  # the edge of the field stands still too
_OVERLAY_GAP_S = 15.0  # over which an overlay that is found again at the same place was not gone


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen of a recording.

    Attributes:
        frames: how many it has.
        inside: bool, shape (frames,): which are surely inside the body.
        fields: what may be shown of each.
        regions: what is covered in them.
        samples: frames in which words were looked for.
    """

    frames: int
    inside: npt.NDArray[np.bool_]
    fields: Fields
    regions: tuple[Region, ...]
    samples: int


def look_at_recording(
    source: Source,
    recogniser: Recogniser | None,
    *,
    text_every_s: float,
    on_frame: Callable[[], object] | None = None,
) -> Look:
    """Looks at all frames of a recording.

    Args:
        source: opened, and not read yet.
        recogniser: that reads words; None to look for static overlays only.
        text_every_s: distance of the frames in which words are looked for, in seconds.
        on_frame: told of each frame.

    Raises:
        InputError: it has no frame, or frames of several sizes.
        RunError: Tesseract failed.
    """
    tracker, fields, watch = FieldOfViewTracker(), Fields(), OverlayWatch()
    evidence: list[Evidence] = []
    times_s: list[float] = []
    with_picture: list[bool] = []
    last_overlay_s = -np.inf
    resolution_wh = source.info.resolution_wh
    with Reading(recogniser, text_every_s=text_every_s) as reading:
        for frame in source:
            check()
            if frame.resolution_wh != resolution_wh:
                raise InputError(
                    f"{source.info.path}: its frames change their size from {resolution_wh} to {frame.resolution_wh} "
                    f"at {frame.time_s:.2f} s; cut it there, and give the parts"
                )
            field = tracker.update(frame.picture, frame.time_s)
            fields.note(field, frame.time_s, resolution_wh)
            evidence.append(evidence_of(frame.picture, field))
            times_s.append(frame.time_s)
            with_picture.append(field.has_picture)
            if field.has_picture and frame.time_s >= last_overlay_s + 1 / SAMPLES_A_SECOND:
                last_overlay_s = frame.time_s
                mask = safe_mask(field, resolution_wh, margins=_MARGINS_OF_OVERLAYS)
                watch.update(_luma(frame), mask, frame.index)
            reading.update(frame, field)
            if on_frame is not None:
                on_frame()
        samples = reading.finish()
    if not times_s:
        raise InputError(f"{source.info.path} holds no frame that can be decoded")
    watch.finish()
    times = np.array(times_s)
    overlays = _regions_of_overlays(watch.found, times)
    words = regions_of_words(samples, last=len(times_s) - 1, resolution_wh=resolution_wh)
    # A frame without a field of view is never bridged: it may be a page of text.
    inside = frames_inside(np.array(evidence, np.int8), times) & np.array(with_picture)
    return Look(len(times_s), inside, fields, (*words, *overlays), len(samples))


class Reading:
    """Words of frames now and then, read by as many programs as there are processors while the video is decoded."""

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
        self._last: tuple[Frame, FieldOfView] | None = None
        self._waiting: list[tuple[Frame, FieldOfView]] = []
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
        if frame.time_s < self._next_s:
            self._last = frame, field
            return
        self._last = None
        self._next_s = frame.time_s + self._every_s
        self._waiting.append((frame, field))
        if len(self._waiting) == _SAMPLES_A_TASK:
            self._start()

    def finish(self) -> list[Sample]:
        """All samples, in order; the last frame is one.

        Raises:
            RunError: Tesseract failed.
        """
        if self._last is not None:
            self._waiting.append(self._last)
        if self._waiting:
            self._start()
        while self._running:
            self._done += self._running.popleft().result()
        return self._done

    def _start(self) -> None:
        if len(self._running) > self._workers:
            self._done += self._running.popleft().result()
        assert self._recogniser is not None
        self._running.append(self._pool.submit(_read, self._waiting, self._recogniser, self._strictness))
        self._waiting = []


def words_shown(
    images: list[tuple[Image, FieldOfView]], recogniser: Recogniser, strictness: Strictness
) -> list[tuple[Word, ...]]:
    """The words that can be read inside the fields of view of pictures, with boxes in pixels of the whole pictures."""
    parts, corners = [], []
    for image, field in images:
        height, width = image.shape[:2]
        x1, y1, x2, y2 = field.box_xyxy
        mask: Mask = safe_mask(field, (width, height))[y1:y2, x1:x2]
        parts.append(np.where(mask[:, :, None], image[y1:y2, x1:x2], 0).astype(np.uint8))
        corners.append((x1, y1))
    found = []
    for (x, y), words in zip(corners, find_words(parts, recogniser, strictness), strict=True):
        moved = []
        for word in words:
            left, top, right, bottom = word.box_xyxy
            moved.append(Word(word.text, word.confidence, (left + x, top + y, right + x, bottom + y)))
        found.append(tuple(moved))
    return found


def _read(frames: list[tuple[Frame, FieldOfView]], recogniser: Recogniser, strictness: Strictness) -> list[Sample]:
    words = words_shown([(frame.image, field) for frame, field in frames], recogniser, strictness)
    return [Sample(frame.index, frame.time_s, one) for (frame, _), one in zip(frames, words, strict=True)]


def _luma(frame: Frame) -> Plane:
    picture = frame.picture
    if picture.is_bgr or picture.planes[0].dtype != np.uint8:
        return np.ascontiguousarray(frame.image[:, :, 1])
    return np.asarray(picture.planes[0], np.uint8)


def _regions_of_overlays(found: list[Overlay], times_s: npt.NDArray[np.float64]) -> tuple[Region, ...]:
    """Overlays as regions: known in some seconds, covered for as long before and after them as it may have stood."""

    def at(time_s: float) -> int:
        return int(np.searchsorted(times_s, time_s).clip(0, len(times_s) - 1))

    return joined(
        Region(
            one.box_xyxy,
            at(float(times_s[one.first]) - _OVERLAY_GAP_S),
            at(float(times_s[one.last]) + _OVERLAY_GAP_S),
            Reason.OVERLAY,
        )
        for one in found
    )
