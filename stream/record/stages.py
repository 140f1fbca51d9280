"""Threads joined by bounded channels: work flows one way, keeps its order, and the first failure ends all of it.

Each stage is one function in a thread of its own, or in several when its work can be done out of order; then the
results are put back into order before they go on. A channel holds few items, so that a slow stage holds back those
before it instead of letting memory grow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.checks import require_at_least
from engine.waiting import wait_for

MOST_BYTES = 1 << 28
"""Bytes of pictures that may wait between two stages."""


@dataclass(frozen=True, slots=True)
class StageTiming:
    """What one stage did.

    Attributes:
        name: of the stage.
        items: that went through it.
        busy_s: seconds that its threads spent on them, without waiting for other stages.
        processor_s: seconds of processor time of these threads; a library's own threads are not in it.
    """

    name: str
    items: int
    busy_s: float
    processor_s: float


class _Stopped(Exception):
    """Ends a stage's thread because the line was stopped."""


class _Channel:
    """Bounded first-in, first-out hand-over between two stages."""

    def __init__(self, capacity: int, writers: int, weigh: Callable[[Any], int]) -> None:
        self._items: deque[tuple[int, Any]] = deque()
        self._capacity, self._weigh = capacity, weigh
        self._bytes = 0
        self._writers = writers
        self._next = 0
        self._stopped = False
        self._changed = threading.Condition()

    def put(self, number: int, item: Any) -> None:
        """Adds an item when its turn has come and there is room."""
        weight = self._weigh(item)
        with self._changed:
            while not self._stopped and (number != self._next or not self._has_room(weight)):
                self._changed.wait()
            if self._stopped:
                raise _Stopped
            self._next += 1
            self._items.append((number, item))
            self._bytes += weight
            self._changed.notify_all()

    def _has_room(self, weight: int) -> bool:
        if len(self._items) >= self._capacity:
            return False
        return not self._items or self._bytes + weight <= MOST_BYTES

    def get(self) -> tuple[int, Any] | None:
        """The next item with its number; None at the end."""
        with self._changed:
            while not self._stopped and not self._items and self._writers:
                self._changed.wait()
            if self._stopped:
                raise _Stopped
            if not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= self._weigh(item[1])
            self._changed.notify_all()
            return item

    def writer_done(self) -> None:
        """One of the writers will put nothing more."""
        with self._changed:
            self._writers -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Wakes all that wait here and lets them end."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()


class _Worker(threading.Thread):
    """A thread that can be waited for while Ctrl-C may come."""

    def __init__(self, work: Callable[[], None], *, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._ended = threading.Event()

    def run(self) -> None:
        """Work, then say so."""
        try:
            self._work()
        finally:
            self._ended.set()

    def wait(self) -> None:
        """Wait until the work is done."""
        wait_for(self._ended)


class _Stage:
    """A function, its threads, and what they did."""

    def __init__(
        self, name: str, function: Callable[[Any], Any], workers: int, finish: Callable[[], Iterable[Any]] | None = None
    ) -> None:
        self.name, self.function, self.workers, self.finish = name, function, workers, finish
        self._lock = threading.Lock()
        self._items, self._busy_s, self._processor_s = 0, 0.0, 0.0

    def apply(self, item: Any) -> Any:
        """Runs the function and counts."""
        started, processor = time.monotonic(), time.thread_time()
        result = self.function(item)
        with self._lock:
            self._items += 1
            self._busy_s += time.monotonic() - started
            self._processor_s += time.thread_time() - processor
        return result

    @property
    def timing(self) -> StageTiming:
        """What was done so far."""
        with self._lock:
            return StageTiming(self.name, self._items, self._busy_s, self._processor_s)


class StageLine:
    """A line of stages; built once, run once.

    Example:
        >>> line = StageLine("read", iter(range(3)))
        >>> line.add("square", lambda x: x * x, workers=2)
        >>> line.add("print", print)
        >>> line.run()
        0
        1
        4
    """

    def __init__(
        self,
        name: str,
        items: Iterable[Any],
        *,
        capacity: int = 3,
        weigh: Callable[[Any], int] = lambda _: 0,
        interrupt: Callable[[], object] = lambda: None,
    ) -> None:
        """Starts a line.

        Args:
            name: of the first stage, which draws from `items` in a thread of its own.
            items: what flows; drawn from one thread.
            capacity: items that may wait between two stages.
            weigh: bytes of an item, the same at every stage. Those that wait between two stages have `MOST_BYTES`
                together at most, unless one alone has more.
            interrupt: called when a stage failed or Ctrl-C came: lets a wait for the next of `items` end.

        Raises:
            ValueError: capacity under 1.
        """
        require_at_least("capacity", capacity, 1)
        self._iterator = iter(items)
        self._capacity, self._weigh, self._interrupt = capacity, weigh, interrupt
        self._stages = [_Stage(name, lambda _: next(self._iterator, None), 1)]
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._channels: list[_Channel] = []

    def add(
        self,
        name: str,
        function: Callable[[Any], Any],
        *,
        workers: int = 1,
        finish: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        """Adds a stage.

        Args:
            name: of the stage.
            function: from an item to the next stage's item.
            workers: threads that call it; order is kept all the same.
            finish: called once, after the last item, for further items: what a stage with a memory still holds.

        Raises:
            ValueError: no worker, or `finish` with several of them.
        """
        require_at_least("workers", workers, 1)
        if finish is not None and workers > 1:
            raise ValueError(f"stage {name!r} has {workers} workers and a memory; it needs one worker")
        self._stages.append(_Stage(name, function, workers, finish))

    @property
    def timings(self) -> tuple[StageTiming, ...]:
        """What each stage did so far, in order."""
        return tuple(stage.timing for stage in self._stages)

    def run(self) -> None:
        """Runs until the last item has left the last stage; every thread has ended when this returns or raises.

        Raises:
            BaseException: the first failure of any stage, as it was raised there; KeyboardInterrupt from Ctrl-C.
        """
        self._channels = [_Channel(self._capacity, stage.workers, self._weigh) for stage in self._stages[:-1]]
        threads = [
            _Worker(partial(self._work, number), name=f"{stage.name}-{worker}")
            for number, stage in enumerate(self._stages)
            for worker in range(stage.workers)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.wait()
        except BaseException as error:
            self._fail(error)
            for thread in threads:
                if thread.ident is not None:
                    thread.wait()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self, number: int) -> None:
        stage = self._stages[number]
        inlet = self._channels[number - 1] if number else None
        outlet = self._channels[number] if number < len(self._channels) else None
        try:
            if inlet is None:
                self._draw(stage, outlet)
            else:
                self._pass_on(stage, inlet, outlet)
        except _Stopped:
            pass
        except BaseException as error:
            self._fail(error)
        finally:
            if outlet is not None:
                outlet.writer_done()

    def _draw(self, stage: _Stage, outlet: _Channel | None) -> None:
        number = 0
        while (item := stage.apply(None)) is not None:
            if self._failure is not None:
                raise _Stopped
            if outlet is not None:
                outlet.put(number, item)
            number += 1

    @staticmethod
    def _pass_on(stage: _Stage, inlet: _Channel, outlet: _Channel | None) -> None:
        number = -1
        while (taken := inlet.get()) is not None:
            number, item = taken
            result = stage.apply(item)
            if outlet is not None:
                outlet.put(number, result)
        for result in () if stage.finish is None else stage.finish():
            number += 1
            if outlet is not None:
                outlet.put(number, result)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = error
        for channel in self._channels:
            channel.stop()
        self._interrupt()
