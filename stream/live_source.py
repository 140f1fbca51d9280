"""Sources that run in real time: what each of them is, and one way to open them all."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from stream.frame import Frame
from stream.live_address import LiveAddress, LiveKind

_AnySource = TypeVar("_AnySource", bound="LiveSource")


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
