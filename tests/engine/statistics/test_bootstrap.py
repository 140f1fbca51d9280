from __future__ import annotations

import numpy as np
import pytest

from engine.arrays import Float64s
from engine.statistics.bootstrap import LEAST_GROUPS, GroupBootstrap


def _mean(sums: Float64s) -> Float64s:
    return np.asarray(sums[:, 0] / sums[:, 1], np.float64)


def _rows(values: list[int]) -> np.ndarray:
    return np.array([[value, 1] for value in values])


def test_frames_of_one_sequence_are_no_independent_evidence() -> None:
    # Eight sequences of fifty equal frames: by frame, the interval would be seven times too narrow.
    values = [value for value in (1, 1, 1, 0, 1, 1, 0, 1) for _ in range(50)]
    by_group = GroupBootstrap([str(frame // 50) for frame in range(400)]).of_sums(_rows(values), _mean)
    by_frame = GroupBootstrap([str(frame) for frame in range(400)]).of_sums(_rows(values), _mean)
    assert by_group is not None and by_frame is not None
    assert by_group.low < 0.55 and by_group.high == 1.0
    assert by_frame.high - by_frame.low < 0.12
    assert by_frame.low < 0.75 < by_frame.high


def test_interval_of_a_share_is_near_the_normal_one() -> None:
    values = [1] * 300 + [0] * 100
    found = GroupBootstrap([str(frame) for frame in range(400)]).of_sums(_rows(values), _mean)
    spread = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.75 - spread, 0.75 + spread), abs=0.012)


def test_both_ways_of_giving_a_figure_agree() -> None:
    values = np.arange(12)
    bootstrap = GroupBootstrap([f"sequence {frame // 3}" for frame in range(12)], draws=200)
    by_sums = bootstrap.of_sums(_rows(values.tolist()), _mean)
    by_weights = bootstrap.of_weights(lambda weights: float((weights * values).sum() / weights.sum()))
    assert by_sums is not None and by_weights is not None
    assert (by_sums.low, by_sums.high) == pytest.approx((by_weights.low, by_weights.high))


def test_the_same_seed_gives_the_same_interval() -> None:
    groups = [str(frame % 7) for frame in range(50)]
    rows = _rows([frame % 3 for frame in range(50)])
    assert GroupBootstrap(groups, seed=3).of_sums(rows, _mean) == GroupBootstrap(groups, seed=3).of_sums(rows, _mean)


def test_too_few_groups_give_no_interval() -> None:
    few = GroupBootstrap([str(frame % (LEAST_GROUPS - 1)) for frame in range(10)])
    assert few.of_sums(_rows([1] * 10), _mean) is None
    assert few.of_weights(lambda weights: 1.0) is None
    assert GroupBootstrap([]).of_sums(np.zeros((0, 2)), _mean) is None


def test_draws_without_anything_to_measure_are_left_out() -> None:
    bootstrap = GroupBootstrap(["a", "b", "c"])
    assert bootstrap.of_weights(lambda weights: float("nan")) is None
    found = bootstrap.of_weights(lambda weights: 0.5 if weights[0] else float("nan"))
    assert found is not None and (found.low, found.high) == (0.5, 0.5)
