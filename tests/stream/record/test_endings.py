"""Signals in the middle of a run: whatever comes, its record is there and its counts are those of its files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kit.media import make_video, packet_times
from tests.kit.programs import surroundings
from tests.kit.tiny_bundle import make_tiny_bundle

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

_DEADLINE_S = 120.0
#: The video is slower than the events, so that they hold different numbers of frames when the run is ended.
_DETECT = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests may ignore it
from polypstream import cli
from stream.record.pipeline import CompletePipeline
from stream.record.outputs import Sinks
count, encode, abort = CompletePipeline._count, CompletePipeline._encode, Sinks.abort
def told(self, results):
    if results:
        print("counted", flush=True)
    count(self, results)
def slow(self, drawn):
    time.sleep(0.02)
    return encode(self, drawn)
def waits(self):
    print("saving", flush=True)
    time.sleep(600 if sys.argv[-1] == "hangs" else 0.3)
    abort(self)
CompletePipeline._count, CompletePipeline._encode, Sinks.abort = told, slow, waits
sys.exit(cli.main([one for one in sys.argv[1:] if one != "hangs"]))
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = tmp_path_factory.mktemp("room")
    make_tiny_bundle(room / "tiny")
    make_video(room / "exam.mp4", frames=400, size=(96, 64), options={"preset": "ultrafast"})
    return room


def _ended(command: Sequence[str], room: Path, said: str, signals: Sequence[signal.Signals]) -> tuple[int, str, str]:
    """Sends signals, the first when a line was said, the others 50 ms apart; exit status and all that was said."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=room, env=surroundings(), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == said:
                break
        for number in signals:
            process.send_signal(number)
            time.sleep(0.05)
        try:
            out, err = process.communicate(timeout=_DEADLINE_S)
        finally:
            process.kill()
    return process.returncode, out, err


INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)


@pytest.mark.parametrize("signals", [(INT, INT), (INT, TERM), (HUP,), (TERM, HUP)])
def test_an_ended_run_has_its_record_and_true_counts(
    room: Path, tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    events, video = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    command = [sys.executable, "-c", _DETECT, "detect", "exam.mp4", "--model", "tiny", "--runtime", "openvino"]
    status, out, err = _ended([*command, "--events", str(events), "--output", str(video)], room, "counted\n", signals)
    assert status == 130, err
    assert "Traceback" not in err
    record = json.loads((tmp_path / "out.run.json").read_text())
    lines = len((tmp_path / "out.partial.jsonl").read_text().splitlines())
    frames = len(packet_times(tmp_path / "out.partial.mp4"))
    assert record["outcome"] == "interrupted" and 0 < frames <= lines < 400
    counts = record["counts"]
    assert (counts["frames"], counts["event_lines"], counts["video_frames"]) == (lines, lines, frames)
    said = out.splitlines()[-1]
    assert said.startswith(f"interrupted: {lines} frames at ")
    assert f"{frames} of them in the video" in said or frames == lines
    left = ["out.partial.jsonl", "out.partial.mp4", "out.run.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_third_signal_ends_a_run_that_hangs(room: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _DETECT, "detect", "exam.mp4", "--model", "tiny", "--runtime", "openvino"]
    command += ["--output", str(tmp_path / "out.mp4"), "hangs"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=room, env=surroundings(), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        process.send_signal(INT)
        while process.stdout.readline() == "counted\n":
            pass
        process.send_signal(INT)
        time.sleep(0.1)
        process.send_signal(TERM)
        try:
            _, err = process.communicate(timeout=_DEADLINE_S)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "polypstream: ended at once; unfinished files are called NAME.partial"
    assert (tmp_path / "out.partial.mp4").exists() and not (tmp_path / "out.mp4").exists()


_LIVE = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from polypstream import cli
from stream.live.outputs.recorder import LiveRecorder
new = LiveRecorder._new_sink
def told(self, size_wh):
    sink = new(self, size_wh)
    write = sink.write
    def writes(image, pts):
        write(image, pts)
        if sink.frames == 10:
            print("recording", flush=True)
    sink.write = writes
    return sink
LiveRecorder._new_sink = told
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("signals", [(INT, INT), (HUP,), (TERM, INT)])
def test_an_ended_live_run_is_finished(room: Path, tmp_path: Path, signals: tuple[signal.Signals, ...]) -> None:
    command = [sys.executable, "-c", _LIVE, "live", "pattern:128x128@25", "--model", "tiny", "--runtime", "onnxruntime"]
    command += ["--record", str(tmp_path / "out.mp4"), "--events", str(tmp_path / "out.jsonl")]
    status, out, err = _ended(command, room, "recording\n", signals)
    assert status == 130, err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mp4", "out.run.json"]
    record = json.loads((tmp_path / "out.run.json").read_text())
    frames, lines = len(packet_times(tmp_path / "out.mp4")), len((tmp_path / "out.jsonl").read_text().splitlines())
    assert record["outcome"] == "interrupted" and frames >= 10
    assert (record["counts"]["recorded_frames"], record["counts"]["event_lines"]) == (frames, lines)
    assert f"{frames} recorded, {lines} event line" in out.splitlines()[-1]
