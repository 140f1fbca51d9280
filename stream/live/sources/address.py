"""What the SOURCE of a live run means. Nothing is opened here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from urllib.parse import parse_qsl, urlsplit
from urllib.request import url2pathname

from engine.errors import SourceError
from engine.text.redaction import redacted
from stream.live.cameras.modes import Wish, layout_of
from stream.sources.pipes.growing import Follow
from stream.sources.pipes.request import PIPE_NAME, is_pipe, parse_pipe, parse_rate, parse_size

_SCHEMES = ("rtsp", "rtsps", "udp", "http", "https")
_PATTERN = re.compile(r"(?:(\d{2,5})x(\d{2,5}))?(?:@(\d{1,4}(?:\.\d{1,6})?|\d{1,6}/\d{1,4}))?")
_SIDES = range(128, 8193)  # of the test pattern, pixels
_MOST_RATE = 1000
#: What a camera can be asked for, and what each value looks like.
_CAMERA_OPTIONS = {
    "format": r"[A-Za-z0-9]{2,16}",
    "size": r"\d{2,5}x\d{2,5}",
    "width": r"[1-9]\d{1,4}",
    "height": r"[1-9]\d{1,4}",
    "rate": r"[\d./]{1,12}",
}
_SAME_OPTIONS = {"fps": "rate", "fourcc": "format"}


class LiveKind(Enum):
    """What a live source is."""

    CAMERA = "camera"
    STREAM = "stream"
    FILE = "file"
    PIPE = "pipe"
    PATTERN = "pattern"


@dataclass(frozen=True, slots=True)
class LiveAddress:
    """Where frames come from.

    Attributes:
        kind: of the source.
        value: URL, path, or what stands behind `camera:` and `pattern:`. May hold secrets: never show it.
        name: as it may be shown, without secrets.
    """

    kind: LiveKind
    value: str
    name: str

    def __repr__(self) -> str:
        """Without `value`."""
        return f"LiveAddress({self.kind.value}, {self.name!r})"

    @property
    def comes_back(self) -> bool:
        """Whether it is opened again when it ends, fails or falls silent: cameras and network streams are."""
        return self.kind in (LiveKind.CAMERA, LiveKind.STREAM)

    @property
    def may_stall(self) -> bool:
        """Whether its silence is a fault of somebody else, and no pace of its own."""
        return self.comes_back or self.kind is LiveKind.PIPE


@dataclass(frozen=True, slots=True)
class CameraRequest:
    """Which camera, and what it is asked for.

    Attributes:
        device: number, path of the device, or name of the camera.
        wish: what it is asked for.
    """

    device: int | str
    wish: Wish = field(default_factory=Wish)


@dataclass(frozen=True, slots=True)
class PatternRequest:
    """How the test pattern is to be: width and height in pixels, frames a second."""

    resolution_wh: tuple[int, int] = (1920, 1080)
    rate: Fraction = Fraction(25)


def parse_live_source(source: str) -> LiveAddress:
    """What a SOURCE of the command line means.

    Args:
        source: `camera:0`, `camera:/dev/video2?size=1920x1080&rate=50`, a URL (rtsp, rtsps, udp, http, https), `-` for
            a pipe (`stream.sources.pipes.request.parse_pipe`), `pattern:` or `pattern:1920x1080@25`, or the path of a
            video file.

    Raises:
        SourceError: it is none of these. The message holds no secrets.
    """
    source = source.strip()
    if not source:
        raise SourceError("the source is empty; give camera:0, an rtsp, udp or http address, pattern: or a video file")
    if is_pipe(source):
        parse_pipe(source)
        return LiveAddress(LiveKind.PIPE, source, PIPE_NAME)
    kind, _, value = source.partition(":")
    if source.startswith("camera:"):
        parse_camera(value)
        return LiveAddress(LiveKind.CAMERA, value, redacted(source))
    if source.startswith("pattern:"):
        parse_pattern(value)
        return LiveAddress(LiveKind.PATTERN, value, source)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", source)
    if scheme is None and kind.lower() in _SCHEMES:  # not to be shown as the name of a file: it may hold a password
        raise SourceError(f"{kind}: is no usable address; give {kind.lower()}://HOST:PORT/...")
    if scheme is None:
        return LiveAddress(LiveKind.FILE, source, redacted(source))
    kind = scheme[1].lower()
    if kind == "file":
        path = url2pathname(urlsplit(source).path)
        return LiveAddress(LiveKind.FILE, path, path)
    if kind not in _SCHEMES:
        raise SourceError(f"{redacted(source)}: {kind} is not known; give one of {', '.join(_SCHEMES)}")
    try:
        parts = urlsplit(source)
        port = parts.port  # raises when it is no number, or out of range
        usable = port is not None if kind == "udp" else bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise SourceError(f"{redacted(source)} is no usable address; give {kind}://HOST:PORT/...")
    return LiveAddress(LiveKind.STREAM, source, redacted(source))


def refuse_stream(address: LiveAddress, stream: int | None) -> None:
    """Refuses a number of a stream for a source that has no streams to choose from.

    Args:
        address: of the source.
        stream: number of the video stream that was asked for, or None.

    Raises:
        SourceError: a camera or pattern, and a number.
    """
    if stream is not None and address.kind in (LiveKind.CAMERA, LiveKind.PATTERN):
        raise SourceError(f"--stream {stream}: {address.name} has one picture and no streams; leave --stream out")


def refuse_follow(address: LiveAddress, follow: Follow | None) -> None:
    """Refuses to follow what does not grow.

    Args:
        address: of the source.
        follow: how it is to be followed, or None.

    Raises:
        SourceError: no file, and it is to be followed.
    """
    if follow is not None and address.kind is not LiveKind.FILE:
        raise SourceError(f"--follow: {address.name} is no file that grows; leave --follow out")


def parse_camera(value: str) -> CameraRequest:
    """What stands behind `camera:`.

    Args:
        value: number, path or name, and options: `0?format=uyvy&size=1920x1080&rate=50`. `width=`, `height=`, `fps=`
            and `fourcc=` say the same.

    Raises:
        SourceError: it cannot be understood.
    """
    device, _, query = value.partition("?")
    source = f"camera:{value}"
    if not device:
        raise SourceError(f"{source} names no camera; give camera:0, its name, or the path of its device")
    if "://" in value:
        raise SourceError(f"{source} is a network address; give it without camera:")
    given: dict[str, str] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        name = _SAME_OPTIONS.get(name, name)
        if re.fullmatch(_CAMERA_OPTIONS.get(name, "(?!)"), text) is None:
            raise SourceError(
                f"{source}: {name}={text} is not known; give format=uyvy, size=1920x1080 or rate=50 "
                "(`polypstream doctor --cameras` lists what each camera has)"
            )
        given[name] = text
    if ("width" in given) != ("height" in given):
        raise SourceError(f"{source}: width and height are needed together; give both or none")
    size = given.get("size") or (f"{given['width']}x{given['height']}" if "width" in given else None)
    wish = Wish(
        layout_of(given.get("format", "")),
        None if size is None else parse_size(size, source),
        float(parse_rate(given, source)) if "rate" in given else None,
    )
    return CameraRequest(int(device) if re.fullmatch("[0-9]+", device) else device, wish)


def parse_pattern(value: str) -> PatternRequest:
    """What stands behind `pattern:`.

    Args:
        value: size and rate: `1920x1080@25`, `640x480`, `@60`, `@30000/1001`, or nothing.

    Raises:
        SourceError: it cannot be understood, or is out of range.
    """
    found = _PATTERN.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        usual = PatternRequest()
        size = (int(found[1]), int(found[2])) if found[1] else usual.resolution_wh
        rate = Fraction(found[3]) if found[3] else usual.rate
        if not (size[0] in _SIDES and size[1] in _SIDES and 0 < rate <= _MOST_RATE):
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise SourceError(
            f"pattern:{value} is no test pattern; give pattern:1920x1080@25, "
            f"with sides of {_SIDES[0]} to {_SIDES[-1]} pixels and up to {_MOST_RATE} frames/s"
        ) from None
    return PatternRequest(size, rate)
