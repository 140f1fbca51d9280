"""Bytes of a pipe, read as they come, so that their writer need not wait for whoever decodes them."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import threading
import time
from collections import deque

from engine.closing import Closing
from engine.errors import SourceError
from stream.sources.pipes.request import PIPE_NAME

logger = logging.getLogger(__name__)

_READ_BYTES = 1 << 20
_HEAD_BYTES = 4096
_LOOK_S = 0.2  # longest time after which a reader notices that it is to end
_WARN_S = 3.0  # of silence at the start
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux
_STANDARD_INPUT = 0


class PipeFeed(Closing):
    """A file for FFmpeg that cannot seek: `read` gives what has come.

    A thread reads the pipe into a buffer. Its writer waits only while the buffer is full.
    """

    def __init__(self, descriptor: int = _STANDARD_INPUT, *, most_bytes: int, first_byte_s: float = 30.0) -> None:
        """Begin to read.

        Args:
            descriptor: of the pipe's end; it is not closed.
            most_bytes: that the buffer holds.
            first_byte_s: how long the first byte may take to come, in seconds.

        Raises:
            SourceError: standard input is a terminal, or closed.
        """
        try:
            os.fstat(descriptor)
        except OSError:
            raise SourceError(f"{PIPE_NAME} is closed; write COMMAND | polypstream ... -") from None
        if os.isatty(descriptor):
            raise SourceError(
                f"{PIPE_NAME} is a terminal, and no pipe with video; write COMMAND | polypstream ... -, or name a file"
            )
        self._descriptor, self._most_bytes, self._first_byte_s = descriptor, most_bytes, first_byte_s
        with contextlib.suppress(ImportError, OSError):  # fewer, larger pieces; a pipe of Linux alone can be enlarged
            import fcntl

            if sys.platform.startswith("linux"):
                fcntl.fcntl(descriptor, _SET_PIPE_SIZE, _READ_BYTES)
        self.total = 0
        self.head = b""
        self._began_s = time.monotonic()
        self._pieces: deque[tuple[float, memoryview]] = deque()
        self._held = 0
        self._ended = self._closed = self._warned = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._fill, name="pipe-feed", daemon=True)
        self._thread.start()

    @property
    def waiting_s(self) -> float:
        """How long the oldest byte that nobody read has been waiting, in seconds."""
        with self._changed:
            return time.monotonic() - self._pieces[0][0] if self._pieces else 0.0

    @property
    def interrupted(self) -> bool:
        """Whether it ended because nobody wants more."""
        return self._closed

    def read(self, size: int = -1) -> bytes:
        """What has come, as soon as there is any: `size` bytes at most; b"" at the end.

        Nothing is raised here: an exception within FFmpeg's read is lost when it is Ctrl-C. See `check`.
        """
        try:
            return self._next(size)
        except BaseException as error:
            self._failure = error
            self.interrupt()
            return b""

    def check(self) -> None:
        """Raise what ended a read.

        Raises:
            SourceError: nothing came at all.
            KeyboardInterrupt: Ctrl-C came in it.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _next(self, size: int) -> bytes:
        with self._changed:
            while not (self._pieces or self._ended or self._closed):
                self._changed.wait(_LOOK_S)
                if not self.total:
                    self._check_silence()
            if self._closed or not self._pieces:
                return b""
            arrived_s, piece = self._pieces.popleft()
            if 0 <= size < len(piece):
                self._pieces.appendleft((arrived_s, piece[size:]))
                piece = piece[:size]
            self._held -= len(piece)
            self._changed.notify_all()
        return bytes(piece)

    def interrupt(self) -> None:
        """Let `read` give no more, in whatever thread it waits."""
        with self._changed:
            self._closed = True
            self._pieces.clear()
            self._held = 0
            self._changed.notify_all()

    def close(self) -> None:
        """End reading; the thread ends within a moment, where the system lets it."""
        self.interrupt()
        if sys.platform != "win32":  # there it waits in the system until a byte comes
            self._thread.join()

    def _check_silence(self) -> None:
        silent_s = time.monotonic() - self._began_s
        if silent_s >= self._first_byte_s:
            raise SourceError(
                f"nothing came through {PIPE_NAME} within {self._first_byte_s:g} s; check the command before the pipe"
            )
        if silent_s >= _WARN_S and not self._warned:
            self._warned = True
            logger.warning("nothing has come through %s yet; the command before the pipe is waited for", PIPE_NAME)

    def _fill(self) -> None:
        while True:
            with self._changed:
                while self._held >= self._most_bytes and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
            data = self._read_some()
            if data is None:
                continue
            with self._changed:
                if data:
                    self.head = self.head or data[:_HEAD_BYTES]
                    self.total += len(data)
                    self._held += len(data)
                    self._pieces.append((time.monotonic(), memoryview(data)))
                else:
                    self._ended = True
                self._changed.notify_all()
                if self._ended or self._closed:
                    return

    def _read_some(self) -> bytes | None:
        """Bytes; b"" at the end; None where none came yet."""
        try:
            if sys.platform != "win32" and not select.select([self._descriptor], [], [], _LOOK_S)[0]:
                return None
            return os.read(self._descriptor, _READ_BYTES)
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be read on: %s", PIPE_NAME, error)
            return b""
