"""Delays over hours in fixed memory: a histogram, and the median of the newest."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from itertools import accumulate

_BIN_MS = 0.05
_BINS = 40_000  # up to 2 s; what is longer stands in the last one and in `longest_ms`
_NEWEST = 63


class DelayLog:
    """Delays of one kind, noted from one thread and read from any.

    Attributes:
        count: delays that were noted.
        longest_ms: the longest of all.
        newest_ms: median of the newest; None before the first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest_ms = 0.0
        self.newest_ms: float | None = None
        self._bins = array("q", bytes(8 * _BINS))
        self._newest: deque[float] = deque(maxlen=_NEWEST)

    def note(self, delay_s: float) -> None:
        """Note a delay in seconds."""
        delay_ms = max(delay_s * 1000, 0.0)
        self._bins[min(int(delay_ms / _BIN_MS), _BINS - 1)] += 1
        self._newest.append(delay_ms)
        self.newest_ms = sorted(self._newest)[len(self._newest) // 2]
        self.longest_ms = max(self.longest_ms, delay_ms)
        self.count += 1

    def percentile_ms(self, percent: float) -> float | None:
        """The delay that so many percent of all do not exceed, to 0.05 ms; None before the first."""
        if not self.count:
            return None
        wanted = percent / 100 * self.count
        bins = self._bins[:]
        number = next((index for index, below in enumerate(accumulate(bins)) if below >= wanted), _BINS - 1)
        return self.longest_ms if number == _BINS - 1 else min((number + 1) * _BIN_MS, self.longest_ms)

    def summary(self) -> Mapping[str, float | int | None]:
        """Count, p50, p90, p99, p99.9 and the longest, milliseconds."""
        shares = {f"p{percent:g}_ms": self.percentile_ms(percent) for percent in (50, 90, 99, 99.9)}
        rounded = {name: None if value is None else round(value, 3) for name, value in shares.items()}
        return {"count": self.count, **rounded, "max_ms": round(self.longest_ms, 3)}
