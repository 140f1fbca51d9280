"""A file that somebody still writes, read as it grows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Event

from engine.checks import require_above
from engine.closing import Closing
from engine.errors import SourceError
from stream.sources.pipes.late_start import late_start

_LOOK_S = 0.05  # between two looks whether a file has grown
_HEAD_BYTES = 4096


class Begin(str, Enum):
    """Where a growing file is begun: near its end, or at its beginning."""

    END = "end"
    START = "start"


@dataclass(frozen=True, slots=True)
class Follow:
    """How a growing file is followed.

    Attributes:
        begin: where.
        quiet_s: time without growth after which it counts as complete, in seconds.
    """

    begin: Begin = Begin.END
    quiet_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            InputError: a time that is not positive.
        """
        require_above("the time without growth", self.quiet_s, wanted="above 0 s")


class GrowingFile(Closing):
    """A file for FFmpeg that cannot seek: at what is its end by now, `read` waits for more."""

    def __init__(self, path: Path, follow: Follow) -> None:
        """Open the file.

        Args:
            path: of it.
            follow: from where, and how long.

        Raises:
            SourceError: it cannot be read, or holds nothing yet.
        """
        self._path, self._follow = path, follow
        self._interrupted = Event()
        self.total = 0
        self.head = b""
        self.starved = False
        self.problem: str | None = None
        try:
            if not path.is_file():
                raise SourceError(
                    f"{path} is no file that could grow; check the path, and leave --follow out otherwise"
                )
            if path.stat().st_size == 0:
                raise SourceError(f"{path} is empty (0 bytes); start when its recording has begun")
            self._late = late_start(path) if follow.begin is Begin.END else None
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror or error}; check its name and rights") from error

    @property
    def left(self) -> int:
        """Bytes that are there and were not read yet."""
        try:
            return max(self._path.stat().st_size - (self._file.tell() if self._late is None else self._late.begin), 0)
        except (OSError, ValueError):
            return 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as soon as there are any; b"" once the file has not grown for the time that was set."""
        size = size if size >= 0 else 1 << 16
        since_s = time.monotonic()
        while not self._interrupted.is_set():
            try:
                data = self._file.read(size if self._late is None else min(size, self._late.head - self.total))
                if self._late is not None and self.total + len(data) >= self._late.head:
                    self._file.seek(self._late.begin)
                    self._late = None
                    if not data:
                        continue
                cut = not data and self._path.stat().st_size < self._file.tell()
            except OSError as error:
                self.problem = f"{self._path} cannot be read on: {error.strerror or error}"
                return b""
            if cut:
                self.problem = f"{self._path} was cut or replaced while it was followed"
                return b""
            if data:
                self.total += len(data)
                self.head = self.head or data[:_HEAD_BYTES]
                return data
            if time.monotonic() - since_s >= self._follow.quiet_s:
                return b""
            self.starved = True
            self._interrupted.wait(_LOOK_S)
        return b""

    def interrupt(self) -> None:
        """Let `read` give no more, in whatever thread it waits."""
        self._interrupted.set()

    def close(self) -> None:
        """Close the file."""
        self.interrupt()
        self._file.close()
