"""Network streams (RTSP, MPEG-TS over UDP, HTTP) through FFmpeg, with as little delay as it can.

FFmpeg's errors carry the address with its secrets, so they are never chained to those raised here.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from engine.errors import DecodeError, LoginRefusedError, SourceError, UntrustedError
from stream.frame import Frame
from stream.live.sources.address import LiveAddress
from stream.live.sources.certificates import why_unverified
from stream.live.sources.clock import StreamClock
from stream.live.sources.pacing import Pacer
from stream.live.sources.source import LiveSource
from stream.sources.containers.allowed import network_options
from stream.sources.containers.tracks import choose_video
from stream.sources.decoded_frame import PictureMaker
from stream.sources.packets import decode_packet, read_packets
from stream.sources.source import check_resolution

logger = logging.getLogger(__name__)

_READ_TIMEOUT_S = 5.0
_WARNINGS_SHOWN = 3  # of damage; the rest is only counted
_MICROSECONDS = 1_000_000
_VERIFIED = {"https": 443, "rtsps": 322}  # schemes whose servers show a certificate, with their usual ports


class StreamSource(LiveSource):
    """The frames of a network stream's video.

    A frame counts as available once it is decoded and its picture made. Size, rate and format may change on the way.
    A recording that a web server holds is played in real time and ends.
    """

    def __init__(
        self,
        address: LiveAddress,
        *,
        open_timeout_s: float,
        stream: int | None = None,
        ca_file: str | None = None,
    ) -> None:
        """Connect and find the video.

        Args:
            address: of kind STREAM.
            open_timeout_s: how long the server may take to answer, in seconds.
            stream: number of the video stream to take; None for the one that shows the film.
            ca_file: certificates of the authorities that https and rtsps are verified by; None for the system's.

        Raises:
            LoginRefusedError: the server refuses user or password.
            UntrustedError: the server's certificate cannot be verified.
            SourceError: there is no answer, or no video; the message holds no secrets.
        """
        super().__init__(address)
        self._pictures = PictureMaker()
        self._container = _connect(address, open_timeout_s, ca_file)
        try:
            choice = choose_video(self._container, address.name, wanted=stream)
            if choice.said:
                logger.warning("%s", choice.said)
            self._stream = choice.stream
            # Threads that each decode a frame would hold back as many frames as there are threads. FFmpeg's "low_delay"
            # is left out: H.264 and HEVC come no sooner with it, and MPEG-2 with B-frames comes in the wrong order.
            self._stream.thread_type = ThreadType.SLICE
            scheme = urlsplit(address.value).scheme  # in small letters
            self._recorded = scheme.startswith("http") and bool(self._container.duration)
        except BaseException:
            self._container.close()
            raise

    @property
    def ends(self) -> bool:
        """Whether it is a recording on a web server."""
        return self._recorded

    def frames(self) -> Iterator[Frame]:
        """The frames as they arrive.

        Raises:
            DecodeError: the stream broke off.
        """
        clock = StreamClock()
        pacer = Pacer(self._interrupted) if self._recorded else None
        time_base = float(self._stream.time_base or 0)
        index = 0

        def count(why: str) -> None:
            if index and not packet.is_corrupt:  # what comes before the first key frame cannot be decoded anywhere
                self._note_damage(why)

        for packet in self._packets():
            if packet.is_corrupt:
                self._note_damage("a packet is damaged")
            for decoded in decode_packet(self._stream, packet, on_damage=count):
                if decoded.is_corrupt:
                    self._note_damage("a frame is damaged")
                check_resolution((decoded.width, decoded.height), self.address.name)
                picture = self._pictures.picture(decoded)
                stamp_s = None if decoded.pts is None else decoded.pts * time_base
                if pacer is not None and stamp_s is not None and not pacer.wait_for(stamp_s):
                    return
                captured_s = time.monotonic()
                yield Frame(index=index, pts=clock.next(stamp_s, captured_s), picture=picture, captured_s=captured_s)
                index += 1

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
            raise DecodeError(f"{self.address.name} broke off: {_why(error)}") from None

    def _note_damage(self, why: str) -> None:
        self.note_damage()
        if self.damaged <= _WARNINGS_SHOWN:
            more = "; further damage is only counted" if self.damaged == _WARNINGS_SHOWN else ""
            logger.warning("%s: %s%s", self.address.name, why, more)

    def close(self) -> None:
        """Disconnect."""
        self._container.close()


def _connect(address: LiveAddress, timeout_s: float, ca_file: str | None) -> InputContainer:
    scheme = urlsplit(address.value).scheme
    try:
        return av.open(
            address.value,
            mode="r",
            # Nothing but MPEG-TS comes by UDP: anybody can send a datagram, so nothing is guessed from it.
            format="mpegts" if scheme == "udp" else None,
            options={**_options(scheme), **network_options(scheme, ca_file=ca_file)},
            timeout=(timeout_s, _READ_TIMEOUT_S),
            metadata_errors="replace",
        )
    except (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError):
        raise LoginRefusedError(
            f"{address.name}: user or password refused; check them, and write them into the address"
        ) from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        unverified = _why_unverified(address.value, ca_file, timeout_s) if scheme in _VERIFIED else None
        if unverified is not None:
            raise UntrustedError(
                f"{address.name} cannot be trusted: {unverified}; nothing was sent to it. Give the file of your "
                "hospital's authority with --source-ca"
            ) from None
        raise SourceError(f"{address.name} cannot be opened: {_why_not_opened(error, scheme)}") from None


def _why_unverified(url: str, ca_file: str | None, timeout_s: float) -> str | None:
    parts = urlsplit(url)
    port = parts.port or _VERIFIED[parts.scheme]
    return why_unverified(parts.hostname or "", port, ca_file, timeout_s=timeout_s)


def _why_not_opened(error: Exception, scheme: str) -> str:
    if isinstance(error, (av.error.ArgumentError, av.error.InvalidDataError)) and scheme.startswith("http"):
        return "it sends a playlist, or no video; give the address of the video itself"
    if isinstance(error, OSError) and error.errno == errno.EIO and scheme.startswith("http"):
        return "it breaks off, or refers to another address; give that one"
    return f"{_why(error)}; check address and server"


def _options(scheme: str) -> dict[str, str]:
    """FFmpeg's options for little delay, and time-outs of its own where a protocol has them (in microseconds)."""
    # FFmpeg looks at a stream before it gives anything. Measuring the rate takes it a second, so that is left out. What
    # it looked at is kept ("nobuffer" would throw it away, key frame included) and comes in one burst, which costs no
    # delay here: the newest frame is always the one shown.
    options = {"analyzeduration": str(_MICROSECONDS), "fpsprobesize": "0"}
    timeout = str(round(_READ_TIMEOUT_S * _MICROSECONDS))
    if scheme.startswith("rtsp"):
        # Over TCP nothing is lost and nothing is reordered, and firewalls let it through.
        return {**options, "rtsp_transport": "tcp", "timeout": timeout}
    if scheme == "udp":
        # A burst that overruns the buffer costs packets instead of the stream.
        return {**options, "timeout": timeout, "overrun_nonfatal": "1", "buffer_size": str(2**21)}
    return {**options, "rw_timeout": timeout}


def _why(error: Exception) -> str:
    """What went wrong, without the address that FFmpeg adds."""
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
