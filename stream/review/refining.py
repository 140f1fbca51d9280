"""Added findings are refined: the detector looks at their frames, and what it sees takes the place of a drawn box."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from engine.boxes import pairwise_iou
from engine.closing import Closing
from engine.errors import RunError
from engine.processes.channel import DONE, Channel
from engine.processes.programs import PythonProcess, start_python
from stream.judgements.state import Box
from stream.review.jobs import Job
from stream.review.looking import CODE, FAILED, SEEN, send_order
from stream.review.media.material import Material

_SAME_IOU = 0.3
"""A candidate that overlaps a drawn box by so much shows the same."""


class Refiner(Closing):
    """Has a process with the detector look at frames, one order after the other. May be used from any thread."""

    def __init__(self, start: Callable[[], PythonProcess] | None = None) -> None:
        """Starts the process with the first order.

        Args:
            start: starts it (default: the program's own).
        """
        self._start = start or (lambda: start_python(CODE))
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._process: PythonProcess | None = None
        self._channel: Channel | None = None
        self._closed = False

    def refine(self, material: Material, model: Path, boxes: Mapping[int, Box], job: Job) -> dict[str, list[float]]:
        """What the detector sees in drawn boxes.

        Args:
            material: the recording.
            model: folder of the bundle of the detector.
            boxes: that were drawn, or lie between those, by the index of the frame in the recording.
            job: told how far it is; stops it.

        Returns:
            x0, y0, x1, y1 and score by the index of the frame, for frames in which something overlaps the box enough.

        Raises:
            RunError: the recording or the model cannot be used, or the process ended early.
        """
        found: dict[str, list[float]] = {}
        with self._turn:
            job.check()
            channel = self._opened()
            if not send_order(channel, material, model, list(boxes)):
                self._end()
                raise RunError("the detector's process has ended; try again")
            seen = 0
            while (message := channel.receive()) is not None:
                if message.kind == DONE:
                    return found
                if message.kind == FAILED:
                    raise RunError(str(message.fields["error"]))
                if job.stopping.is_set():
                    break
                if message.kind == SEEN:
                    frame, seen = int(message.fields["frame"]), seen + 1
                    best = best_candidate(boxes[frame], message.fields["candidates"])
                    if best is not None:
                        found[str(frame)] = best
                    job.progress = seen / len(boxes)
            self._end()
            job.check()
            raise RunError("the detector's process ended; try again")

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        with self._turn:
            self._end()

    def _opened(self) -> Channel:
        with self._lock:
            if self._closed:
                raise RunError("the page was closed")
            if self._channel is None:
                self._process = self._start()
                self._channel = Channel(cast(IO[bytes], self._process.stdout), cast(IO[bytes], self._process.stdin))
            return self._channel

    def _end(self) -> None:
        with self._lock:
            process, channel = self._process, self._channel
            self._process = self._channel = None
        if process is not None and channel is not None:
            process.kill()
            process.wait()
            channel.close()


def best_candidate(box: Box, candidates: Sequence[Any]) -> list[float] | None:
    """The candidate that shows what a drawn box shows: box and score; None where none does.

    Args:
        box: x0, y0, x1, y1 in pixels.
        candidates: each with its box and its score.
    """
    if not candidates:
        return None
    rows = np.array(candidates, np.float64)
    overlaps = pairwise_iou(np.array([box]), rows[:, :4])[0]
    best = int(np.argmax(np.where(overlaps >= _SAME_IOU, overlaps * rows[:, 4], -1.0)))
    if overlaps[best] < _SAME_IOU:
        return None
    return [*(round(float(side), 2) for side in rows[best, :4]), round(float(rows[best, 4]), 4)]
