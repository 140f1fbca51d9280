"""Standard output and error as streams that cannot fail: work never depends on whether anybody reads.

A stream may be closed (`2>&-`), a pipe without a reader, a full device, a terminal that is stopped (Ctrl-S), or know
fewer characters than a name holds. What cannot be written is left out; what cannot be encoded is escaped.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

#: Errors after which a stream may work again: its disk is full, or its reader is behind.
_FOR_A_WHILE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EINTR})
#: How long a line waits for a reader that has stopped reading, once; later lines are left out until it reads again.
_STALLED_MS = 200
_STANDARD = (0, 1, 2)


class GuardedStream:
    """A text stream whose `write` and `flush` never raise.

    Attributes:
        reader_gone: a pipe's reader has ended.
        failure: why something could not be written, in the system's words; None while all was.
    """

    def __init__(self, stream: TextIO | None, *, waits: bool = True) -> None:
        """Guards a stream.

        Args:
            stream: to write to; None drops everything (Python has None for a stream that was closed before it began).
            waits: for a reader that is behind, as a pipe's writer does. Otherwise what it has no room for is left out.
        """
        self._stream = stream
        self._gone = stream is None
        self._waits = waits
        self._stalled = False
        self._lock = threading.RLock()
        self.reader_gone = False
        self.failure: str | None = None

    def write(self, text: str) -> int:
        """Writes a text as far as that can be done, and returns its length."""
        with self._lock:
            if not self._gone and self._has_room():
                self._try(lambda stream: stream.write(self._encodable(text)))
        return len(text)

    def flush(self) -> None:
        """Hands on what was written."""
        with self._lock:
            if not self._gone and not self._stalled:
                self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        try:
            return self._stream is not None and not self._gone and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Hands on what was written; the stream is not this one's to close."""
        self.flush()

    def finish(self) -> None:
        """Hands on what was written; what cannot be is dropped, so that Python's end does not try and fail again."""
        with self._lock:
            if self._stream is None:
                return
            if not self._gone:
                self._stalled = False
                if not self._has_room():
                    self._drop()
                    return
                self._try(lambda stream: stream.flush())
            if self._gone or self.failure is not None:
                self._drop()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        if name.startswith("__") or self.__dict__.get("_stream") is None:
            raise AttributeError(name)
        return getattr(self._stream, name)

    def _try(self, action: Any) -> None:
        try:
            action(self._stream)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            number = error.errno if isinstance(error, OSError) else None
            self.reader_gone = self.reader_gone or isinstance(error, BrokenPipeError)
            self.failure = os.strerror(number) if number is not None else str(error)
            self._gone = number not in _FOR_A_WHILE

    def _encodable(self, text: str) -> str:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            return text.encode(encoding, "backslashreplace").decode(encoding)
        except (LookupError, UnicodeError):
            return text.encode("ascii", "backslashreplace").decode("ascii")

    def _has_room(self) -> bool:
        descriptor = self._descriptor()
        if self._waits or descriptor is None or not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        try:
            self._stalled = not poll.poll(0 if self._stalled else _STALLED_MS)
        except OSError:
            self._stalled = False
        return not self._stalled

    def _descriptor(self) -> int | None:
        try:
            return None if self._stream is None else self._stream.fileno()
        except (OSError, ValueError, AttributeError):
            return None

    def _drop(self) -> None:
        self._gone = True
        descriptor = self._descriptor()
        if descriptor is not None and descriptor in _STANDARD:
            with suppress(OSError):
                _to_nowhere(descriptor)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Guards standard output and error for the time of a program's work, for all that is written there by anyone.

    Standard streams that the process was started without are led to nowhere: otherwise the next file that is opened
    would have the number of standard error, and every library that writes there would write into it.
    """
    fill_standard_descriptors()
    before = sys.stdout, sys.stderr
    guards = GuardedStream(sys.stdout), GuardedStream(sys.stderr, waits=False)
    sys.stdout, sys.stderr = (cast(TextIO, guard) for guard in guards)
    try:
        yield
    finally:
        out, err = guards
        out.finish()
        if out.failure is not None and not out.reader_gone:
            err.write(f"WARNING: standard output could not be written ({out.failure})\n")
        err.finish()
        sys.stdout, sys.stderr = before


def guard_of(stream: TextIO | None) -> GuardedStream:
    """A guarded stream as it is, any other one guarded."""
    return stream if isinstance(stream, GuardedStream) else GuardedStream(stream)


def fill_standard_descriptors() -> None:
    """Opens those of the descriptors 0, 1 and 2 that are closed, to nowhere."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                _to_nowhere(descriptor)


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
    os.set_inheritable(descriptor, True)
