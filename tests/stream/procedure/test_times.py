"""Moments and times of procedures that are known to the second."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.errors import InputError
from stream.frame import PictureState
from stream.procedure.reading import Procedure, Recording
from stream.procedure.times import Moment, moments_of, parse_time, stretches_of, times_of

_STEP_S = 0.2
_LETTERS = {
    "u": PictureState.USEFUL,
    "b": PictureState.BLURRED,
    "w": PictureState.WASHED_OUT,
    "k": PictureState.BLACK,
    "o": PictureState.OUTSIDE,
    "s": PictureState.STILL,
}


def _procedure(states: str) -> Procedure:
    """Five frames a second; a letter a frame."""
    count, end_s = len(states), len(states) * _STEP_S
    recording = Recording("exam.mp4", Path("exam.mp4"), 0.0, 0, count, end_s, None, None, None)
    shown = tuple(_LETTERS[letter] for letter in states)
    return Procedure("exam", (recording,), np.arange(count, dtype=np.float64) * _STEP_S, shown, {}, {})


def _moments(states: str) -> str:
    letters = dict(zip(Moment, "ubwifko", strict=True))
    return "".join(letters[one] for one in moments_of(_procedure(states)))


@pytest.mark.parametrize(
    ("states", "moments"),
    [
        ("uuubbuwwku", "uuubbuwwku"),
        ("uuu" + "s" * 4 + "uuu", "u" * 10),  # it stays for less than a second
        ("uub" + "s" * 4 + "uuu", "uub" + "b" * 4 + "uuu"),  # as long as it stays it is what it was
        ("uuu" + "s" * 5 + "uuu", "uuu" + "f" * 5 + "uuu"),  # a second
        ("o" * 20 + "u" * 20, "o" * 20 + "u" * 20),
        ("u" * 20 + "o" * 3 + "u" * 20, "u" * 43),  # dye, or glare: the room would stay for longer
        ("o" * 9 + "u" + "o" * 10 + "u" * 20, "o" * 20 + "u" * 20),
        ("o" * 20 + "k" * 10 + "u" * 20, None),
    ],
)
def test_moments_take_those_around_them(states: str, moments: str | None) -> None:
    found = _moments(states)
    if moments is None:
        assert found.startswith("o" * 20) and found.endswith("u" * 20)
    else:
        assert found == moments


def test_times_with_and_without_the_turning_point() -> None:
    # 4 s outside, 10 s inside with 1 s blurred after the turn, 4 s outside, 2 s black at the end.
    procedure = _procedure("o" * 20 + "u" * 30 + "b" * 5 + "u" * 15 + "o" * 20 + "k" * 10)
    moments = moments_of(procedure)
    times = times_of(procedure, moments)
    assert times.recording_s == pytest.approx(20.0)
    assert times.entered_s == pytest.approx(4.0)
    assert times.left_s == pytest.approx(14.0)
    assert times.inside_s == pytest.approx(10.0)
    assert times.insertion_s is times.withdrawal_s is times.net_withdrawal_s is None
    assert sum(times.shares.values()) == pytest.approx(1.0)
    assert times.shares[Moment.OUTSIDE] == pytest.approx(0.4, abs=0.02)

    turned = times_of(procedure, moments, cecum_s=7.1)
    assert turned.insertion_s == pytest.approx(3.1)
    assert turned.withdrawal_s == pytest.approx(6.9)
    assert turned.net_withdrawal_s == pytest.approx(5.9)
    assert turned.not_counted_s == {Moment.BLURRED: pytest.approx(1.0)}


def test_moments_with_an_instrument_are_no_net_withdrawal() -> None:
    plain = _procedure("u" * 20 + "b" * 5 + "u" * 25 + "o" * 25)
    assert Moment.INSTRUMENT not in times_of(plain, moments_of(plain)).shares
    scores = np.full(75, np.nan)
    scores[0:75:5] = 0.1  # a look a second
    scores[[15, 20, 25, 30, 60, 65]] = 0.9  # 3 s to 6 s, and in the room
    told = replace(plain, instruments=scores, record={"instruments": {"threshold": 0.5}})
    moments = moments_of(told)
    found = "".join(dict(zip(Moment, "ubwifko", strict=True))[one] for one in moments)
    assert found == "u" * 13 + "i" * 7 + "b" * 5 + "i" * 8 + "u" * 17 + "o" * 25  # blurred stays blurred
    times = times_of(told, moments, cecum_s=1.0)
    assert times.not_counted_s == {Moment.BLURRED: pytest.approx(1.0), Moment.INSTRUMENT: pytest.approx(3.0)}
    assert times.net_withdrawal_s == pytest.approx(5.0)
    assert times.shares[Moment.INSTRUMENT] == pytest.approx(3.0 / 15)
    assert sum(times.shares.values()) == pytest.approx(1.0)


def test_what_lies_outside_in_between_is_no_time_inside() -> None:
    procedure = _procedure("o" * 20 + "u" * 50 + "o" * 50 + "u" * 50 + "o" * 20)
    times = times_of(procedure, moments_of(procedure), cecum_s=5.0)
    assert times.inside_s == pytest.approx(20.0)
    assert times.withdrawal_s == pytest.approx(19.0)


@pytest.mark.parametrize(
    ("states", "cecum_s", "message"),
    [
        ("u" * 50, 11.0, "outside the procedure, which lasts 10.0 s"),
        ("u" * 50, -1.0, "outside the procedure"),
        ("u" * 50, float("nan"), "outside the procedure"),
        ("o" * 25 + "u" * 25, 2.0, "outside the body .inside from 5.0 s to 10.0 s"),
        ("o" * 50, 2.0, "no frame shows the inside"),
    ],
)
def test_turning_points_that_cannot_be(states: str, cecum_s: float, message: str) -> None:
    procedure = _procedure(states)
    with pytest.raises(InputError, match=message):
        times_of(procedure, moments_of(procedure), cecum_s=cecum_s)


def test_nothing_but_the_room() -> None:
    procedure = _procedure("o" * 50)
    times = times_of(procedure, moments_of(procedure))
    assert (times.entered_s, times.left_s, times.inside_s) == (None, None, 0.0)


@given(some.text("ubwkos", min_size=1, max_size=120), some.floats(0, 1))
def test_times_add_up(states: str, share: float) -> None:
    procedure = _procedure(states)
    moments = moments_of(procedure)
    stretches = stretches_of(procedure, moments)
    assert stretches[0].start_s == 0.0
    assert stretches[-1].end_s == pytest.approx(procedure.end_s)
    assert all(one.end_s == pytest.approx(after.start_s) for one, after in itertools.pairwise(stretches))
    times = times_of(procedure, moments)
    assert 0 <= times.inside_s <= times.recording_s + 1e-9
    assert sum(times.shares.values()) == pytest.approx(1.0)
    if times.entered_s is None or times.left_s is None:
        return
    cecum_s = min(times.entered_s + share * (times.left_s - times.entered_s), times.left_s)
    turned = times_of(procedure, moments, cecum_s=cecum_s)
    parts: list[Any] = [turned.insertion_s, turned.withdrawal_s, turned.net_withdrawal_s]
    assert parts[0] + parts[1] == pytest.approx(turned.inside_s)
    assert -1e-9 <= parts[2] <= parts[1] + 1e-9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("754", 754.0), ("12.5", 12.5), ("12:34", 754.0), ("0:12:34", 754.0), ("1:00:00.5", 3600.5), (" 95:00 ", 5700.0)],
)
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "noon", "-3", "1:2", "12:60", "1:60:00", "1:2:3:4", "1e3", "nan"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match="is no time; write"):
        parse_time(text)
