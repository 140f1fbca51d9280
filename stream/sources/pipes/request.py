"""What `-` means: what comes through the pipe on standard input. Nothing is opened here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from urllib.parse import parse_qsl

import av

from engine.errors import SourceError
from stream.sources.containers.size_limit import check_size

#: How a pipe is called where it is shown.
PIPE_NAME = "standard input"
_EXAMPLE = "-?size=1920x1080&format=uyvy422&rate=50"
_MOST_RATE = 1000
_V210 = "v210"  # 10 bits of 4:2:2 in 32-bit words: a codec to FFmpeg, and no pixel format
#: Names that other programs have for FFmpeg's pixel formats.
OTHER_NAMES = {
    "uyvy": "uyvy422",
    "2vuy": "uyvy422",
    "yuyv": "yuyv422",
    "yuy2": "yuyv422",
    "i420": "yuv420p",
    "y42b": "yuv422p",
    "y444": "yuv444p",
    "gray8": "gray",
    "grey": "gray",
    "rgb": "rgb24",
    "bgr": "bgr24",
    "bgrx": "bgr0",
    "rgbx": "rgb0",
    "v210": _V210,
}


@dataclass(frozen=True, slots=True)
class RawVideo:
    """Frames that come one after the other, without anything that says what they are.

    Attributes:
        resolution_wh: width and height in pixels.
        layout: FFmpeg's name of the pixel format, or "v210".
        rate: frames a second.
    """

    resolution_wh: tuple[int, int]
    layout: str
    rate: Fraction = Fraction(25)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        width, height = self.resolution_wh
        if self.layout == _V210:
            return (width + 47) // 48 * 128 * height
        frame = av.VideoFormat(self.layout, width, height)
        if frame.is_planar:  # chroma of odd sizes is rounded up, plane by plane
            sizes = [(part.width, part.height, -(-part.bits // 8)) for part in frame.components]
            return sum(wide * high * size for wide, high, size in sizes)
        return (width * frame.padded_bits_per_pixel + 7) // 8 * height

    @property
    def demuxer(self) -> str:
        """FFmpeg's name for what reads it."""
        return _V210 if self.layout == _V210 else "rawvideo"

    @property
    def options(self) -> dict[str, str]:
        """FFmpeg's options for the demuxer."""
        width, height = self.resolution_wh
        layout = {} if self.layout == _V210 else {"pixel_format": self.layout}
        return {"video_size": f"{width}x{height}", "framerate": str(self.rate), **layout}

    def __str__(self) -> str:
        """As in `1920x1080 uyvy422`."""
        return f"{self.resolution_wh[0]}x{self.resolution_wh[1]} {self.layout}"


def is_pipe(source: object) -> bool:
    """Whether a SOURCE is the pipe on standard input, with or without options."""
    return isinstance(source, str) and (source == "-" or source.startswith("-?"))


def parse_pipe(source: str) -> RawVideo | None:
    """What comes through the pipe.

    Args:
        source: `-` for video in a container, or `-?size=1920x1080&format=uyvy422&rate=50` for raw video.

    Returns:
        How raw video is laid out; None where the stream itself says what it is.

    Raises:
        SourceError: the options cannot be understood.
    """
    _, asked, query = source.partition("?")
    if not asked:
        return None
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = next((name for name in given if name not in ("size", "format", "rate")), None)
    if unknown is not None or not given:
        raise SourceError(f"{source}: {unknown or 'nothing'} is not known; give size=, format= and rate=: {_EXAMPLE}")
    missing = [f"{name}=" for name in ("size", "format") if name not in given]
    if missing:
        raise SourceError(f"{source}: raw video needs {' and '.join(missing)} too, as in {_EXAMPLE}")
    raw = RawVideo(parse_size(given["size"], source), _layout(given["format"], source), parse_rate(given, source))
    check_size(raw.resolution_wh, source)
    return raw


def parse_size(text: str, source: str) -> tuple[int, int]:
    """Width and height of `1920x1080`.

    Raises:
        SourceError: it is no such size; the message names the source.
    """
    found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if found is None:
        raise SourceError(f"{source}: size={text} is no size; give width and height in pixels, as in size=1920x1080")
    return int(found[1]), int(found[2])


def parse_rate(given: dict[str, str], source: str) -> Fraction:
    """Frames a second of `rate=`: `50`, `59.94` or `60000/1001`; 25 where it is missing.

    Raises:
        SourceError: it is no such rate; the message names the source.
    """
    text = given.get("rate", "25")
    usable = re.fullmatch(r"\d{1,4}(\.\d{1,6})?|\d{1,6}/\d{1,4}", text) is not None
    try:
        rate = Fraction(text) if usable else Fraction(0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not 0 < rate <= _MOST_RATE:
        raise SourceError(f"{source}: rate={text} is no rate; give frames a second, as in rate=50 or rate=60000/1001")
    return rate


def _layout(text: str, source: str) -> str:
    name = OTHER_NAMES.get(text.lower(), text.lower())
    if name == _V210:
        return name
    try:
        known = av.VideoFormat(name, 16, 16)
    except ValueError:
        known = None
    if known is None or known.padded_bits_per_pixel == 0:
        raise SourceError(
            f"{source}: format={text} is no pixel format; give FFmpeg's name of it, as uyvy422, yuyv422, nv12, "
            "yuv420p, yuv422p10le, v210, bgr24 (`ffmpeg -pix_fmts` lists them)"
        )
    return name
