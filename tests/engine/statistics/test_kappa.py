"""Cohen's kappa against published examples, and against its definition item by item."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.statistics.kappa import Weighting, cohens_kappa, kappa_interval


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.4),  # two readers of 50 grant proposals, the usual example of textbooks
        ([[45, 15], [25, 15]], 0.1304),  # equal agreement, other margins (Smeeton 1985)
        ([[25, 35], [5, 35]], 0.2593),
        ([[2, 0, 0], [0, 0, 1], [1, 0, 2]], 0.4286),  # the example of scikit-learn's documentation
        ([[88, 14, 18], [10, 40, 10], [2, 6, 12]], 0.4915),  # two psychiatrists, 200 patients (Cohen 1968, in counts)
    ],
)
def test_published_examples(table: list[list[int]], kappa: float) -> None:
    assert cohens_kappa(np.array(table)) == pytest.approx(kappa, abs=5e-5)


def _by_definition(pairs: list[tuple[int, int]], weighting: Weighting) -> float:
    """1 - the mean cost of what was said, over the mean cost of all pairs of answers of the two readers."""

    def cost(one: int, other: int) -> float:
        away = abs(one - other)
        return float({Weighting.NONE: away > 0, Weighting.LINEAR: away, Weighting.QUADRATIC: away**2}[weighting])

    seen = sum(cost(*pair) for pair in pairs) / len(pairs)
    chance = sum(cost(one, other) for one, _ in pairs for _, other in pairs) / len(pairs) ** 2
    return 1 - seen / chance if chance else float("nan")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30), st.sampled_from(Weighting))
def test_as_defined(pairs: list[tuple[int, int]], weighting: Weighting) -> None:
    table = np.zeros((4, 4), np.int64)
    for pair in pairs:
        table[pair] += 1
    assert cohens_kappa(table, weighting) == pytest.approx(_by_definition(pairs, weighting), nan_ok=True)
    assert cohens_kappa(table.T, weighting) == pytest.approx(cohens_kappa(table, weighting), nan_ok=True)


def test_nothing_to_agree_on() -> None:
    assert np.isnan(cohens_kappa(np.zeros((3, 3))))
    assert np.isnan(cohens_kappa(np.diag([7, 0, 0])))  # both always say the same: chance would do it too
    with pytest.raises(InputError, match="square"):
        cohens_kappa(np.zeros((2, 3)))


def test_the_interval_goes_over_groups() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 3, 300)
    other = np.where(rng.random(300) < 0.7, one, rng.integers(0, 3, 300))
    pairs = np.stack([one, other], 1)
    table = np.zeros((3, 3), np.int64)
    np.add.at(table, (one, other), 1)
    interval = kappa_interval(pairs, 3, [f"group {number // 10}" for number in range(300)])
    assert interval is not None and interval.low < cohens_kappa(table) < interval.high
    assert 0.05 < interval.high - interval.low < 0.3
    assert kappa_interval(pairs, 3, ["all"] * 300) is None
