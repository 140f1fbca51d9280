"""Encoders of H.264: x264, and those of graphics hardware where they work."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from engine.errors import InputError

logger = logging.getLogger(__name__)

AUTO = "auto"
"""Hardware where it works, else x264."""

_X264_TOOLS = "cabac=1:8x8dct=1:no-deblock=0"  # what all other presets have
_LAMBDA = 118  # FFmpeg's unit of qualities (FF_QP2LAMBDA)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How hard the encoder works.

    The default is x264's fastest preset with the three tools switched on again that pay for themselves (CABAC, 8x8
    transform, deblocking). Measured on 1380x1080 and 1280x720 endoscopy: about half the time of "superfast" at the same
    quality to 0.7 dB.

    Attributes:
        preset: x264's name, from "ultrafast" to "veryslow".
        crf: x264's constant rate factor: 0 lossless, 18 hardly to be told from the source, 23 small.
        threads: encoder threads, 0 for as many as x264 likes.
        keyframe_s: longest distance of two keyframes in seconds.
        encoder: "x264", the name of a hardware encoder, or "auto".
        limits: names and values of FFmpeg's options that keep x264 within a level.
    """

    preset: str = "ultrafast"
    crf: int = 20
    threads: int = 0
    keyframe_s: float = 4.0
    encoder: str = "x264"
    limits: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Encoder:
    """One encoder of H.264.

    Attributes:
        name: of it, as users write it.
        codec: FFmpeg's name.
        pix_fmt: pictures that it takes.
        device: FFmpeg's kind of device that pictures have to be brought to; None where the encoder does that itself.
        quality: names and values of options for the quality of x264 at crf 20.
    """

    name: str
    codec: str
    pix_fmt: str = "nv12"
    device: str | None = None
    quality: tuple[tuple[str, str], ...] = ()

    @property
    def is_hardware(self) -> bool:
        """Whether it is no program on the processor."""
        return self.name != X264.name

    def options(self, encoding: Encoding, rate: Fraction) -> dict[str, str]:
        """FFmpeg's options for an encoding at a rate of frames a second."""
        keyframes = {"g": str(max(1, round(rate * Fraction(encoding.keyframe_s))))}
        if self.is_hardware:
            return {**keyframes, "bf": "0", **dict(self.quality)}
        return {
            **keyframes,
            "preset": encoding.preset,
            "crf": str(encoding.crf),
            "x264-params": _X264_TOOLS,
            **dict(encoding.limits),
        }

    def accelerator(self) -> HWAccel | None:
        """What brings pictures to its device."""
        return None if self.device is None else HWAccel(self.device)


def _scaled(quality: int) -> tuple[tuple[str, str], ...]:
    return ("flags", "+qscale"), ("global_quality", str(quality * _LAMBDA))


X264 = Encoder("x264", "libx264", "yuv420p")
# A step of H.264's quantiser means the same in every encoder (ITU-T H.264, table 8-15). At crf 20, x264 uses 17 for
# keyframes and 15 to 24 for other pictures (its own log, `Encoding()` on four clips of endoscopy): 20 for all comes
# closest. VideoToolbox knows no quantiser, but a quality of 1 to 100; 65 is a first value. None of these has been
# measured on hardware.
_QUANTISER = 20
_HARDWARE = (
    Encoder("nvenc", "h264_nvenc", quality=(("rc", "constqp"), ("qp", str(_QUANTISER)))),
    Encoder("qsv", "h264_qsv", quality=_scaled(_QUANTISER)),
    Encoder("vaapi", "h264_vaapi", device="vaapi", quality=(("rc_mode", "CQP"), ("qp", str(_QUANTISER)))),
    Encoder("videotoolbox", "h264_videotoolbox", quality=_scaled(65)),
)
_BY_NAME = {encoder.name: encoder for encoder in (X264, *_HARDWARE)}


def check_encoder(name: str) -> str:
    """Refuses the name of an encoder that does not exist; returns it else.

    Raises:
        InputError: there is none of this name; the message lists them.
    """
    names = [AUTO, *_BY_NAME]
    if name not in names:
        raise InputError(f"there is no encoder {name!r}; take one of {', '.join(names)}")
    return name


def find_encoder(encoding: Encoding, *, resolution_wh: tuple[int, int], rate: Fraction) -> Encoder:
    """The encoder for pictures of a size: the one that is asked for, if it encodes a first picture here, else x264.

    What is used in the place of x264, or of what was asked for, is said.

    Args:
        encoding: names the encoder.
        resolution_wh: even width and height in pixels.
        rate: frames a second.

    Raises:
        InputError: there is no encoder of this name.
    """
    wanted = check_encoder(encoding.encoder)
    if wanted == X264.name:
        return X264
    for candidate in [one for one in _HARDWARE if wanted in (AUTO, one.name)]:
        fault = _fault_of(candidate, encoding, resolution_wh, rate)
        if not fault:
            if wanted == AUTO:
                logger.warning("%s encodes the video; --encoder x264 takes the processor", candidate.name)
            return candidate
        if wanted == candidate.name:
            logger.warning("%s cannot encode here (%s); x264 takes over", candidate.name, fault)
        else:
            logger.info("%s cannot encode here (%s)", candidate.name, fault)
    return X264


def set_up(context: VideoCodecContext, encoder: Encoder, encoding: Encoding, resolution_wh: tuple[int, int]) -> None:
    """Gives the context of an encoder what it needs before it opens, but for times and colours."""
    context.width, context.height = resolution_wh
    context.pix_fmt = encoder.pix_fmt
    if not encoder.is_hardware:
        context.thread_count = encoding.threads


@lru_cache(maxsize=32)  # recordings of live runs begin again and again
def _fault_of(encoder: Encoder, encoding: Encoding, resolution_wh: tuple[int, int], rate: Fraction) -> str:
    """Why an encoder does not make a picture of this size; "" when it does."""
    try:
        context = CodecContext.create(encoder.codec, "w", encoder.accelerator())
        assert isinstance(context, VideoCodecContext)
        set_up(context, encoder, encoding, resolution_wh)
        context.time_base, context.framerate = 1 / rate, rate
        context.options = encoder.options(encoding, rate)
        frame = av.VideoFrame(*resolution_wh, encoder.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = 0, 1 / rate
        packets = [*context.encode(frame), *context.encode(None)]
    except av.codec.codec.UnknownCodecError:
        return f"FFmpeg in this PyAV was built without {encoder.codec}"
    except (av.error.FFmpegError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        return f"{encoder.codec}: {getattr(error, 'strerror', None) or error}; is its driver installed?"
    return "" if any(packet.size for packet in packets) else f"{encoder.codec} gives no picture"
