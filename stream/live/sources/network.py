"""Network streams (RTSP, MPEG-TS over UDP, HTTP) through FFmpeg, with as little delay as it can.

FFmpeg's errors carry the address with its secrets, so they are never chained to those raised here.
"""

from __future__ import annotations

import errno
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from engine.errors import LoginRefusedError, SourceError, UntrustedError
from stream.live.sources.address import LiveAddress
from stream.live.sources.certificates import why_unverified
from stream.live.sources.container import ContainerSource, why_of
from stream.sources.containers.allowed import network_options
from stream.sources.interlaced.deinterlacer import Deinterlace

_READ_TIMEOUT_S = 5.0
_MICROSECONDS = 1_000_000
_VERIFIED = {"https": 443, "rtsps": 322}  # schemes whose servers show a certificate, with their usual ports


class StreamSource(ContainerSource):
    """The frames of a network stream's video. A recording that a web server holds is played in real time and ends."""

    def __init__(
        self,
        address: LiveAddress,
        *,
        open_timeout_s: float,
        stream: int | None = None,
        ca_file: str | None = None,
        deinterlace: Deinterlace = Deinterlace.AUTO,
    ) -> None:
        """Connect and find the video.

        Args:
            address: of kind STREAM.
            open_timeout_s: how long the server may take to answer, in seconds.
            stream: number of the video stream to take; None for the one that shows the film.
            ca_file: certificates of the authorities that https and rtsps are verified by; None for the system's.
            deinterlace: what becomes of interlaced frames.

        Raises:
            LoginRefusedError: the server refuses user or password.
            UntrustedError: the server's certificate cannot be verified.
            SourceError: there is no answer, or no video; the message holds no secrets.
        """
        container = _connect(address, open_timeout_s, ca_file)
        scheme = urlsplit(address.value).scheme  # in small letters
        self._recorded = scheme.startswith("http") and bool(container.duration)
        super().__init__(address, container, stream=stream, deinterlace=deinterlace, paced=self._recorded)

    @property
    def ends(self) -> bool:
        """Whether it is a recording on a web server."""
        return self._recorded


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
    return f"{why_of(error)}; check address and server"


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
