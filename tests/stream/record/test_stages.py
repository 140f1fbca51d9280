from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.record import stages
from stream.record.stages import StageLine

DEADLINE_S = 20.0


def _alive() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_order_and_count_are_kept(workers: int, count: int) -> None:
    seen: list[int] = []
    line = StageLine("read", range(1, count + 1), capacity=2)
    line.add("double", lambda x: 2 * x, workers=workers)
    line.add("keep", seen.append)
    line.run()
    assert seen == [2 * x for x in range(1, count + 1)]
    assert [timing.items for timing in line.timings][1:] == [count, count]


def test_a_later_item_waits_for_an_earlier_one_that_takes_longer() -> None:
    second_done = threading.Event()
    seen: list[int] = []

    def work(x: int) -> int:
        if x == 1:
            assert second_done.wait(DEADLINE_S)  # the other worker overtakes this one
        else:
            second_done.set()
        return x

    line = StageLine("read", [1, 2, 3])
    line.add("work", work, workers=2)
    line.add("keep", seen.append)
    line.run()
    assert seen == [1, 2, 3]


def _leads(count: int, *, opens_at: int, capacity: int, weigh: Callable[[object], int] = lambda _: 0) -> list[int]:
    """How many more items were drawn than were in work, at each item; the first waits until `opens_at` was drawn."""
    drawn: list[int] = []
    gate = threading.Event()
    leads: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1, count + 1):
            drawn.append(number)
            if number == opens_at:
                gate.set()
            yield number

    def slow(number: int) -> None:
        if number == 1:
            assert gate.wait(DEADLINE_S)
        leads.append(len(drawn) - number)

    line = StageLine("read", items(), capacity=capacity, weigh=weigh)
    line.add("slow", slow)
    line.run()
    assert len(leads) == count
    return leads


def test_a_slow_stage_holds_back_the_source() -> None:
    # Three wait in the channel, one is in work, one is drawn and waits for room.
    assert max(_leads(29, opens_at=5, capacity=3)) <= 5


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MOST_BYTES", 1000)
    # One waits, one is in work, one is drawn and waits for room.
    assert max(_leads(11, opens_at=3, capacity=9, weigh=lambda _: 700)) <= 3


def test_what_a_stage_still_holds_comes_last_and_one_by_one() -> None:
    held: list[int] = []
    seen: list[list[int]] = []

    def hold(number: int) -> list[int]:
        held.append(number)
        return [held.pop(0)] if len(held) > 3 else []

    line = StageLine("read", iter(range(6)))
    line.add("hold", hold, finish=lambda: [[number] for number in held])
    line.add("keep", seen.append)
    line.run()
    assert seen == [[], [], [], [0], [1], [2], [3], [4], [5]]
    with pytest.raises(ValueError, match="needs one worker"):
        line.add("hold", hold, workers=2, finish=lambda: [])


@pytest.mark.parametrize("where", ["source", "first", "last"])
def test_a_failure_anywhere_ends_all_with_its_cause(where: str) -> None:
    before = _alive()

    def items() -> Iterator[int]:
        number = 0
        while True:
            number += 1
            if where == "source" and number == 20:
                raise OSError("disk gone")
            yield number

    def fail(name: str) -> object:
        def work(x: int) -> int:
            if where == name and x == 20:
                raise OSError("disk gone")
            return x

        return work

    line = StageLine("read", items(), capacity=2)
    line.add("first", fail("first"), workers=2)  # type: ignore[arg-type]
    line.add("last", fail("last"))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="disk gone"):
        line.run()
    assert _alive() == before


def test_invalid_arguments() -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1. Received: 0"):
        StageLine("read", [], capacity=0)
    with pytest.raises(ValueError, match="workers must be at least 1. Received: 0"):
        StageLine("read", []).add("work", str, workers=0)


_ENDLESS = """
import itertools, sys, threading
from stream.record import stages
from stream.record.stages import StageLine
line = StageLine("read", itertools.count(1))
def say(x):
    if x == 100:
        print("running", flush=True)
line.add("say", say)
try:
    line.run()
except KeyboardInterrupt:
    print("ended with", threading.active_count(), "thread")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_every_thread() -> None:
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen([sys.executable, "-c", _ENDLESS], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert output == "ended with 1 thread\n"
    assert process.returncode == 0
