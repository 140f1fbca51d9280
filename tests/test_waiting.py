from __future__ import annotations

import _thread
import threading
import time

import pytest

from engine.waiting import wait_for


def test_an_event_that_is_set_ends_the_wait() -> None:
    event = threading.Event()
    event.set()
    assert wait_for(event)
    assert wait_for(event, 0.0)


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.3])
def test_the_wait_has_an_end(wait_s: float) -> None:
    began_s = time.monotonic()
    assert not wait_for(threading.Event(), wait_s)
    assert time.monotonic() - began_s >= wait_s


def test_an_event_of_another_thread_ends_the_wait() -> None:
    event = threading.Event()
    thread = threading.Timer(0.05, event.set)
    thread.start()
    assert wait_for(event)
    thread.join()


def test_an_interrupt_ends_the_wait() -> None:
    thread = threading.Timer(0.05, _thread.interrupt_main)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        wait_for(threading.Event(), 60)
    thread.join()
