"""Messages between a process and one that it started, over the pipes at the child's standard input and output.

A message is a kind, fields that JSON knows, and bytes: two lengths of four bytes each (big-endian), then the JSON, then
the bytes. A process that is started gets its order by the first message.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from engine.closing import Closing

#: A message of this kind says that the process works, and what time it has taken of the processor (`processor_s`).
#: One of the other kind says that its work is done.
ALIVE, DONE = "alive", "done"
_LENGTHS = struct.Struct(">II")
_LONGEST = 1 << 28  # bytes; what says that it is longer is no message


@dataclass(frozen=True, slots=True)
class Message:
    """What one process tells another.

    Attributes:
        kind: what it is.
        fields: of the kinds that JSON knows.
        body: bytes that go with it.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""


class Channel(Closing):
    """Two pipes. Any thread may send; one thread receives."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        """Joins the ends.

        Args:
            reading: where messages come from; closed with the channel.
            writing: where they go to; closed with the channel.
        """
        self._reading, self._writing = reading, writing
        self._sending = threading.Lock()
        self._gone = False

    def send(self, kind: str, body: bytes = b"", **fields: Any) -> bool:
        """Sends a message; False once the other process has gone.

        Args:
            kind: what it is.
            body: bytes that go with it.
            **fields: of the kinds that JSON knows.
        """
        text = json.dumps({"kind": kind, **fields}, allow_nan=False).encode()
        with self._sending:
            try:
                if not self._gone:
                    self._writing.write(_LENGTHS.pack(len(text), len(body)) + text + body)
                    self._writing.flush()
            except (OSError, ValueError):  # a pipe without a reader, or one that was closed
                self._gone = True
            return not self._gone

    def receive(self) -> Message | None:
        """Waits for the next message; None when the other process has gone, or says what is no message."""
        try:
            lengths = self._reading.read(_LENGTHS.size)
            text_bytes, body_bytes = _LENGTHS.unpack(lengths)
            if max(text_bytes, body_bytes) > _LONGEST:
                return None
            text, body = self._reading.read(text_bytes), self._reading.read(body_bytes)
            if len(text) < text_bytes or len(body) < body_bytes:
                return None
            fields = json.loads(text)
            return Message(str(fields.pop("kind")), fields, body)
        except (OSError, ValueError, KeyError, AttributeError, struct.error):
            return None

    def close(self) -> None:
        """Closes both ends, which the other process sees; to be called by the thread that receives."""
        with self._sending:
            self._gone = True
            for pipe in (self._writing, self._reading):
                with suppress(OSError, ValueError):
                    pipe.close()


def own_channel() -> Channel:
    """The channel to the process that started this one by `engine.processes.programs.start_python`; made once.

    What libraries print goes to standard error from now on, and nobody reads the standard input any more.
    """
    writing, reading = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return Channel(reading, writing)


class Pulse(Closing):
    """Tells the process that started this one every second that it works; a thread of its own."""

    def __init__(self, channel: Channel, alive: Callable[[], bool], *, every_s: float = 1.0) -> None:
        """Starts the thread.

        Args:
            channel: to tell it.
            alive: whether the work goes on; while it does not, nothing is told.
            every_s: time between two beats.
        """
        self._channel, self._alive, self._every_s = channel, alive, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            if self._alive():
                self._channel.send(ALIVE, processor_s=time.process_time())
