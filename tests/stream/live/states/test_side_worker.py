"""Work beside the display path: bounded, counted, and its failure is its owner's."""

from __future__ import annotations

import threading

import pytest

from stream.live.states import side_worker
from stream.live.states.side_worker import SideWorker
from tests.kit.live_kit import LONG_S


def test_work_is_done_in_order_and_what_finds_no_room_is_counted() -> None:
    free, begun, done = threading.Event(), threading.Event(), []

    def work(item: int) -> None:
        begun.set()
        free.wait(LONG_S)
        done.append(item)

    ended = threading.Event()
    worker = SideWorker("test", work, capacity=2, on_failure=print, on_end=ended.set)
    assert worker.offer(0) and begun.wait(LONG_S)
    assert [worker.offer(item) for item in (1, 2, 3, 4)] == [True, True, False, False]
    assert not worker.close(wait_s=0.0) and not worker.ended
    free.set()
    assert worker.close() and worker.ended and ended.is_set()
    assert done == [0, 1, 2], "what waited is done before the end"
    assert worker.dropped == 2
    assert not worker.offer(9) and worker.dropped == 3


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_worker, "MOST_BYTES", 1000)
    free, begun, done = threading.Event(), threading.Event(), []

    def work(size: int) -> None:
        begun.set()
        free.wait(LONG_S)
        done.append(size)

    worker = SideWorker("test", work, capacity=99, weigh=lambda size: size, on_failure=print)
    assert worker.offer(5000) and begun.wait(LONG_S)  # is in work, and waits no more
    assert [worker.offer(size) for size in (600, 500, 400, 1)] == [True, False, True, False]
    free.set()
    assert worker.close() and done == [5000, 600, 400]
    alone = SideWorker("test", done.append, capacity=99, weigh=lambda size: size, on_failure=print)
    assert alone.offer(7000) and alone.close(), "one that is larger than all may be still goes through"
    assert done[-1] == 7000


def test_a_failure_ends_it_and_is_told() -> None:
    told: list[Exception] = []
    ended = threading.Event()

    def work(item: int) -> None:
        raise OSError(f"no paper for {item}")

    worker = SideWorker("test", work, capacity=9, on_failure=told.append, on_end=ended.set)
    worker.offer(7)
    assert ended.wait(LONG_S)
    assert worker.close()
    assert [str(one) for one in told] == ["no paper for 7"]
    assert not worker.offer(8)


def test_an_end_that_fails_is_told_too() -> None:
    told: list[Exception] = []

    def end() -> None:
        raise ValueError("no end")

    SideWorker[int]("test", print, capacity=1, on_failure=told.append, on_end=end).close()
    assert [str(one) for one in told] == ["no end"]
