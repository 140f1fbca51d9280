"""What every source that runs in real time is."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from stream.frame import Frame
from stream.live.sources.address import LiveAddress

_AnySource = TypeVar("_AnySource", bound="LiveSource")


class LiveSource(ABC):
    """Frames as they arrive, read once, from one thread; a context manager.

    Only `interrupt` may be called from another thread. Indices and presentation times of the frames count from the
    opening of the source.
    """

    def __init__(self, address: LiveAddress) -> None:
        """Nothing is opened here."""
        self.address = address
        self.on_damage: Callable[[int], None] | None = None
        self.on_left_out: Callable[[int], None] | None = None
        self._damaged = self._left_out = 0
        self._interrupted = threading.Event()

    @property
    def damaged(self) -> int:
        """How many pieces (packets, frames) came damaged so far."""
        return self._damaged

    def note_damage(self, pieces: int = 1) -> None:
        """Counts damaged pieces and tells `on_damage`, if it is set, how many there were; from the reading thread."""
        self._damaged += pieces
        if pieces and self.on_damage is not None:
            self.on_damage(pieces)

    def note_left_out(self, frames: int = 1) -> None:
        """Tells `on_left_out`, if it is set, of frames that came too fast to be taken; from the reading thread."""
        self._left_out += frames
        if self.on_left_out is not None:
            self.on_left_out(frames)

    @property
    def deinterlacing(self) -> Mapping[str, Any] | None:
        """What a run record says of interlaced video so far; None for sources that have none."""
        return None

    @property
    def ends(self) -> bool:
        """Whether its end is one that was to be expected: it is a recording."""
        return not self.address.comes_back

    @property
    def why_ended(self) -> str:
        """Why it ended, where that was to be expected, in words for people."""
        return f"{self.address.name} ended"

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
