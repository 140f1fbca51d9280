"""Delays of a measurement, boiled down to the figures that are reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How delays are distributed, milliseconds.

    Attributes:
        count: delays.
        mean: of all.
        p50: half of them are no longer; likewise `p90`, `p99`, `p999` (99.9 %). Each is a delay that was measured: of
            few delays, a high percentile is the longest of them and nothing in between.
        max: the longest.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, delays_ms: Sequence[float] | npt.NDArray[np.float64]) -> Percentiles | None:
        """The figures of delays in milliseconds; None when there are none."""
        values = np.asarray(delays_ms, dtype=np.float64)
        if not len(values):
            return None
        p50, p90, p99, p999 = np.percentile(values, (50, 90, 99, 99.9), method="inverted_cdf").tolist()
        return cls(len(values), float(values.mean()), p50, p90, p99, p999, float(values.max()))

    def as_json(self) -> dict[str, float | int]:
        """Keys with their unit, rounded to a microsecond."""
        figures = {"mean": self.mean, "p50": self.p50, "p90": self.p90, "p99": self.p99, "p99.9": self.p999}
        return {"count": self.count, **{f"{name}_ms": round(value, 3) for name, value in figures.items()}} | {
            "max_ms": round(self.max, 3)
        }

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"p50 {self.p50:.2f}, p90 {self.p90:.2f}, p99 {self.p99:.2f}, p99.9 {self.p999:.2f}, "
            f"max {self.max:.2f} ms ({self.count})"
        )
