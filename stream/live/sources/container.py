"""Live sources that FFmpeg demultiplexes: their packets are decoded and handed on as they arrive."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import DecodeError
from stream.frame import Frame
from stream.live.sources.address import LiveAddress
from stream.live.sources.clock import StreamClock
from stream.live.sources.pacing import Pacer
from stream.live.sources.source import LiveSource
from stream.sources.containers.tracks import choose_video
from stream.sources.decoded_frame import PictureMaker
from stream.sources.interlaced.deinterlacer import Deinterlace, Deinterlacer
from stream.sources.packets import decode_packet, read_packets
from stream.sources.source import check_resolution

logger = logging.getLogger(__name__)

_WARNINGS_SHOWN = 3  # of damage; the rest is only counted
# So many first frames are looked at before one is shown, and for no longer, to find out whether they are interlaced.
_HOLD, _HOLD_S = 8, 0.4
_TIME_BASE = Fraction(1, 90000)  # where the stream names none


class ContainerSource(LiveSource):
    """The frames of one video stream, as they arrive.

    A frame counts as available once it is decoded; what deinterlacing adds counts as delay. One that is paced is
    available when it is due. Size, rate and format may change on the way.
    """

    def __init__(
        self,
        address: LiveAddress,
        container: InputContainer,
        *,
        stream: int | None,
        deinterlace: Deinterlace,
        paced: bool = False,
    ) -> None:
        """Find the video.

        Args:
            address: of the source.
            container: opened; closed with the source, and when this fails.
            stream: number of the video stream to take; None for the one that shows the film.
            deinterlace: what becomes of interlaced frames.
            paced: frames are handed on when they are due by their own times, and not as they arrive.

        Raises:
            SourceError: it holds no video.
        """
        super().__init__(address)
        self._container = container
        self._pacer = Pacer(self._interrupted) if paced else None
        self._pictures = PictureMaker()
        try:
            choice = choose_video(container, address.name, wanted=stream)
            if choice.said:
                logger.warning("%s", choice.said)
            self._stream = choice.stream
            # Threads that each decode a frame would hold back as many frames as there are threads. FFmpeg's "low_delay"
            # is left out: H.264 and HEVC come no sooner with it, and MPEG-2 with B-frames comes in the wrong order.
            self._stream.thread_type = ThreadType.SLICE
        except BaseException:
            container.close()
            raise
        self._time_base = self._stream.time_base or _TIME_BASE
        self._deinterlacer = Deinterlacer(
            deinterlace, name=address.name, time_base=self._time_base, hold=_HOLD, hold_s=_HOLD_S
        )
        self._pictures_a_frame = deinterlace.pictures_a_frame
        self._arrived: deque[float] = deque()  # monotonic times of the frames whose pictures have not come yet
        self._clock = StreamClock()
        self._index = 0

    @property
    def deinterlacing(self) -> Mapping[str, Any]:
        """See `LiveSource`."""
        return self._deinterlacer.as_record()

    def frames(self) -> Iterator[Frame]:
        """The frames as they arrive.

        Raises:
            DecodeError: the stream broke off.
        """
        for packet in self._packets():
            if packet.is_corrupt:
                self._note_damage("a packet is damaged")
            if not self._wants(packet):
                continue
            for decoded in self._decoded(packet):
                yield from self._shown(self._deinterlacer.take(decoded))
        yield from self._shown(self._deinterlacer.rest())
        if not self._interrupted.is_set():
            self._check_end()

    def _wants(self, packet: Packet[VideoStream]) -> bool:
        """Whether a packet is to be decoded; sources that fall behind leave some out."""
        return True

    def _shows(self) -> bool:
        """Whether what was decoded is to be shown; sources that fall behind leave some out."""
        return True

    def _await(self, stamp_s: float) -> bool:
        """Wait until a frame is due by its own time, in seconds; False once interrupted."""
        return self._pacer is None or self._pacer.wait_for(stamp_s)

    def _restart_pace(self) -> None:
        """Let the next frame be due when it comes, and those after it by their distance from it."""
        if self._pacer is not None:
            self._pacer = Pacer(self._interrupted)

    def _check_end(self) -> None:
        """Raise a DecodeError where the stream ended before its end."""

    def _decoded(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        def count(why: str) -> None:
            if self._index and not packet.is_corrupt:  # what comes before the first key frame can be decoded nowhere
                self._note_damage(why)

        for decoded in decode_packet(self._stream, packet, on_damage=count):
            if decoded.is_corrupt:
                self._note_damage("a frame is damaged")
            check_resolution((decoded.width, decoded.height), self.address.name)
            decoded.time_base = self._time_base
            self._arrived.append(time.monotonic())
            yield decoded

    def _shown(self, pictures: list[VideoFrame]) -> Iterator[Frame]:
        """Frames of whole pictures, each when it is due."""
        shown_s = 0.0
        for place, picture in enumerate(pictures):
            second = place % self._pictures_a_frame == 1
            captured_s = self._arrived[0]
            if second or self._pictures_a_frame == 1:
                self._arrived.popleft()
            if not self._shows():
                continue
            image = self._pictures.picture(picture)
            stamp_s = None if picture.pts is None else float(picture.pts * (picture.time_base or self._time_base))
            if stamp_s is not None and not self._await(stamp_s):
                return
            if self._pacer is not None:
                captured_s = time.monotonic()
            elif second and len(pictures) == 2:
                captured_s += self._await_second_field(*pictures, shown_s=shown_s)
            shown_s = time.monotonic()
            pts = self._clock.next(stamp_s, captured_s)
            yield Frame(index=self._index, pts=pts, image=image, captured_s=captured_s)
            self._index += 1

    def _await_second_field(self, first: VideoFrame, second: VideoFrame, *, shown_s: float) -> float:
        """Let half a frame's time pass, as both pictures are there at once and would be shown as one; returns it."""
        if first.pts is None or second.pts is None or not second.time_base:
            return 0.0
        half_s = min(float((second.pts - first.pts) * second.time_base), _HOLD_S)
        self._interrupted.wait(max(0.0, shown_s + half_s - time.monotonic()))
        return half_s

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets of the video, going on over places that cannot be parsed."""
        try:
            for packet in read_packets(self._container, self._stream, on_damage=self._note_damage):
                if self._interrupted.is_set():
                    return
                yield packet
        except av.error.InvalidDataError:
            raise DecodeError(f"{self.address.name} sends nothing that can be read") from None
        except (av.error.FFmpegError, OSError) as error:
            if self._interrupted.is_set():
                return
            raise DecodeError(f"{self.address.name} broke off: {why_of(error)}") from None

    def _note_damage(self, why: str) -> None:
        self.note_damage()
        if self.damaged <= _WARNINGS_SHOWN:
            more = "; further damage is only counted" if self.damaged == _WARNINGS_SHOWN else ""
            logger.warning("%s: %s%s", self.address.name, why, more)

    def close(self) -> None:
        """Close the container."""
        self._container.close()


def why_of(error: Exception) -> str:
    """What went wrong in FFmpeg, without the address that it adds."""
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
