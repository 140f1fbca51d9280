"""Work beside the display path: a thread with a bounded queue, which whoever hands it work never waits for."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from engine.waiting import wait_for

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

MOST_BYTES = 1 << 28
"""Bytes of pictures that may wait in one queue: 43 frames of 1920x1080, 10 of 3840x2160."""


class SideWorker(Generic[Item]):
    """Does work in the order in which it was offered; what finds the queue full is left out and counted.

    The first failure ends it: its owner is told, and all that is offered after counts as left out.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Item], None],
        *,
        capacity: int,
        weigh: Callable[[Item], int] | None = None,
        on_failure: Callable[[Exception], None],
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            name: of the thread.
            work: called with each item.
            capacity: items that may wait.
            weigh: bytes of an item. All that wait have `MOST_BYTES` together at most, unless one alone has more.
            on_failure: told in the thread what `work` or `on_end` raised.
            on_end: called in the thread after the last item, also after a failure.
        """
        self._work, self._on_failure, self._on_end = work, on_failure, on_end
        self._capacity, self._weigh = capacity, weigh
        self._bytes = 0
        self._items: deque[tuple[Item, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Items that were left out."""
        return self._dropped

    @property
    def ended(self) -> bool:
        """Whether the thread has ended."""
        return self._ended.is_set()

    def offer(self, item: Item) -> bool:
        """Hand over an item and return at once; False when it was left out."""
        weight = 0 if self._weigh is None else self._weigh(item)
        with self._changed:
            full = len(self._items) >= self._capacity or (self._items and self._bytes + weight > MOST_BYTES)
            if self._closed or full:
                self._dropped += 1
                return False
            self._items.append((item, weight))
            self._bytes += weight
            self._changed.notify()
            return True

    def close(self, *, wait_s: float | None = None) -> bool:
        """Let the thread do what waits, and end; more than one call does no harm.

        Args:
            wait_s: longest wait in seconds; None for as long as it takes.

        Returns:
            Whether the thread has ended.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        return wait_for(self._ended, wait_s)

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._guarded(lambda item=item: self._work(item))  # type: ignore[misc]
                del item  # a frame is large, and the next may be long in coming
        finally:
            if self._on_end is not None:
                self._guarded(self._on_end)
            self._ended.set()

    def _next(self) -> Item | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if not self._items:
                return None
            item, weight = self._items.popleft()
            self._bytes -= weight
            return item

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            with self._changed:
                self._closed = True
                self._dropped += len(self._items)
                self._items.clear()
                self._bytes = 0
            self._on_failure(error)
