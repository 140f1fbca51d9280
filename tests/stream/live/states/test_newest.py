"""The slot between two threads: always the newest, each once, nothing lost uncounted."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.live.states.newest import Newest, Numbered

_LONG_S = 20.0  # a deadline that only a fault reaches


def test_the_newest_is_taken_once() -> None:
    slot = Newest[str]()
    assert [slot.put(text) for text in "abc"] == [1, 2, 3]
    assert slot.take() == Numbered(3, "c")
    assert slot.take(timeout_s=0.0) is None
    assert slot.overwritten == 2


def test_a_waiting_item_can_be_kept() -> None:
    slot = Newest[int]()
    slot.put(5)
    assert slot.put(4, keep=lambda waiting: waiting > 4) is None
    assert slot.take() == Numbered(1, 5)
    assert slot.put(4, keep=lambda waiting: waiting > 4) == 2, "only what still waits is compared"
    assert slot.overwritten == 0


def test_closing_wakes_all_that_wait() -> None:
    slot = Newest[int]()
    taken: list[object] = []
    threads = [threading.Thread(target=lambda: taken.append(slot.take()), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    slot.close()
    slot.close()
    for thread in threads:
        thread.join(_LONG_S)
    assert taken == [None, None, None]
    assert slot.put(1) is None
    assert slot.take() is None
    assert slot.overwritten == 0


def test_closing_forgets_what_waits() -> None:
    slot = Newest[int]()
    slot.put(1)
    slot.close()
    assert slot.take() is None
    assert slot.overwritten == 1


@settings(max_examples=30)
@given(st.integers(1, 200), st.integers(1, 3))
def test_every_item_is_taken_or_counted(count: int, takers: int) -> None:
    slot = Newest[int]()
    taken: list[Numbered[int]] = []
    last = threading.Event()

    def take() -> None:
        while (one := slot.take(_LONG_S)) is not None:
            taken.append(one)
            if one.item == count:
                last.set()

    threads = [threading.Thread(target=take, daemon=True) for _ in range(takers)]
    for thread in threads:
        thread.start()
    for item in range(1, count + 1):
        slot.put(item)
    assert last.wait(_LONG_S), "the last item put is always taken"
    slot.close()
    for thread in threads:
        thread.join(_LONG_S)
    assert len(taken) + slot.overwritten == count
    assert all(one.number == one.item for one in taken)
    assert len({one.number for one in taken}) == len(taken)
