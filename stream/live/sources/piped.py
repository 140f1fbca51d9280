"""Video that another program writes into a pipe, as it comes. The program is never held up by the model."""

from __future__ import annotations

import logging

from av.codec import Codec
from av.packet import Packet
from av.video.stream import VideoStream

from engine.errors import DecodeError, SourceError
from stream.live.sources.address import LiveAddress
from stream.live.sources.container import ContainerSource
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.pipes.feed import PipeFeed
from stream.sources.pipes.opening import incomplete, open_pipe
from stream.sources.pipes.request import PIPE_NAME, RawVideo, parse_pipe

logger = logging.getLogger(__name__)

_MOST_BYTES = 1 << 28  # that wait to be decoded: half a second of 1920x1080 at 60 frames/s, 10 bits of 4:2:2
_BEHIND_S = 0.4  # age of the oldest byte from which frames are left out
_FAR_BEHIND_S = 2.0  # from which they are not even decoded, up to the next key frame


class PipeSource(ContainerSource):
    """The frames that come through standard input.

    What comes faster than it can be decoded is left out, the oldest first: frames that stand alone are not decoded, of
    others the pictures are not made, and where that does not suffice the decoder goes on with the next key frame.
    """

    def __init__(
        self,
        address: LiveAddress,
        *,
        stream: int | None = None,
        deinterlace: Deinterlace = Deinterlace.AUTO,
        feed: PipeFeed | None = None,
    ) -> None:
        """Wait for the beginning of the stream.

        Args:
            address: of kind PIPE.
            stream: number of the video stream to take; None for the one that shows the film.
            deinterlace: what becomes of interlaced frames.
            feed: what comes; by default standard input.

        Raises:
            SourceError: nothing comes, or it is no video.
        """
        self._raw: RawVideo | None = parse_pipe(address.value)
        self._feed = feed or PipeFeed(most_bytes=_MOST_BYTES)
        self._skipping = False
        try:
            container = open_pipe(self._feed, self._raw, prompt=True)
            super().__init__(address, container, stream=stream, deinterlace=deinterlace)
        except BaseException:
            self._feed.close()
            raise
        self._stands_alone = Codec(self._stream.codec_context.name, "r").intra_only

    def _wants(self, packet: Packet[VideoStream]) -> bool:
        if packet.size == 0:
            return True
        late_s = self._feed.waiting_s
        if late_s > (_BEHIND_S if self._stands_alone else _FAR_BEHIND_S):
            self._skipping = True
        elif self._skipping and packet.is_keyframe:
            self._skipping = False
        if self._skipping:
            self._leave_out()
        return not self._skipping

    def _shows(self) -> bool:
        late = not self._stands_alone and self._feed.waiting_s > _BEHIND_S
        if late:
            self._leave_out()
        return not late

    def _leave_out(self) -> None:
        if not self._left_out:
            logger.warning("%s comes faster than it can be decoded here: frames are left out", PIPE_NAME)
        self.note_left_out()

    def _check_end(self) -> None:
        cut = incomplete(self._feed, self._container, self._raw)
        if cut is not None:
            raise DecodeError(cut) if self._index else SourceError(cut)
        if not self._index:
            raise SourceError(
                f"{PIPE_NAME} ended without a frame that can be decoded; check the command before the pipe"
            )

    def interrupt(self) -> None:
        """See `LiveSource`."""
        super().interrupt()
        self._feed.interrupt()

    def close(self) -> None:
        """Let go of the pipe."""
        super().close()
        self._feed.close()
