"""A display without a screen that measures: when each picture is on it, which frames came, and what marks changed.

It does what the window does: it takes the newest view from a slot in a thread of its own, draws the marks, and copies
the marked picture to where a screen would read it. Reading the time code and comparing pictures come after the moment
that counts.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from engine.arrays import Image
from stream.live.outputs.marks import draw_live, live_mask
from stream.live.states.newest import Newest
from stream.live.states.time_code import read_time_code
from stream.live.states.view import LiveStatus, LiveView

_REMEMBERED = 1000  # frames whose capture time is kept, to be found again when their boxes come


@dataclass(slots=True)
class DisplayCounts:
    """What was seen on the display.

    Attributes:
        frames: that were shown.
        dropped: that were missing between two shown ones, by their time codes.
        repeated: shown again, or after a later one, by their time codes.
        unreadable: whose time code could not be read.
        refreshes: pictures drawn again with newer boxes.
        with_boxes: pictures drawn with boxes.
        compared: pictures compared with the untouched one.
        differing_px: pixels outside the marks that were not the same, over all comparisons.
    """

    frames: int = 0
    dropped: int = 0
    repeated: int = 0
    unreadable: int = 0
    refreshes: int = 0
    with_boxes: int = 0
    compared: int = 0
    differing_px: int = 0


class MeasuringDisplay:
    """A `RefreshedSink` that measures. Frames have to carry time codes.

    Attributes:
        drawn: pictures drawn so far, counted or not.
        failure: what ended its thread before its time.
        counts: what was seen.
        handed_ms: frame available to frame handed to the display.
        shown_ms: frame available to its marked picture being on the screen.
        annotated_ms: frame available to its own boxes being on the screen.
    """

    def __init__(self, part_of: Callable[[int], int | None]) -> None:
        """Start the thread.

        Args:
            part_of: the part of the measurement that a frame belongs to, by its index; None for one that does not
                count. Parts need not follow each other: what lies between them is not missed.
        """
        self._part_of = part_of
        self.drawn = 0
        self.failure: Exception | None = None
        self.counts = DisplayCounts()
        self.handed_ms, self.shown_ms, self.annotated_ms = (array("d") for _ in range(3))
        self.screen: Image = np.zeros((1, 1, 3), np.uint8)
        self._slot = Newest[LiveView]()
        self._captured: OrderedDict[int, float] = OrderedDict()
        self._untouched: dict[int, Image] = {}
        self._newest_annotated = -1
        self._last_index = -1
        self._last_part: int | None = None
        self._last_code: int | None = None
        self._thread = threading.Thread(target=self._run, name="measuring-display", daemon=True)
        self._thread.start()

    def keep_untouched(self, index: int, image: Image) -> None:
        """Keep a copy of a frame's picture; the picture that is shown of it will be compared.

        Called before the frame is handed to anyone who could change it. Copying and comparing take time that is the
        measurement's own, so delays of this frame and of the next one do not count.
        """
        self._untouched = {index: image.copy()}

    def show(self, view: LiveView) -> None:
        """See `LiveSink`."""
        frame = view.frame
        if self._part_of(frame.index) is not None and self._undisturbed(frame.index):
            self.handed_ms.append((time.monotonic() - frame.captured_s) * 1000)
        self._captured[frame.index] = frame.captured_s
        if len(self._captured) > _REMEMBERED:
            self._captured.popitem(last=False)
        self._slot.put(view)

    def refresh(self, view: LiveView) -> None:
        """See `RefreshedSink`."""
        self._slot.put(view, keep=lambda waiting: waiting.frame.index > view.frame.index)

    def idle(self, status: LiveStatus) -> None:
        """See `LiveSink`."""

    def close(self) -> None:
        """End the thread; more than one call does no harm."""
        self._slot.close()
        if self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _run(self) -> None:
        try:
            while (taken := self._slot.take()) is not None:
                if taken.item.frame.index >= self._last_index:
                    self._draw(taken.item)
                    self.drawn += 1
        except Exception as error:
            self.failure = error

    def _undisturbed(self, index: int) -> bool:
        return index not in self._untouched and index - 1 not in self._untouched

    def _draw(self, view: LiveView) -> None:
        frame = view.frame
        picture = draw_live(view)
        if self.screen.shape != picture.shape:
            self.screen = np.empty_like(picture)
        np.copyto(self.screen, picture)
        now_s = time.monotonic()
        again = frame.index == self._last_index
        self._last_index = frame.index
        untouched = self._untouched.get(frame.index)
        captured_s = None if view.detected_on is None else self._captured.get(view.detected_on)
        first = view.detected_on is not None and view.detected_on > self._newest_annotated
        if view.detected_on is not None:
            self._newest_annotated = max(self._newest_annotated, view.detected_on)
        part = self._part_of(frame.index)
        if part is None:
            return
        if part != self._last_part:
            self._last_part, self._last_code = part, None
        undisturbed = self._undisturbed(frame.index)
        if first and captured_s is not None and undisturbed:
            self.annotated_ms.append((now_s - captured_s) * 1000)
        self.counts.with_boxes += bool(view.detections)
        if again:
            self.counts.refreshes += 1
        else:
            if undisturbed:
                self.shown_ms.append((now_s - frame.captured_s) * 1000)
            self._count(read_time_code(self.screen))
        if untouched is not None:
            self._compare(view, untouched)

    def _count(self, code: int | None) -> None:
        self.counts.frames += 1
        if code is None:  # marks may lie on it: taken for the next one
            self.counts.unreadable += 1
            self._last_code = None if self._last_code is None else self._last_code + 1
            return
        if self._last_code is not None:
            step = code - self._last_code
            self.counts.repeated += step <= 0
            self.counts.dropped += max(step - 1, 0)
        self._last_code = code

    def _compare(self, view: LiveView, untouched: Image) -> None:
        """Compare the picture on the screen with the untouched one, outside the pixels that marks may change."""
        outside = np.where(live_mask(view), np.uint8(0), np.uint8(255))
        self.counts.compared += 1
        if cv2.norm(self.screen, untouched, cv2.NORM_INF, outside):
            differing = (self.screen != untouched).any(axis=2) & (outside > 0)
            self.counts.differing_px += int(differing.sum())
