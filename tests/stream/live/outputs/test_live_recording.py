"""Recordings, events and snapshots of a live run: true times, whole after a kill, and the run goes on without them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import OutputError
from stream.frame import Detection, FieldOfView, Frame
from stream.live.outputs.events import LiveEvents
from stream.live.outputs.marks import LiveStyle
from stream.live.outputs.recorder import LiveRecorder
from stream.live.outputs.snapshots import Snapshots
from stream.live.states.result import LiveResult
from stream.live.states.view import LiveState, LiveStatus, LiveView
from stream.record.event_sink import EventSink
from stream.sources.opening import open_source
from tests.kit.full_disk import fill_disk
from tests.kit.live_kit import LONG_S, tissue
from tests.kit.media import make_video, numbered_picture, packet_times, picture_number
from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.tiny_bundle import make_tiny_bundle

_ROOT = Path(__file__).resolve().parents[4]
_STATUS = LiveStatus(LiveState.RUNNING, detection_on=True)


def _view(number: int, captured_s: float, *, size_wh: tuple[int, int] = (128, 96), boxes: bool = False) -> LiveView:
    frame = Frame(number, Fraction(number, 25), numbered_picture(number, size_wh), captured_s)
    found = (Detection((40.0, 40.0, 80.0, 80.0), 0.9, track_id=1),) if boxes else ()
    return LiveView(frame, FieldOfView((0, 0, *size_wh)), found, number if found else None, _STATUS)


def _result(number: int, *, begun: tuple[int, ...] = (), tracks: tuple[int, ...] = ()) -> LiveResult:
    found = tuple(Detection((100.0, 80.0, 220.0, 160.0), 0.9, track_id=track) for track in tracks)
    frame = Frame(number, Fraction(number, 25), tissue(), 0.0)
    return LiveResult(frame, FieldOfView((0, 0, 320, 240)), found, found, begun, None, 0.0)


def _pictures(path: Path) -> list[Image]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def _fed(recorder: LiveRecorder, views: list[LiveView]) -> None:
    """Show a few views, and wait until they are written."""
    for view in views:
        recorder.show(view)
    deadline_s = time.monotonic() + LONG_S
    while recorder.frames < len(views):
        assert recorder.recording and time.monotonic() < deadline_s
        time.sleep(0.001)


def test_times_are_those_of_capture_and_pictures_are_untouched(tmp_path: Path) -> None:
    # An uneven rate, a gap as after a reconnect; the source's own times (even) do not matter.
    times_s = [1000.0, 1000.04, 1000.09, 1000.1, 1003.1, 1003.123]
    recorder = LiveRecorder(tmp_path / "out.mp4", source="camera:0")
    _fed(recorder, [_view(number, captured_s, boxes=True) for number, captured_s in enumerate(times_s)])
    recorder.close()
    recorder.close()
    assert recorder.files == (tmp_path / "out.mp4",)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    times = packet_times(tmp_path / "out.mp4")
    assert [float(one) for one in times] == pytest.approx([one - 1000.0 for one in times_s], abs=1e-4)
    pictures = _pictures(tmp_path / "out.mp4")
    assert [picture_number(one) for one in pictures] == list(range(6))
    close = np.abs(pictures[3].astype(int) - numbered_picture(3)).mean()
    assert close < 6, "no marks"
    assert recorder.dropped == {"recording": 0}


def test_marks_are_drawn_when_asked_for(tmp_path: Path) -> None:
    plain = LiveRecorder(tmp_path / "plain.mp4", source="")
    marked = LiveRecorder(tmp_path / "marked.mp4", source="", marks=LiveStyle())
    for recorder in (plain, marked):
        _fed(recorder, [_view(0, 0.0, size_wh=(320, 240), boxes=True)])
        recorder.close()
    difference = np.abs(_pictures(plain.files[0])[0].astype(int) - _pictures(marked.files[0])[0]).max(axis=2)
    assert (difference[34:40, 45:75] > 60).any(), "the upper side of the box"
    assert (difference[50:70, 50:70] < 60).all(), "never inside it"


def test_another_size_begins_another_file(tmp_path: Path) -> None:
    (tmp_path / "out.part2.mp4").write_bytes(b"of others")
    recorder = LiveRecorder(tmp_path / "out.mp4", source="camera:0")
    small, large = [_view(n, n / 25) for n in range(3)], [_view(n, n / 25, size_wh=(192, 128)) for n in range(3, 7)]
    _fed(recorder, [*small, *large])
    recorder.close()
    assert [path.name for path in recorder.files] == ["out.mp4", "out.part3.mp4"]
    first, second = (_pictures(path) for path in recorder.files)
    assert [picture_number(one) for one in first] == [0, 1, 2] and first[0].shape == (96, 128, 3)
    assert [picture_number(one) for one in second] == [3, 4, 5, 6] and second[0].shape == (128, 192, 3)
    assert (tmp_path / "out.part2.mp4").read_bytes() == b"of others"


def test_a_recording_can_be_stopped_and_started_again(tmp_path: Path) -> None:
    recorder = LiveRecorder(tmp_path / "out.mp4", source="camera:0")
    _fed(recorder, [_view(0, 0.0)])
    assert recorder.stop_recording() is False and not recorder.recording
    recorder.show(_view(1, 0.04))
    assert recorder.start_recording() is True and recorder.recording
    assert recorder.start_recording() is True, "it does already"
    recorder.show(_view(2, 0.08))
    recorder.close()
    assert recorder.start_recording() is False, "closed"
    numbers = [[picture_number(one) for one in _pictures(path)] for path in recorder.files]
    assert numbers == [[0], [2]]


def test_what_cannot_be_written_in_time_is_counted(tmp_path: Path) -> None:
    recorder = LiveRecorder(tmp_path / "out.mp4", source="camera:0")
    view = _view(0, 0.0, size_wh=(1280, 720))
    for _ in range(100):
        recorder.show(view)
    recorder.close()
    assert recorder.dropped["recording"] > 0, "faster than any encoder"
    assert recorder.frames + recorder.dropped["recording"] == 100


def test_a_run_without_frames_leaves_no_file(tmp_path: Path) -> None:
    recorder = LiveRecorder(tmp_path / "out.mp4", source="camera:0")
    recorder.close()
    assert list(tmp_path.iterdir()) == [] and recorder.files == ()


def test_the_source_is_never_written_over(tmp_path: Path) -> None:
    path = make_video(tmp_path / "exam.mp4", frames=2)
    with pytest.raises(OutputError):
        LiveRecorder(path, source=str(path), overwrite=True)


_FULL_DISK = """
import resource, sys, time
from pathlib import Path
sys.path[:0] = [{root!r}]
import numpy as np
from fractions import Fraction
from stream.frame import Frame
from stream.live.paths.pipeline import LivePipeline
from stream.live.outputs.recorder import LiveRecorder
from stream.live.states.view import LiveState

resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))  # as a disk that is full after so much
recorder = LiveRecorder(Path({out!r}), source="camera:0")
pipeline = LivePipeline(None, sinks=[], recorder=recorder)
pipeline.start()
pipeline.change_state(LiveState.CONNECTING, "")
pipeline.change_state(LiveState.RUNNING, "")
random = np.random.default_rng(1)
number, deadline = 0, time.monotonic() + 60
while recorder.recording and time.monotonic() < deadline:
    image = random.integers(0, 256, (240, 320, 3), np.uint8)
    pipeline.take(Frame(number, Fraction(number, 25), image, time.monotonic()))
    number += 1
    time.sleep(0.005)
assert not recorder.recording
for more in range(20):
    pipeline.take(Frame(number + more, Fraction(number + more, 25), image, time.monotonic()))
status = pipeline.status
assert status.shown == number + 20, status
assert not status.recording and "too large" in status.recording_reason.lower(), status
pipeline.close()
print(recorder.files[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    program = _FULL_DISK.format(root=str(_ROOT), out=str(tmp_path / "out.mp4"))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S * 3)
    assert run.returncode == 0, run.stderr
    kept = Path(run.stdout.strip())
    assert kept.name == "out.partial.mp4"
    with open_source(kept) as source:
        assert len(list(source)) > 3, "what was written plays"


def test_events_of_a_live_run(tmp_path: Path) -> None:
    events = LiveEvents(EventSink(tmp_path / "out.jsonl"))
    for number in (0, 3, 4):
        events.detected(_result(number, tracks=(1,) if number else ()))
    events.close()
    events.close()
    lines = [json.loads(line) for line in events.file.read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 3, 4]
    assert [len(line["detections"]) for line in lines] == [0, 1, 1]
    assert events.file == tmp_path / "out.jsonl" and events.failure is None


def test_events_on_a_full_disk_end_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch, tmp_path / "out.partial.jsonl")
    events = LiveEvents(EventSink(tmp_path / "out.jsonl"))
    events.detected(_result(0))
    deadline_s = time.monotonic() + LONG_S
    while events.failure is None and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert "No space left" in str(events.failure)
    events.detected(_result(1))
    assert events.dropped["events"] >= 1
    events.close()


