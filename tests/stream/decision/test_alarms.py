"""Alarms: begun by enough frames, kept by fewer, ended by too few."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from stream.decision.alarms import Alarms, AlarmSettings
from stream.frame import Detection

_BOX = (10.0, 10.0, 20.0, 20.0)


def _seen(*tracks: int | None) -> list[Detection]:
    return [Detection(_BOX, 0.5 + (track or 0) / 100, track_id=track) for track in tracks]


@pytest.mark.parametrize(
    ("settings", "frames", "shown"),
    [
        # One letter a frame: whether the polyp was found in it, and whether it is shown.
        (AlarmSettings(1, 1, 1), "x.xx.", "x.xx."),
        (AlarmSettings(2, 3, 1), "xxx..xx", ".xx..xx"),  # twice unseen keeps the alarm
        (AlarmSettings(2, 3, 1), "x..x..x", "......."),  # never two in three
        (AlarmSettings(2, 3, 1), "x.xx", "..xx"),
        (AlarmSettings(2, 3, 1), "xx...x", ".x...."),  # after three unseen it begins anew
        (AlarmSettings(3, 4, 2), "xxx.x..x", "..x.x..."),
        (AlarmSettings(3, 3, 3), "xxxx.xx", "..xx..."),
    ],
)
def test_hysteresis(settings: AlarmSettings, frames: str, shown: str) -> None:
    alarms = Alarms(settings)
    got = "".join("x" if alarms.update(_seen(7) if frame == "x" else []).shown else "." for frame in frames)
    assert got == shown


def test_an_alarm_is_raised_once() -> None:
    alarms = Alarms(AlarmSettings(2, 3, 1))
    raised = [alarms.update(_seen(4) if frame == "x" else []).raised for frame in "xxx.x...xx"]
    assert raised == [(), (4,), (), (), (), (), (), (), (), (4,)]


def test_candidates_never_alarm_and_the_best_comes_first() -> None:
    update = Alarms(AlarmSettings(1, 1, 1)).update(_seen(3, None, 9))
    assert [one.track_id for one in update.shown] == [9, 3]
    assert sorted(update.raised) == [3, 9]


@pytest.mark.parametrize("numbers", [(0, 1, 0), (2, 1, 1), (2, 3, 3), (2, 3, 0)])
def test_wrong_settings_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(InputError):
        AlarmSettings(*numbers)


@given(
    st.lists(st.lists(st.integers(1, 4), unique=True, max_size=4), max_size=40),
    st.integers(1, 5).flatmap(
        lambda window: st.integers(1, window).flatmap(
            lambda needed: st.integers(1, needed).map(lambda kept: AlarmSettings(needed, window, kept))
        )
    ),
)
def test_what_is_shown_was_found_often_enough(frames: list[list[int]], rule: AlarmSettings) -> None:
    alarms = Alarms(rule)
    for index, tracks in enumerate(frames):
        update = alarms.update(_seen(*tracks))
        shown = {one.track_id for one in update.shown}
        assert shown <= set(tracks), "only boxes of this frame"
        window = frames[max(index - rule.window + 1, 0) : index + 1]
        counts = {track: sum(track in frame for frame in window) for track in tracks}
        for track in tracks:
            assert track in shown or counts[track] < rule.needed
            assert track not in shown or counts[track] >= rule.kept
