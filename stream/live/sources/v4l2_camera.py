"""Cameras and capture cards of Linux, through FFmpeg: in the pixel format that loses least."""

from __future__ import annotations

import errno
import logging
from fractions import Fraction

import av
from av.container import InputContainer

from engine.errors import DecodeError, SourceError
from stream.live.cameras.modes import CameraDevice, Wish, choose_mode
from stream.live.sources.address import LiveAddress
from stream.live.sources.container import ContainerSource, why_of
from stream.sources.containers.size_limit import decoder_options
from stream.sources.interlaced.deinterlacer import Deinterlace

logger = logging.getLogger(__name__)


class V4l2Camera(ContainerSource):
    """The frames of a camera that says what it gives."""

    def __init__(
        self,
        address: LiveAddress,
        device: CameraDevice,
        wish: Wish,
        *,
        deinterlace: Deinterlace = Deinterlace.AUTO,
    ) -> None:
        """Open the camera.

        Args:
            address: of kind CAMERA.
            device: the camera, with its modes.
            wish: what is asked of it.
            deinterlace: what becomes of interlaced frames.

        Raises:
            SourceError: it has no such mode, or cannot be opened.
        """
        mode, rate = choose_mode(device, wish)
        rate = rate if rate is not None else wish.rate
        width, height = mode.resolution_wh
        options = {"input_format": mode.layout, "video_size": f"{width}x{height}", **decoder_options()}
        if rate is not None:
            options["framerate"] = str(Fraction(rate).limit_denominator(1001))
        logger.info("%s (%s): %s", device.path, device.name, Wish(mode.layout, mode.resolution_wh, rate))
        super().__init__(address, _opened(device, options), stream=None, deinterlace=deinterlace)

    def _check_end(self) -> None:
        raise DecodeError(f"{self.address.name} gives no more pictures; check that it is plugged in")


def _opened(device: CameraDevice, options: dict[str, str]) -> InputContainer:
    try:
        return av.open(device.path, mode="r", format="video4linux2", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EBUSY:
            why = "another program uses it; end that"
        else:
            why = f"{why_of(error)}; check that it is plugged in and used by nothing else"
        raise SourceError(f"{device.path} ({device.name}) cannot be opened: {why}") from None
