"""A process of Python code that is kept running beside this one: watched, and started again when it ends too early."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, cast

from engine.checks import require_above
from engine.closing import Closing
from engine.errors import cause_of
from engine.processes.channel import ALIVE, DONE, Channel, Message
from engine.processes.programs import PythonProcess, ends_within, start_python
from engine.waiting import wait_for

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How patient the watch over a process is, all in seconds.

    Attributes:
        silent_s: a process that has not said for so long that it lives hangs, and is killed.
        starting_s: the same before it has said so for the first time.
        first_delay_s: before it is started again; doubled with each time in a row.
        longest_delay_s: between two starts. One that worked for longer starts again with the first delay.
        leaving_s: a process may take so long to end once it has said that it is done.
    """

    silent_s: float = 10.0
    starting_s: float = 90.0
    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    leaving_s: float = 5.0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            InputError: a time that is not positive.
        """
        for name in ("silent_s", "starting_s", "first_delay_s", "longest_delay_s", "leaving_s"):
            require_above(name, getattr(self, name))


class KeptProcess(Closing):
    """Runs code in a process beside this one until that says it is done, and starts it again whenever it dies or hangs.

    The process has to say every second that it lives (`engine.processes.channel.Pulse`). All callbacks come
    from one thread of this.

    Attributes:
        processor_s: time of the processor that the newest process has taken, as it said last.
        ended: set when there will be no further process.
    """

    def __init__(
        self,
        name: str,
        code: str,
        *,
        begin: Callable[[Channel], None],
        take: Callable[[Message], None],
        lost: Callable[[str, float], None],
        patience: Patience | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            name: of the thread, and for the log.
            code: Python that the process runs.
            begin: called with the channel to each new process, to send it its order.
            take: told each message, the last one, `DONE`, included.
            lost: told why a process ended too early, and in how many seconds it is started again.
            patience: of the watch.
        """
        self.name = name
        self._code, self._begin, self._take, self._lost = code, begin, take, lost
        self._patience = patience or Patience()
        self._lock = threading.Lock()
        self._process: PythonProcess | None = None
        self._channel: Channel | None = None
        self._heard_s = self.processor_s = 0.0
        self._limit_s = self._patience.starting_s
        self._hung = ""
        self._closing = threading.Event()
        self._done = False
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)

    @property
    def process_id(self) -> int | None:
        """Of the process that runs now; None between two."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Starts the process, and the thread that keeps it; returns at once."""
        self._thread.start()

    def send(self, kind: str, body: bytes = b"", **fields: object) -> bool:
        """Sends the process a message; False where there is none just now."""
        channel = self._channel
        return channel is not None and channel.send(kind, body, **fields)

    def look(self) -> None:
        """Kills a process that hangs; to be called several times a second."""
        silent_s = time.monotonic() - self._heard_s
        with self._lock:
            if self._process is not None and silent_s > self._limit_s and not self._hung:
                self._hung = f"it hung, no sign of life for {self._limit_s:.0f} s"
                self._process.kill()

    def leave(self) -> None:
        """From now on an end is taken as it comes: the process is not started again."""
        self._closing.set()

    def close(self) -> None:
        """Kills the process, if it still runs; more than one call does no harm."""
        self._closing.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            wait_for(self.ended)

    def _keep(self) -> None:
        failures = 0
        try:
            while not self._closing.is_set():
                started_s = time.monotonic()
                reason = self._run()
                if self._done or self._closing.is_set():
                    return
                patience = self._patience
                failures = 1 if time.monotonic() - started_s > patience.longest_delay_s else failures + 1
                delay_s = min(patience.first_delay_s * 2.0 ** min(failures - 1, 30), patience.longest_delay_s)
                log.warning("%s: %s; it is started again in %.1f s", self.name, reason, delay_s)
                self._lost(reason, delay_s)
                self._closing.wait(delay_s)
        finally:
            self.ended.set()

    def _run(self) -> str:
        """One process from its start to its end; returns why it ended."""
        try:
            process = start_python(self._code)
        except OSError as error:
            return f"it cannot be started: {error.strerror or error}"
        channel = Channel(cast(IO[bytes], process.stdout), cast(IO[bytes], process.stdin))
        with self._lock:
            self._heard_s, self._limit_s, self._hung = time.monotonic(), self._patience.starting_s, ""
            self._process, self._channel = process, channel
        try:
            self._begin(channel)
            while (message := channel.receive()) is not None:
                if message.kind in (ALIVE, DONE):
                    self._heard_s, self._limit_s = time.monotonic(), self._patience.silent_s
                if message.kind == ALIVE:
                    self.processor_s = float(message.fields["processor_s"])
                self._done = self._done or message.kind == DONE
                self._take(message)
        except Exception as error:  # what it says cannot be taken: a new process may do better
            log.exception("%s", self.name)
            return f"what it said was not understood: {cause_of(error)}"
        finally:
            # The pipe is closed: the process has ended, or is about to.
            ends_within(process, self._patience.leaving_s)
            with self._lock:
                self._process = self._channel = None
            process.kill()
            process.wait()
            channel.close()
        return self._hung or _end(process.returncode)


def _end(status: int) -> str:
    """How a process ended, for people."""
    if status >= 0:
        return f"its process ended with status {status}"
    with suppress(ValueError):
        return f"its process was ended by {signal.Signals(-status).name}"
    return f"its process was ended by signal {-status}"
