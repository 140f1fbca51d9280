"""Events of a live run: one line of JSON for each frame that detection looked at, written beside the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.errors import WriteError
from engine.pictures.picture import Picture
from stream.frame import FrameResult
from stream.live.states.result import LiveResult
from stream.live.states.side_worker import SideWorker
from stream.record.event_sink import EventSink

logger = logging.getLogger(__name__)

_WAITING_LINES = 4096
_NO_PICTURE = Picture.of(np.zeros((1, 1, 3), np.uint8))


class LiveEvents:
    """Writes what detection found; a `DetectionListener`. A full disk ends it; the run goes on."""

    def __init__(self, sink: EventSink) -> None:
        """Begin writing to a sink, which is closed with this.

        Args:
            sink: of the event lines.
        """
        self._sink = sink
        self._failure: Exception | None = None
        self._worker = SideWorker[FrameResult](
            "events", self._sink.write, capacity=_WAITING_LINES, on_failure=self._fail
        )

    @property
    def failure(self) -> Exception | None:
        """Why it ended by itself; None while all is well."""
        return self._failure

    @property
    def file(self) -> Path:
        """Where the lines are."""
        return self._sink.partial_path if self._sink.partial_path.exists() else self._sink.path

    @property
    def lines(self) -> int:
        """Lines that were written."""
        return self._sink.lines

    @property
    def dropped(self) -> Mapping[str, int]:
        """Lines that could not be written."""
        return {"events": self._worker.dropped}

    def detected(self, result: LiveResult) -> None:
        """See `DetectionListener`."""
        # The picture is not kept waiting with its line.
        frame = replace(result.frame, picture=_NO_PICTURE)
        useful = result.flaw is None
        self._worker.offer(
            FrameResult(frame, result.field_of_view, result.detections, candidates=result.candidates, useful=useful)
        )

    def close(self) -> None:
        """See `DetectionListener`."""
        self._worker.close()
        if self._failure is None:
            try:
                self._sink.close()
            except WriteError as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        logger.error("events stopped: %s", error)
        self._sink.abort()
