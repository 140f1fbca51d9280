from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.boxes import intersections, iou, pairwise_iou

BOXES = arrays(np.int64, st.tuples(st.integers(0, 6), st.just(4)), elements=st.integers(-50, 50))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (2, 2, 4, 4), 0.04),  # one inside the other
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),  # they touch
        ((0, 0, 10, 10), (20, 20, 30, 30), 0.0),  # apart in both directions
        ((0, 0, 10, 10), (5, 5, 5, 5), 0.0),  # no area
        ((3, 3, 3, 3), (3, 3, 3, 3), 0.0),  # neither has an area
        ((10, 10, 0, 0), (0, 0, 10, 10), 0.0),  # right before left
    ],
)
def test_iou_by_hand(one: tuple[int, ...], other: tuple[int, ...], expected: float) -> None:
    first, second = np.array(one, np.float32), np.array(other, np.float32)
    assert float(iou(first, second)) == pytest.approx(expected)
    assert float(iou(second, first)) == pytest.approx(expected)
    assert pairwise_iou(first[None], second[None])[0, 0] == pytest.approx(expected)


@given(BOXES, BOXES)
def test_pairs_are_what_each_is_alone(first: np.ndarray, second: np.ndarray) -> None:
    found = pairwise_iou(first, second)
    assert found.shape == (len(first), len(second)) and found.dtype == np.float64
    assert ((found >= 0) & (found <= 1)).all()
    for row, one in enumerate(first):
        for column, other in enumerate(second):
            assert found[row, column] == iou(one, other)


def test_intersections_stay_in_their_type() -> None:
    sides = np.array([[0, 0, 4, 2], [1, 1, 3, 5]], np.float32).T
    common, areas, others = intersections(sides[:, :, None], sides[:, None])
    assert common.tolist() == [[8, 2], [2, 8]]
    assert areas.ravel().tolist() == others.ravel().tolist() == [8, 8]
    assert common.dtype == areas.dtype == others.dtype == np.float32
