"""95 % intervals by bootstrap over groups of frames: frames of one sequence are no independent evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.arrays import Float64s, Int64s

DRAWS = 1000
#: Fewer groups than this say nothing about their spread.
LEAST_GROUPS = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds between which a figure lies in 95 of 100 resampled data sets (percentile bootstrap, Efron 1979)."""

    low: float
    high: float


class GroupBootstrap:
    """Draws whole groups with replacement and says how figures spread over the draws.

    The draws are the same for every figure, so that figures of one data set can be compared.
    """

    def __init__(self, groups: Sequence[str], *, draws: int = DRAWS, seed: int = 0) -> None:
        """Makes the draws.

        Args:
            groups: name of the group of each item (frame, clip).
            draws: number of resampled data sets.
            seed: of the draws.
        """
        names, index = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
        self._index: npt.NDArray[np.int64] = index.astype(np.int64)
        self.groups = len(names)
        self._weights = np.zeros((0, self.groups), np.int64)
        if self.groups >= LEAST_GROUPS:
            shares = np.full(self.groups, 1 / self.groups)
            self._weights = np.random.default_rng(seed).multinomial(self.groups, shares, size=draws).astype(np.int64)

    def of_sums(self, per_item: npt.NDArray[np.generic], figure: Callable[[Float64s], Float64s]) -> Interval | None:
        """Interval of a figure that follows from sums over the items.

        Args:
            per_item: what is summed, (items, k).
            figure: from sums (draws, k) to the figure of each draw (draws,); nan where there is nothing to measure.

        Returns:
            The interval, or None with fewer groups than `LEAST_GROUPS`.
        """
        if self.groups < LEAST_GROUPS:
            return None
        sums = np.zeros((self.groups, per_item.shape[1]))
        np.add.at(sums, self._index, per_item.astype(np.float64))
        return _interval(figure(self._weights.astype(np.float64) @ sums))

    def of_weights(self, figure: Callable[[Int64s], float]) -> Interval | None:
        """Interval of a figure that is computed from how often each item counts, int64 (items,)."""
        if self.groups < LEAST_GROUPS:
            return None
        return _interval(np.array([figure(weights[self._index]) for weights in self._weights], np.float64))


def _interval(values: Float64s) -> Interval | None:
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
