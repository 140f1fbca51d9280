"""Looks at single frames, made into moments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from stream.instruments.moments import how_well, instrument_moments

_STEP_S = 0.1


def _moments(looks: str) -> str:
    """Ten frames a second, of which every fifth is looked at; a letter a look: `i`, `-`, or a space for no picture."""
    scores = np.full(5 * len(looks), math.nan)
    times_s = np.arange(len(scores), dtype=np.float64) * _STEP_S
    scores[::5] = [{"i": 0.9, "-": 0.1, " ": math.nan}[letter] for letter in looks]
    found = instrument_moments(times_s, scores, 0.5)
    return "".join("i" if one else "-" for one in found[::5])


@pytest.mark.parametrize(
    ("looks", "moments"),
    [
        ("----------", "----------"),
        ("----i-----", "----------"),  # one look errs
        ("----ii----", "----------"),
        ("---iii----", "---iii----"),
        ("----i-ii----", "-----ii-----"),
        ("iiiii-iiii", "iiiiiiiiii"),
        ("iii-------", "iii-------"),  # at the ends fewer vote
        ("iiii      ----", "iiiiiii-------"),  # as long as a look is near
        ("", ""),
        ("i", "i"),
    ],
)
def test_most_looks_around_decide(looks: str, moments: str) -> None:
    found = _moments(looks)
    assert found[: len(moments)] == moments and "i" not in found[len(moments) :]


def test_a_frame_takes_after_the_nearest_look_unless_it_is_far() -> None:
    times_s = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 1.9, 2.1, 9.0])
    scores = np.full(8, math.nan)
    scores[0], scores[4] = 0.9, 0.8
    assert instrument_moments(times_s, scores, 0.5).tolist() == [True] * 6 + [False] * 2
    assert not instrument_moments(times_s, np.full(8, math.nan), 0.5).any()


@given(some.lists(some.floats(0, 1) | some.just(math.nan), max_size=60), some.floats(0, 1))
def test_a_higher_threshold_tells_no_more(scores: list[float], threshold: float) -> None:
    times_s = np.arange(len(scores), dtype=np.float64) * 0.5
    low, high = (instrument_moments(times_s, np.array(scores), one) for one in (threshold / 2, threshold))
    assert len(low) == len(scores) and not (high & ~low).any()


def test_how_well_they_are_told_in_one_line() -> None:
    figures = {"sensitivity": 0.71, "specificity": 0.982, "frames_with": 200, "frames_without": 3000}
    assert how_well({"figures": figures}) == (
        "in single frames 71% of 200 with an instrument are told, and 98% of 3000 without one are left alone"
    )
    assert how_well({"figures": None}) is how_well({}) is how_well({"figures": {"sensitivity": "high"}}) is None
