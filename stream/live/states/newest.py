"""Hand-over of the newest item between two threads: one slot, what nobody took in time is overwritten and counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Numbered(Generic[Item]):
    """An item with its place in the sequence of all that were put, from 1."""

    number: int
    item: Item


class Newest(Generic[Item]):
    """A slot for one item. Who puts never waits; who takes waits, without polling, until there is something new.

    Every item is taken once at most, so several threads may take from one slot.

    Example:
        >>> slot = Newest[str]()
        >>> slot.put("first"), slot.put("second")
        (1, 2)
        >>> slot.take()
        Numbered(number=2, item='second')
        >>> slot.overwritten
        1
    """

    def __init__(self) -> None:
        """Start empty."""
        self._changed = threading.Condition()
        self._waiting: Numbered[Item] | None = None
        self._number = 0
        self._overwritten = 0
        self._closed = False

    @property
    def overwritten(self) -> int:
        """Items that nobody took in time: a newer one replaced them, or the slot was closed."""
        return self._overwritten

    def put(self, item: Item, *, keep: Callable[[Item], bool] | None = None) -> int | None:
        """Leave an item for whoever takes next, in place of one that waits.

        Args:
            item: the newest.
            keep: told the item that waits; True leaves that one in its place, and the new one is forgotten uncounted.
                It is called with the slot locked and must be quick.

        Returns:
            The item's number, or None when it was not put: the slot is closed, or the waiting item was kept.
        """
        with self._changed:
            if self._closed or (keep is not None and self._waiting is not None and keep(self._waiting.item)):
                return None
            self._overwritten += self._waiting is not None
            self._number += 1
            self._waiting = Numbered(self._number, item)
            self._changed.notify()
            return self._number

    def take(self, timeout_s: float | None = None) -> Numbered[Item] | None:
        """Take the newest item, waiting for it when there is none.

        Args:
            timeout_s: longest wait in seconds; None for as long as it takes.

        Returns:
            The item and its number; None when the time is over, or the slot is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting is not None, timeout_s)
            taken, self._waiting = self._waiting, None
            return taken

    def wait(self) -> bool:
        """Wait until there is an item, without taking it; False when the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting is not None)
            return not self._closed

    def close(self) -> None:
        """Forget what waits and let all that wait go; nothing can be put any more. More than once does no harm."""
        with self._changed:
            self._closed = True
            self._overwritten += self._waiting is not None
            self._waiting = None
            self._changed.notify_all()
