"""Event lines and records are read as runs and studies write them; all else is refused with the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError
from stream.frame import PictureState
from stream.procedure.reading import read_procedure
from tests.kit.examined import examined_clip, examined_parts, write_record


def test_event_lines_of_one_recording(tmp_path: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        if event["frame"] == 3:
            event.update(state="blurred", useful=False)

    procedure = read_procedure(examined_clip(tmp_path, frames=400, change=change))
    assert procedure.name == "exam"
    assert len(procedure.times_s) == 400
    assert procedure.states[2:4] == (PictureState.USEFUL, PictureState.BLURRED)
    assert list(procedure.tracks) == [1, 2, 3]
    assert procedure.tracks[1][0].detection.track_id == 1
    (recording,) = procedure.recordings
    assert (recording.name, recording.frames, recording.duration_s) == ("colon.mp4", 400, 16.0)
    assert procedure.durations_s[0] == pytest.approx(0.04)
    assert procedure.durations_s.sum() == pytest.approx(16.0)


def test_a_procedure_of_two_recordings(tmp_path: Path) -> None:
    procedure = read_procedure(examined_parts(tmp_path))
    assert procedure.name == "exam-17"
    assert [one.first_frame for one in procedure.recordings] == [0, 500]
    assert [one.start_s for one in procedure.recordings] == [0.0, 20.0]
    assert procedure.end_s == 40.0
    assert np.all(procedure.durations_s > 0.03)
    assert list(procedure.tracks) == [1, 2, 3, 11, 12, 13]


def _without_candidates(event: dict[str, Any]) -> None:
    del event["candidates"]


def _of_another_version(event: dict[str, Any]) -> None:
    event["state"] = "singing"


def _without_time(event: dict[str, Any]) -> None:
    del event["time_s"]


def _doubled(event: dict[str, Any]) -> None:
    event["frame"] = max(event["frame"] - 1, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_candidates, "holds no candidates.*--candidates"),
        (_of_another_version, "line 1 .*no event line of this version.*singing.*make it again"),
        (_without_time, "line 1 .*time_s.*make it again"),
        (_doubled, "line 2 .*frame 0, not 1.*missing or mixed"),
    ],
)
def test_lines_that_cannot_be_used(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_procedure(examined_clip(tmp_path, frames=5, change=change))


def test_a_line_that_is_cut_off(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=5)
    events.write_text(events.read_text()[:-30])
    with pytest.raises(InputError, match="line 5 .*cut off.*make it again"):
        read_procedure(events)


def test_no_lines(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=5)
    events.write_text("")
    with pytest.raises(InputError, match="tells of no frame"):
        read_procedure(events)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=5)
    events.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="it is no text"):
        read_procedure(events)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", "cannot read .*make it again"),
        ("[]", "no record of a run"),
        ('{"source": {"kind": "folder", "path": "x"}}', "pictures and no video"),
        ('{"source": {"kind": "video"}}', "no record of this version.*path"),
        ('{"source": {"kind": "video"}, "recordings": []}', "lists no recordings"),
        ('{"source": {"kind": "video"}, "recordings": [{"path": "a"}, {"path": "b"}]}', "no line tells of recording 1"),
    ],
)
def test_records_that_cannot_be_used(tmp_path: Path, record: str, message: str) -> None:
    events = examined_clip(tmp_path, frames=5)
    events.with_suffix(".run.json").write_text(record)
    with pytest.raises(InputError, match=message):
        read_procedure(events)


def test_a_line_of_a_recording_that_is_not_listed(tmp_path: Path) -> None:
    folder = examined_parts(tmp_path)
    record = json.loads((folder / "run.json").read_text())
    record["recordings"].pop()
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="lines tell of recording 1, and it lists 1"):
        read_procedure(folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("exam.jsonl", "cannot read '.*exam.jsonl': No such file"), ("exam.run.json", "no such file: '.*exam.run.json'")],
)
def test_a_file_that_is_missing(tmp_path: Path, missing: str, message: str) -> None:
    events = examined_clip(tmp_path, frames=5)
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=f"{message}.*--candidates"):
        read_procedure(events)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no procedure's folder"):
        read_procedure(tmp_path)


def test_a_record_without_checksum_is_taken(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=5)
    write_record(events.with_suffix(".run.json"), tmp_path / "colon.mp4", source_file=None)
    (recording,) = read_procedure(events).recordings
    assert recording.sha256 is None
