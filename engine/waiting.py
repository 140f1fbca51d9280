"""Waiting that Ctrl-C can end."""

from __future__ import annotations

import threading
import time

from engine.interrupts import check

LOOK_S = 0.2
"""Longest wait in seconds between two looks for Ctrl-C, which some systems only deliver then."""


def wait_for(event: threading.Event, wait_s: float | None = None) -> bool:
    """Waits until an event is set; Ctrl-C ends the wait on every system, also within `engine.interrupts.deferred`.

    `Thread.join` is no stand-in: up to Python 3.12 one that Ctrl-C interrupts takes the running thread for ended
    (bpo-45274). So let the thread set an event as its last act, and wait for that.

    Args:
        event: to wait for.
        wait_s: longest wait in seconds; None for as long as it takes.

    Returns:
        Whether the event is set.
    """
    deadline_s = float("inf") if wait_s is None else time.monotonic() + wait_s
    while not event.wait(max(0.0, min(LOOK_S, deadline_s - time.monotonic()))):
        check()
        if time.monotonic() >= deadline_s:
            return False
    return True
