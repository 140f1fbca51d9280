"""Ctrl-C and the polite ends of a service manager or a terminal that closes: SIGINT, SIGTERM, SIGHUP.

The first signal ends the work. While what was finished is brought to safety, a second one is only noted, and a third
ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

INTERRUPTED = 130
"""Exit status after Ctrl-C or a polite end."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SECOND = "\npolypstream: what was finished is being saved; one more signal ends at once\n"
_THIRD = "\npolypstream: ended at once; unfinished files are called NAME.partial\n"


class _Signals:
    """What came so far. The main thread alone changes it: there every handler runs."""

    def __init__(self) -> None:
        self.handled = self.deferred = 0
        self.came = 0
        self.pending = False

    def take(self, number: int, frame: FrameType | None) -> None:
        self.came += 1
        if self.came > 2:
            _say(_THIRD)
            os._exit(INTERRUPTED)
        if self.came == 2:
            _say(_SECOND)
        elif self.deferred:
            self.pending = True
        else:
            raise KeyboardInterrupt


_SIGNALS = _Signals()


@contextmanager
def handled(*, to_the_end: bool = False) -> Iterator[None]:
    """Handles these signals for the `with` block, in the main thread; those that were to be ignored stay so.

    Args:
        to_the_end: nothing but the end of the process follows the block: once a signal came, further ones must not
            spoil that either, and stay handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outermost = not _SIGNALS.handled
    before = {}
    if outermost:
        _SIGNALS.came, _SIGNALS.pending = 0, False
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, _SIGNALS.take)
    _SIGNALS.handled += 1
    try:
        yield
    finally:
        _SIGNALS.handled -= 1
        if not (to_the_end and _SIGNALS.came):
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Lets the first signal wait for `check`, for as long as files are open that must not be left by an exception.

    Where nothing handles the signals yet, this does. A signal for which no `check` came any more is raised at the end.

    Raises:
        KeyboardInterrupt: at the end, in a program that does not handle the signals by `handled`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    alone = not _SIGNALS.handled
    with handled():
        _SIGNALS.deferred += 1
        try:
            yield
        finally:
            _SIGNALS.deferred -= 1
            late = _SIGNALS.pending and not _SIGNALS.deferred
            if late:
                _SIGNALS.pending = False
        if late and alone:
            raise KeyboardInterrupt


def pending() -> bool:
    """Whether a signal waits for `check`."""
    return _SIGNALS.pending


def check() -> None:
    """Raises KeyboardInterrupt, once, when a first signal has come in a `deferred` block; in the main thread only."""
    if _SIGNALS.pending and threading.current_thread() is threading.main_thread():
        _SIGNALS.pending = False
        raise KeyboardInterrupt


def _say(text: str) -> None:
    # Not through sys.stderr, in whose middle the signal may have come.
    with suppress(OSError):
        os.write(2, text.encode())
