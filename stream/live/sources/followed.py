"""A recording that is still being written, watched as it grows."""

from __future__ import annotations

import logging
from pathlib import Path

import av
from av.container import InputContainer

from engine.errors import DecodeError, SourceError
from stream.live.sources.address import LiveAddress
from stream.live.sources.container import ContainerSource
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.pipes.growing import Begin, Follow, GrowingFile
from stream.sources.pipes.opening import open_feed

logger = logging.getLogger(__name__)

_SEEN_BYTES = 1 << 22  # at the end of a file, of which the pictures are shown when it is begun there


class FollowedFile(ContainerSource):
    """The frames of a file that grows, at their own pace.

    Most programs write their files piece by piece, some only every few seconds. So a frame that comes after a wait sets
    the pace of those that came with it. What is there at the start is passed over in haste when it is begun near the
    end.
    """

    def __init__(
        self,
        address: LiveAddress,
        follow: Follow,
        *,
        stream: int | None = None,
        deinterlace: Deinterlace = Deinterlace.AUTO,
    ) -> None:
        """Open the file.

        Args:
            address: of kind FILE.
            follow: from where, and how long.
            stream: number of the video stream to take; None for the one that shows the film.
            deinterlace: what becomes of interlaced frames.

        Raises:
            SourceError: it cannot be read, or not while it is written.
        """
        self._follow = follow
        self._file = GrowingFile(Path(address.value), follow)
        self._in_haste = follow.begin is Begin.END
        try:
            container = _opened(self._file, address.name)
            super().__init__(address, container, stream=stream, deinterlace=deinterlace, paced=True)
        except BaseException:
            self._file.close()
            raise
        if self._passes_over():
            logger.warning("%s is read up to where it ends now; that takes a while", address.name)

    @property
    def why_ended(self) -> str:
        """See `LiveSource`."""
        return f"{self.address.name} has not grown for {self._follow.quiet_s:g} s"

    def _passes_over(self) -> bool:
        """Whether so much is still to be read that nobody wants to see it."""
        return self._in_haste and self._file.left > _SEEN_BYTES

    def _shows(self) -> bool:
        return not self._passes_over()

    def _await(self, stamp_s: float) -> bool:
        if self._file.starved:
            self._file.starved = self._in_haste = False
            self._restart_pace()
        return True if self._in_haste else super()._await(stamp_s)

    def _check_end(self) -> None:
        if self._file.problem is not None:
            raise DecodeError(self._file.problem)
        if not self._index:
            raise SourceError(f"{self.address.name} holds no frame that can be decoded; check that it is a video")

    def interrupt(self) -> None:
        """See `LiveSource`."""
        super().interrupt()
        self._file.interrupt()

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._file.close()


def _opened(file: GrowingFile, name: str) -> InputContainer:
    try:
        return open_feed(file, prompt=True)
    except (av.error.FFmpegError, OSError):
        raise SourceError(
            f"{name} cannot be followed: MPEG-TS, Matroska and fragmented MP4 can be read while they are written"
        ) from None
