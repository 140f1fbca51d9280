"""Sources that run in real time: what each of them is, and one way to open them all."""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from engine.errors import SourceError
from stream.frame import Frame
from stream.redaction import redacted

_SCHEMES = ("rtsp", "rtsps", "udp", "http", "https")
_AnySource = TypeVar("_AnySource", bound="LiveSource")


class LiveKind(Enum):
    """What a live source is."""

    CAMERA = "camera"
    STREAM = "stream"
    FILE = "file"
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
        """Whether it is opened again when it ends, fails or falls silent: for cameras and network streams."""
        return self.kind in (LiveKind.CAMERA, LiveKind.STREAM)


def parse_live_source(source: str) -> LiveAddress:
    """What a SOURCE of the command line means; nothing is opened.

    Args:
        source: `camera:0`, `camera:/dev/video2?width=1920&height=1080&fps=50`, a URL (rtsp, rtsps, udp, http, https),
            `pattern:` or `pattern:1920x1080@25`, or the path of a video file.

    Raises:
        SourceError: it is none of these.
    """
    if not source:
        raise SourceError("the source is empty; give camera:0, an rtsp, udp or http address, pattern: or a video file")
    kind, separator, value = source.partition(":")
    if separator and not value.startswith("//") and kind.lower() in (LiveKind.CAMERA.value, LiveKind.PATTERN.value):
        return LiveAddress(LiveKind(kind.lower()), value, source)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", source)
    if scheme is None:
        return LiveAddress(LiveKind.FILE, source, source)
    if scheme[1].lower() == "file":
        path = url2pathname(urlsplit(source).path)
        return LiveAddress(LiveKind.FILE, path, path)
    if scheme[1].lower() not in _SCHEMES:
        raise SourceError(f"{redacted(source)}: {scheme[1]} is not known; give one of {', '.join(_SCHEMES)}")
    try:
        parts = urlsplit(source)
        usable = parts.port is not None if scheme[1].lower() == "udp" else bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise SourceError(f"{redacted(source)} is no usable address; give {scheme[1].lower()}://HOST:PORT/...")
    return LiveAddress(LiveKind.STREAM, source, redacted(source))


class LiveSource(ABC):
    """Frames as they arrive, read once, from one thread; a context manager.

    Only `interrupt` may be called from another thread. Indices and presentation times of the frames count from the
    opening of the source.
    """

    def __init__(self, address: LiveAddress) -> None:
        """Nothing is opened here."""
        self.address = address
        self._interrupted = threading.Event()

    @property
    def ends(self) -> bool:
        """Whether its end is one that was to be expected: it is a recording."""
        return not self.address.comes_back

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames; ends at the source's end or after `interrupt`.

        Raises:
            PolypstreamError: the source fails. The message holds no secrets.
        """

    def interrupt(self) -> None:
        """Makes `frames` end soon, unless the library below hangs."""
        self._interrupted.set()

    @abstractmethod
    def close(self) -> None:
        """Frees what the source holds; called from the thread that reads it."""

    def __enter__(self: _AnySource) -> _AnySource:
        """The source itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the source."""
        self.close()


def open_live_source(address: LiveAddress, *, realtime: bool = True, open_timeout_s: float = 5.0) -> LiveSource:
    """Open a source; may take as long as `open_timeout_s`, or longer where a library hangs.

    Args:
        address: from `parse_live_source`.
        realtime: files and patterns run at their own pace; False for as fast as they are taken.
        open_timeout_s: how long a network stream may take to answer.

    Raises:
        SourceError: it cannot be opened. The message holds no secrets.
    """
    # Each library is loaded only where its kind of source is used.
    if address.kind is LiveKind.CAMERA:
        from stream.live_source_camera import CameraSource

        return CameraSource(address)
    if address.kind is LiveKind.STREAM:
        from stream.live_source_stream import StreamSource

        return StreamSource(address, open_timeout_s=open_timeout_s)
    if address.kind is LiveKind.PATTERN:
        from stream.live_source_pattern import PatternSource

        return PatternSource(address, realtime=realtime)
    from stream.live_source_file import FileSource

    return FileSource(address, path=Path(address.value), realtime=realtime)