def test_snapshots_of_each_polyp_once(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "pictures")
    snapshots.detected(_result(4, tracks=(1,)))  # it was shown before
    snapshots.detected(_result(5, begun=(2,), tracks=(1, 2)))
    snapshots.detected(_result(6, tracks=(1, 2)))
    snapshots.close()
    assert snapshots.folder.parent == tmp_path / "pictures"
    names = sorted(path.name for path in snapshots.folder.iterdir())
    assert names == ["polyp_0002_frame_000005.png", "polyp_0002_frame_000005_marked.png"]
    untouched, marked = (cv2.imread(str(snapshots.folder / name)) for name in names)
    assert untouched is not None and marked is not None
    assert np.array_equal(untouched, tissue()) and not np.array_equal(marked, untouched)
    assert snapshots.dropped == {"snapshots": 0}
    assert sorted(path.name for path in snapshots.files) == names


def test_a_snapshot_that_finds_no_room_is_taken_with_the_next_frame(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for number in range(40):
        snapshots.detected(_result(number, begun=(number,), tracks=tuple(range(number + 1))))
    waiting = snapshots.dropped["snapshots"]
    assert waiting > 0
    deadline_s = time.monotonic() + LONG_S
    while snapshots.dropped["snapshots"] and time.monotonic() < deadline_s:
        snapshots.detected(_result(99, tracks=tuple(range(40))))
        time.sleep(0.01)
    snapshots.close()
    assert len({path.name[:10] for path in snapshots.files}) == 40


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `exam.mp4`, which outlasts what a test does with it, and a model `tiny`."""
    folder = tmp_path_factory.mktemp("minute")
    make_video(folder / "exam.mp4", frames=25 * 60, options={"preset": "ultrafast"})
    make_tiny_bundle(folder / "tiny")
    return folder


def _live(folder: Path, minute: Path) -> subprocess.Popen[str]:
    """Plays the minute, and writes `out.mp4` and `out.jsonl` to a folder."""
    source = ["live", str(minute / "exam.mp4"), "--model", str(minute / "tiny")]
    command = [*POLYPSTREAM, *source, "--record", "out.mp4", "--events", "out.jsonl"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=surroundings(), stdout=pipe, stderr=pipe, text=True)


def _await_recording(path: Path, process: subprocess.Popen[str], seconds: float) -> None:
    """Wait until so much of a recording can be played, and more than 25 frames."""
    deadline_s = time.monotonic() + LONG_S * 2
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            times = packet_times(path)
            if len(times) > 25 and float(times[-1]) >= seconds:
                return
        except (av.error.FFmpegError, OSError, IndexError):
            pass
        time.sleep(0.1)
    raise AssertionError(process.communicate(timeout=1) if process.poll() is not None else "nothing was recorded")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_kill_leaves_a_recording_that_plays_to_the_last_second(tmp_path: Path, minute: Path) -> None:
    began_s = time.monotonic()
    process = _live(tmp_path, minute)
    partial = tmp_path / "out.partial.mp4"
    _await_recording(partial, process, 3.0)
    first_s = time.monotonic()
    end_before = float(packet_times(partial)[-1])
    while time.monotonic() - first_s < 2.0:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LONG_S)
    end = float(packet_times(partial)[-1])
    # The recording cannot know when it was killed; two seconds passed since an earlier look at it, of which all but
    # the newest fragment (half a second, and what waits in the encoder) must be there.
    assert end >= end_before + 2.0 - 1.0, "the last second at most is lost"
    assert end <= time.monotonic() - began_s
    assert len(_pictures(partial)) == len(packet_times(partial))
    for line in (tmp_path / "out.partial.jsonl").read_text().splitlines():
        json.loads(line)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_sigterm_finishes_all_files(tmp_path: Path, minute: Path) -> None:
    process = _live(tmp_path, minute)
    _await_recording(tmp_path / "out.partial.mp4", process, 1.0)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=LONG_S * 2)
    assert process.returncode == 130, errors
    assert output.startswith("interrupted: ")
    assert sorted(os.listdir(tmp_path)) == ["out.jsonl", "out.mp4", "out.run.json"]
    record = json.loads((tmp_path / "out.run.json").read_text())
    assert record["outcome"] == "interrupted" and record["counts"]["shown"] >= 25
    assert len(_pictures(tmp_path / "out.mp4")) > 20
