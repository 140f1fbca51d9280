"""The capture of a live source: its states, its patience, and what it does when anything around it fails."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError, SourceError
from stream.frame import Frame
from stream.live.sources.capture import Capture, CaptureSettings
from stream.live.states.view import LiveState
from tests.kit.live_media import WAIT_S, Witness, coded_video, http_server, send_motion_jpeg, silent_server


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 2), st.floats(2, 60))
def test_delays_grow_up_to_a_limit_and_are_spread(
    failures: int, chance: float, jitter: float, first_s: float, longest_s: float
) -> None:
    settings = CaptureSettings(first_delay_s=first_s, longest_delay_s=longest_s, jitter=jitter)
    delay_s = settings.delay_s(failures, chance=chance)
    assert 0 <= delay_s <= longest_s
    assert settings.delay_s(failures, chance=0.0) * (1 - jitter) <= delay_s + 1e-9
    assert settings.delay_s(failures, chance=0.0) <= settings.delay_s(failures + 1, chance=0.0)


def test_delays_double() -> None:
    settings = CaptureSettings(first_delay_s=0.25, longest_delay_s=5.0, jitter=0.5)
    assert [settings.delay_s(failures, chance=0.0) for failures in range(1, 7)] == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0]
    assert settings.delay_s(1, chance=1.0) == 0.125


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stalled_after_s", 0.0),
        ("connect_s", -1.0),
        ("longest_delay_s", float("inf")),
        ("first_delay_s", float("nan")),
        ("jitter", 1.5),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=f"{name} .*Received: {value}"):
        CaptureSettings(**given)


def test_a_source_that_cannot_be_understood_is_refused_before_anything_starts() -> None:
    with pytest.raises(SourceError):
        Capture("camera:", on_frame=print, on_state=print)


def test_a_receiver_that_raises_ends_the_run_and_its_owner_learns_why() -> None:
    failure = ZeroDivisionError("receiver")
    states: list[LiveState] = []
    ended = threading.Event()

    def on_frame(frame: Frame) -> None:
        if frame.index == 3:
            raise failure

    def on_state(state: LiveState, _: str) -> None:
        states.append(state)
        if state is LiveState.ENDED:
            ended.set()

    capture = Capture("pattern:192x144@100", on_frame=on_frame, on_state=on_state)
    capture.start()
    assert ended.wait(WAIT_S)
    capture.stop()
    assert capture.failure is failure
    assert states == [LiveState.CONNECTING, LiveState.RUNNING, LiveState.ENDED]
    assert capture.frames == 3


def test_a_receiver_of_states_that_raises_ends_the_run() -> None:
    failure = ZeroDivisionError("receiver")

    def on_state(state: LiveState, _: str) -> None:
        if state is LiveState.RECONNECTING:
            raise failure

    capture = Capture("camera:/nowhere/at/all", on_frame=lambda _: None, on_state=on_state)
    capture.start()
    while capture.state is not LiveState.ENDED:
        capture.join(0.1)
    assert capture.failure is failure


@pytest.mark.parametrize("at", [LiveState.CONNECTING, LiveState.RUNNING])
def test_stop_may_be_called_by_a_receiver(at: LiveState) -> None:
    told: list[LiveState] = []
    ended = threading.Event()

    def on_state(state: LiveState, _: str) -> None:
        told.append(state)
        if state is at:
            capture.stop()
        if state is LiveState.ENDED:
            ended.set()

    capture = Capture("pattern:192x144@100", on_frame=lambda _: None, on_state=on_state)
    capture.start()
    assert ended.wait(WAIT_S)
    assert told[-2:] == [at, LiveState.ENDED] and told.count(LiveState.ENDED) == 1


def test_nothing_is_told_after_stop(tmp_path: Path) -> None:
    video = coded_video(tmp_path / "a.mp4", frames=250)
    others = set(threading.enumerate())
    with Witness(str(video)) as witness:
        witness.wait_for_frames(3)
        witness.capture.stop()
        count, states = len(witness.frames), list(witness.states)
        witness.capture.stop()  # again does no harm
    assert states[-1] == (LiveState.ENDED, "stopped")
    for thread in set(threading.enumerate()) - others:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert (len(witness.frames), witness.states) == (count, states)


def test_stop_before_start_and_a_second_start() -> None:
    states: list[LiveState] = []
    capture = Capture("pattern:", on_frame=lambda _: None, on_state=lambda state, _: states.append(state))
    capture.stop()
    capture.start()
    assert capture.join(WAIT_S)
    assert states == [LiveState.CONNECTING, LiveState.ENDED]
    with pytest.raises(RuntimeError):
        capture.start()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_library_that_hangs_for_ever_is_left_behind_and_few_threads_are_lost(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to hangs inside OpenCV, where no time-out reaches."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    settings = CaptureSettings(stalled_after_s=0.1, connect_s=0.2, first_delay_s=0.02, longest_delay_s=0.05)
    try:
        with Witness(f"camera:{pipe}", settings=settings) as witness:
            witness.wait_for(lambda: any("still hang" in reason for _, reason in witness.states), "limit")
            seen = len(witness.states)
            witness.wait_for(lambda: len(witness.states) >= seen + 3, "further tries")
            assert sum(thread.name == "capture-reader" for thread in threading.enumerate()) == 4
        assert witness.told[-1] is LiveState.ENDED
    finally:
        # Wakes the readers: they find the pipe empty and end.
        while readers := [thread for thread in threading.enumerate() if thread.name == "capture-reader"]:
            with contextlib.suppress(OSError):
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            readers[0].join(0.05)


def test_a_slow_receiver_is_not_taken_for_a_silent_source() -> None:
    states: list[LiveState] = []
    enough = threading.Event()

    def on_frame(frame: Frame) -> None:
        if frame.index == 2:
            threading.Event().wait(2.0)  # longer than any patience below
        if frame.index == 10:
            enough.set()

    settings = CaptureSettings(stalled_after_s=1.0, reconnect_after_s=1.5)
    with http_server(send_motion_jpeg) as port:
        source = f"http://127.0.0.1:{port}/cam.mjpg"
        capture = Capture(source, on_frame=on_frame, on_state=lambda state, _: states.append(state), settings=settings)
        capture.start()
        assert enough.wait(WAIT_S)
        capture.stop()
    assert states == [LiveState.CONNECTING, LiveState.RUNNING, LiveState.ENDED]


def test_stop_does_not_wait_for_a_source_that_hangs() -> None:
    with silent_server() as port:
        with Witness(f"http://127.0.0.1:{port}/x") as witness:
            witness.wait_for_state(LiveState.STALLED)
            witness.capture.stop(wait_s=0.0)
        assert witness.told == [LiveState.CONNECTING, LiveState.STALLED, LiveState.ENDED]
