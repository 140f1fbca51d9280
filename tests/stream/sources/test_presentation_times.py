"""Presentation times that always grow."""

from __future__ import annotations

from fractions import Fraction as F
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.presentation_times import PresentationTimes


def mend(given_s: list[F | None], step_s: F = F(1)) -> tuple[list[F], int]:
    times = PresentationTimes(step_s=step_s)
    return [times.next(time_s) for time_s in given_s], times.mended


@pytest.mark.parametrize(
    ("given_s", "expected", "mended"),
    [
        ([F(0), F(1), F(5), F(6)], [F(0), F(1), F(5), F(6)], 0),  # variable rate stays as it is
        ([F(1, 3), F(2, 3)], [F(1, 3), F(2, 3)], 0),  # exact, and not moved to 0
        ([None, None, F(2)], [F(0), F(1), F(2)], 0),  # missing times are filled in
        ([F(0), F(1), F(1), F(2)], [F(0), F(1), F(9, 8), F(2)], 1),  # one repeated time moves no other
        ([F(0), F(1), F(1, 2), F(2)], [F(0), F(1), F(9, 8), F(2)], 1),  # one that goes back a little
        ([F(50), F(51), F(0), F(1), F(3)], [F(50), F(51), F(52), F(53), F(55)], 1),  # a new clock
        (  # a new clock, soon after the start: known from the third frame on
            [F(0), F(1, 2), F(0), F(0), F(0), F(1, 2)],
            [F(0), F(1, 2), F(5, 8), F(3, 4), F(7, 4), F(9, 4)],
            3,
        ),
    ],
)
def test_times(given_s: list[F | None], expected: list[F], mended: int) -> None:
    assert mend(given_s) == (expected, mended)


@given(
    ticks=st.lists(st.one_of(st.none(), st.integers(-9000, 9000)), max_size=40),
    unit=st.sampled_from([F(1, 25), F(1, 1000), F(1, 90000)]),
    rate=st.integers(1, 120),
)
def test_times_always_grow(ticks: list[int | None], unit: F, rate: int) -> None:
    times, _ = mend([None if tick is None else tick * unit for tick in ticks], F(1, rate))
    assert all(before < after for before, after in pairwise(times))


@given(st.sets(st.integers(0, 9_000_000), max_size=40))
def test_growing_times_are_left_alone(ticks: set[int]) -> None:
    times = [F(tick, 90000) for tick in sorted(ticks)]
    assert mend([*times]) == (times, 0)
