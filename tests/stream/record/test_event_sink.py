"""Event lines and run records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from enum import Enum
from fractions import Fraction as F
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import OutputError, WriteError
from stream.frame import Detection, FieldOfView, Frame, FrameResult, PictureState
from stream.record.event_sink import EventSink, event_of, run_record_path, write_run_record
from tests.kit.full_disk import fill_disk, no_space

BLANK = np.zeros((16, 16, 3), np.uint8)


def result(index: int = 0, *, name: str | None = None, detections: tuple[Detection, ...] = ()) -> FrameResult:
    frame = Frame(index=index, pts=F(index, 30), image=BLANK, captured_s=0.0, name=name)
    return FrameResult(frame=frame, field_of_view=FieldOfView((30, 10, 350, 280)), detections=detections)


def test_a_line_is_as_documented(tmp_path: Path) -> None:
    detection = Detection(box_xyxy=(101.52, 60.0, 171.16, 130.44), score=0.93004, label="polyp", track_id=1)
    with EventSink(tmp_path / "events.jsonl") as sink:
        sink.write(result(name="001.jpg", detections=(detection,)))
        sink.write(result(1))
    assert (tmp_path / "events.jsonl").read_text() == (
        '{"frame": 0, "time_s": 0.0, "image": "001.jpg", "field_of_view_xyxy": [30, 10, 350, 280], '
        '"detections": [{"box_xyxy": [101.5, 60.0, 171.2, 130.4], "score": 0.93, "label": "polyp", "track_id": 1}]}\n'
        '{"frame": 1, "time_s": 0.033333, "field_of_view_xyxy": [30, 10, 350, 280], "detections": []}\n'
    )
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]


def test_what_a_picture_shows_is_told_with_what_was_perceived() -> None:
    blurred = replace(result(), useful=False, state=PictureState.BLURRED)
    assert not {"state", "useful", "candidates"} & set(event_of(blurred))
    assert event_of(blurred, candidates=True)["state"] == "blurred"
    assert "state" not in event_of(result(), candidates=True)
    looked = replace(result(), instrument=0.12345)
    assert "instrument" not in event_of(looked) and "instrument" not in event_of(result(), candidates=True)
    assert event_of(looked, candidates=True)["instrument"] == 0.123


@given(
    box=st.tuples(*[st.floats(-1e4, 1e4)] * 4),
    score=st.floats(0, 1),
    track=st.none() | st.integers(1, 10**6),
    name=st.none() | st.text(min_size=1),
)
def test_any_result_is_one_line_of_json(
    box: tuple[float, float, float, float], score: float, track: int | None, name: str | None
) -> None:
    detection = Detection(box_xyxy=box, score=score, track_id=track)
    line = json.dumps(event_of(result(3, name=name, detections=(detection,))), allow_nan=False)
    assert "\n" not in line
    event = json.loads(line)
    found = event["detections"][0]
    assert found["box_xyxy"] == pytest.approx(box, abs=0.0501)
    assert found["score"] == pytest.approx(score, abs=0.0000501)
    assert (found["track_id"], event.get("image")) == (track, name)


def test_numpy_numbers_are_written_as_numbers() -> None:
    values = np.array([1.25, 2.0, 3.0, 4.0], np.float32)
    detection = Detection(box_xyxy=tuple(values), score=float(np.float32(0.9)))
    found = json.loads(json.dumps(event_of(result(detections=(detection,)))))["detections"][0]
    assert found["box_xyxy"] == [1.2, 2.0, 3.0, 4.0]
    assert found["score"] == 0.9


def test_an_existing_file_is_replaced_only_when_allowed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"):
        EventSink(path)
    with EventSink(path, overwrite=True) as sink:
        sink.write(result())
        assert path.read_text() == "old"  # until the new one is complete
    assert len(path.read_text().splitlines()) == 1


def test_after_an_exception_the_lines_stay_under_the_unfinished_name(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with pytest.raises(KeyboardInterrupt), EventSink(path) as sink:
        sink.write(result())
        raise KeyboardInterrupt
    assert not path.exists()
    assert len(sink.partial_path.read_text().splitlines()) == 1


def test_a_closed_sink_stays_closed(tmp_path: Path) -> None:
    sink = EventSink(tmp_path / "events.jsonl")
    sink.close()
    sink.close()
    sink.abort()
    with pytest.raises(ValueError, match="closed"):
        sink.write(result())


KILLED = """
import sys, time
from pathlib import Path
from tests.stream.record.test_event_sink import EventSink, result
sink = EventSink(Path(sys.argv[1]))
for index in range(5):
    sink.write(result(index))
print("written", flush=True)
time.sleep(600)
"""


def test_a_killed_run_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    lines = (tmp_path / "events.partial.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(5))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    fill_disk(monkeypatch, tmp_path / "events.partial.jsonl")
    with (
        pytest.raises(WriteError, match=r"cannot write .*events\.jsonl: No space left on device"),
        EventSink(path) as sink,
    ):
        sink.write(result())
    assert not path.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="this system has no limit of file sizes")
def test_lines_before_a_fault_are_kept_whole(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.stream.record.test_event_sink import EventSink, result\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with EventSink(Path(sys.argv[1])) as sink:\n"
        "    for index in range(100):\n"
        "        sink.write(result(index))\n"
    )
    path = tmp_path / "events.jsonl"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=root, capture_output=True, text=True, check=False
    )
    assert "WriteError: cannot write" in done.stderr
    lines = (tmp_path / "events.partial.jsonl").read_text().splitlines()
    assert len(lines) > 5
    assert [json.loads(line)["frame"] for line in lines[:-1]] == list(range(len(lines) - 1))


class Runtime(Enum):
    OPENVINO = "openvino"


def test_a_run_record_stands_beside_the_events(tmp_path: Path) -> None:
    record = {
        "path": tmp_path / "a.mp4",
        "rate": F(30000, 1001),
        "runtime": Runtime.OPENVINO,
        "count": np.int64(3),
        "times": np.array([1.5, 2.5], np.float32),
    }
    written = write_run_record(tmp_path / "events.jsonl", record)
    assert written == tmp_path / "events.run.json" == run_record_path(tmp_path / "events.jsonl")
    assert json.loads(written.read_text()) == {
        "path": str(tmp_path / "a.mp4"),
        "rate": pytest.approx(29.97, abs=0.001),
        "runtime": "openvino",
        "count": 3,
        "times": [1.5, 2.5],
    }
    assert [path.name for path in tmp_path.iterdir()] == ["events.run.json"]


def test_a_run_record_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_run_record(tmp_path / "events.jsonl", {"run": 1})
    with pytest.raises(TypeError, match="object"):
        write_run_record(tmp_path / "events.jsonl", {"run": object()})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(WriteError, match=r"events\.run\.json: No space left"):
            write_run_record(tmp_path / "events.jsonl", {"run": 2}, overwrite=True)
    assert [one.name for one in tmp_path.iterdir()] == ["events.run.json"]
    assert json.loads(written.read_text()) == {"run": 1}
