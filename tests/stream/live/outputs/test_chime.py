"""The sound of an alarm: a real WAV file, played by a real program, once, and never waited for."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stream.frame import FieldOfView, Frame
from stream.live.outputs.chime import Chime, chime_wave
from stream.live.states.result import LiveResult
from tests.kit.live_kit import LONG_S, tissue


def _result(begun: tuple[int, ...]) -> LiveResult:
    frame = Frame(0, Fraction(0), tissue(), 0.0)
    return LiveResult(frame, FieldOfView((0, 0, 320, 240)), (), (), begun, None, 0.0)


def test_the_sound_is_short_and_soft_at_both_ends() -> None:
    with wave.open(io.BytesIO(chime_wave())) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
    assert 0.1 < len(samples) / 44_100 < 0.3
    assert 4000 < np.abs(samples).max() < 16_000
    assert abs(int(samples[0])) < 100 and abs(int(samples[-1])) < 700


@pytest.mark.skipif(sys.platform == "win32", reason="plays through the system there")
def test_a_player_plays_it_once_for_what_comes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    player = tmp_path / "paplay"
    player.write_text(f'#!/bin/sh\nhead -c 4 "$1" >> {tmp_path}/played\nsleep 0.2\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    chime = Chime()
    nothing, found = _result(()), _result((1,))
    chime.detected(nothing)
    for _ in range(50):
        chime.detected(found)
    deadline_s = time.monotonic() + LONG_S
    while not (tmp_path / "played").exists() and time.monotonic() < deadline_s:
        threading.Event().wait(0.01)
    chime.close()
    played = (tmp_path / "played").read_text()
    assert played in ("RIFF", "RIFFRIFF")


@pytest.mark.skipif(sys.platform == "win32", reason="plays through the system there")
def test_without_a_player_the_terminal_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    chime = Chime()
    chime.detected(_result((1,)))
    chime.close()
    assert capsys.readouterr().err == "\a"
