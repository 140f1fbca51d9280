"""How much two readers agree beyond chance: Cohen's kappa."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np

from engine.arrays import Float64s, Int64s
from engine.errors import InputError
from engine.statistics.bootstrap import GroupBootstrap, Interval


class Weighting(str, Enum):
    """How much a disagreement counts.

    Attributes:
        NONE: every disagreement as much as any other (Cohen 1960).
        LINEAR: by how many steps of an ordered scale lie between (Cohen 1968).
        QUADRATIC: by the square of the steps.
    """

    NONE = "none"
    LINEAR = "linear"
    QUADRATIC = "quadratic"


def cohens_kappa(table: Int64s | Float64s, weighting: Weighting = Weighting.NONE) -> float:
    """Cohen's kappa of a table of counts.

    Args:
        table: (categories, categories): rows what one reader said, columns what the other said of the same items.
        weighting: how much a disagreement counts; other than `NONE` only where the categories are in order.

    Returns:
        1 where both always agree, 0 where they agree as often as by chance; nan without any item, and where both always
        say one and the same.

    Raises:
        InputError: the table is not square.

    Example:
        >>> round(cohens_kappa(np.array([[20, 5], [10, 15]])), 3)
        0.4
    """
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise InputError(f"a table of agreement is square. Received: {table.shape}")
    return float(_kappas(table.reshape(1, -1).astype(np.float64), weighting)[0])


def kappa_interval(
    pairs: Int64s, categories: int, groups: Sequence[str], weighting: Weighting = Weighting.NONE
) -> Interval | None:
    """95 % interval of kappa by bootstrap over groups; None with too few groups (`engine.statistics.bootstrap`).

    Args:
        pairs: (items, 2), numbers of the categories that both readers said of each item, from 0.
        categories: how many there are.
        groups: name of the group of each item.
        weighting: as of `cohens_kappa`.
    """
    cells = np.zeros((len(pairs), categories * categories))
    cells[np.arange(len(pairs)), pairs[:, 0] * categories + pairs[:, 1]] = 1
    return GroupBootstrap(groups).of_sums(cells, lambda sums: _kappas(sums, weighting))


def _kappas(sums: Float64s, weighting: Weighting) -> Float64s:
    """Kappa of each of some tables, (tables, categories * categories)."""
    side = round(sums.shape[1] ** 0.5)
    tables = sums.reshape(-1, side, side)
    counts = tables.sum((1, 2))
    steps = np.abs(np.arange(side)[:, None] - np.arange(side)[None]).astype(np.float64)
    costs = {Weighting.NONE: (steps > 0).astype(np.float64), Weighting.LINEAR: steps, Weighting.QUADRATIC: steps**2}
    by_chance = tables.sum(2)[:, :, None] * tables.sum(1)[:, None, :]
    seen = (tables * costs[weighting]).sum((1, 2)) * counts
    expected = (by_chance * costs[weighting]).sum((1, 2))
    found = np.full(len(tables), np.nan)
    np.divide(seen, expected, out=found, where=expected > 0)
    return np.asarray(1.0 - found, np.float64)
