"""A recording that is played in real time, as if it were live."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import DecodeError
from stream.frame import Frame
from stream.live.sources.address import LiveAddress
from stream.live.sources.pacing import Pacer
from stream.live.sources.source import LiveSource
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source


class FileSource(LiveSource):
    """The frames of a file or a folder of pictures, each at its presentation time."""

    def __init__(
        self,
        address: LiveAddress,
        *,
        path: Path,
        realtime: bool,
        stream: int | None = None,
        deinterlace: Deinterlace = Deinterlace.AUTO,
    ) -> None:
        """Open the file.

        Args:
            address: of kind FILE.
            path: video, picture or folder of pictures.
            realtime: False for as fast as frames are taken.
            stream: number of the video stream to read; None for the one that shows the film.
            deinterlace: what becomes of interlaced frames.

        Raises:
            SourceError: it cannot be read.
        """
        super().__init__(address)
        self._realtime = realtime
        self._source = open_source(path, stream=stream, deinterlace=deinterlace)

    @property
    def deinterlacing(self) -> Mapping[str, Any] | None:
        """See `LiveSource`."""
        return self._source.deinterlacing

    def frames(self) -> Iterator[Frame]:
        """The frames, each available at the moment it is due.

        Raises:
            DecodeError: the file broke off; all frames before were given.
        """
        pacer = Pacer(self._interrupted)
        for frame in self._source:
            if self._interrupted.is_set() or (self._realtime and not pacer.wait_for(frame.time_s)):
                return
            self._count_damage()
            yield replace(frame, captured_s=time.monotonic())
        self._count_damage()
        broke_off = self._source.problems.broke_off
        if broke_off is not None:
            raise DecodeError(broke_off)

    def _count_damage(self) -> None:
        problems = self._source.problems
        self.note_damage(
            problems.corrupt_packets + problems.corrupt_frames + problems.unreadable_pictures - self.damaged
        )

    def close(self) -> None:
        """Close the file."""
        self._source.close()
