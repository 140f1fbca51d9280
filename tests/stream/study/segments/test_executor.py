"""Recordings looked at in pieces come to the results of recordings looked at in one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream.record.recording import RecordingSettings
from stream.study.perceiving import lines_path, perceived_record
from stream.study.pool import LocalPool
from stream.study.segments.executor import SegmentsExecutor
from stream.study.segments.planning import segments_of
from stream.study.tasks import Event, Failed, Finished, JoinTask, PerceiveTask, Progress, Said, Task
from stream.study.worker import Tools, WorkerSettings, task_of, task_record
from tests.kit.long_recordings import RATE, make_recording
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle

pytestmark = pytest.mark.slow

SECONDS = 30
LENGTH_S = 6.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> WorkerSettings:
    folder = tmp_path_factory.mktemp("segments")
    model = str(make_tiny_bundle(folder / "tiny").folder)
    recording = RecordingSettings(source="", model=model, runtime="onnxruntime", streams=1, decoder_threads=1)
    return WorkerSettings(recording, 1, folder / "scratch")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recording(tmp_path_factory.mktemp("recordings") / "exam.mp4", seconds=SECONDS)


@pytest.fixture(scope="module")
def whole(settings: WorkerSettings, recording: Path, tmp_path_factory: pytest.TempPathFactory) -> PerceiveTask:
    """The recording, looked at in one piece."""
    task = task_of_whole(recording, tmp_path_factory.mktemp("whole"))
    perceived_whole(task, settings)
    return task


@pytest.fixture(scope="module")
def pool(settings: WorkerSettings) -> Iterator[LocalPool]:
    with LocalPool(settings, count=2) as pool:
        yield pool


def events_of(executor: SegmentsExecutor, *tasks: PerceiveTask) -> list[Event]:
    """Carries tasks out to their end."""
    happened: list[Event] = []
    for task in tasks:
        executor.start(task)
    while sum(isinstance(event, (Finished, Failed)) for event in happened) < len(tasks):
        happened += executor.events(0.2)
    return happened


def task_of_whole(recording: Path, store: Path, *, seconds: float = SECONDS) -> PerceiveTask:
    store.mkdir(exist_ok=True)
    return PerceiveTask(recording, "abc", store, seconds)


def lines_in(task: PerceiveTask) -> list[dict[str, Any]]:
    with gzip.open(lines_path(task.store, task.key), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def assert_same(pieces: PerceiveTask, whole: PerceiveTask) -> None:
    """What was perceived is the same to the last digit; what was decided, but for the rounding of candidates' boxes."""
    lines, expected = lines_in(pieces), lines_in(whole)
    assert [_without_detections(line) for line in lines] == [_without_detections(line) for line in expected]
    for line, other in zip(lines, expected, strict=True):
        assert len(line["detections"]) == len(other["detections"])
        for detection, same in zip(line["detections"], other["detections"], strict=True):
            assert detection["track_id"] == same["track_id"]
            assert detection["box_xyxy"] == pytest.approx(same["box_xyxy"], abs=0.21)


def _without_detections(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "detections"}


def perceived_whole(task: PerceiveTask, settings: WorkerSettings) -> None:
    tools = Tools(settings)
    tools.carry_out(task, lambda _: None)
    tools.close()


def test_pieces_come_to_the_results_of_the_whole(
    pool: LocalPool, recording: Path, whole: PerceiveTask, tmp_path: Path
) -> None:
    pieces = task_of_whole(recording, tmp_path / "pieces")
    happened = events_of(SegmentsExecutor(pool, pool, length_s=LENGTH_S), pieces)
    assert isinstance(happened[-1], Finished)
    assert happened[-1].task == pieces
    assert happened[-1].result["frames"] == SECONDS * RATE
    assert any(isinstance(event, Progress) for event in happened)
    assert_same(pieces, whole)
    records = [perceived_record(task.store, task.key) for task in (whole, pieces)]
    for name in ("frames", "frames_with_detections", "frames_without_picture", "detections", "tracks"):
        assert records[1]["counts"][name] == records[0]["counts"][name]
    assert records[1]["counts"]["tracks"] > 3
    assert records[1]["end_s"] == records[0]["end_s"]
    assert len(records[1]["segments"]) == 5
    assert records[1]["settings"]["span"] is None
    # Nothing of the pieces is left.
    assert sorted(path.name for path in pieces.store.iterdir()) == ["abc.jsonl.gz", "abc.run.json"]


def test_work_goes_on_with_the_pieces_that_are_there(
    pool: LocalPool, settings: WorkerSettings, recording: Path, tmp_path: Path
) -> None:
    task = task_of_whole(recording, tmp_path / "store")
    first, *others = segments_of(task, LENGTH_S)
    tools = Tools(settings)
    for segment in others:
        tools.carry_out(segment, lambda _: None)
    done = {segment.key: lines_path(task.store, segment.key).stat().st_mtime_ns for segment in others}
    executor = SegmentsExecutor(pool, pool, length_s=LENGTH_S)
    executor.start(task)
    assert executor.free(PerceiveTask) == 1  # one piece is in work, none waits
    happened: list[Event] = []
    while not any(isinstance(event, (Finished, Failed)) for event in happened):
        happened += executor.events(0.2)
        for key, time_ns in done.items():
            path = lines_path(task.store, key)
            assert not path.exists() or path.stat().st_mtime_ns == time_ns
    assert isinstance(happened[-1], Finished)
    assert len(lines_in(task)) == SECONDS * RATE
    assert first.span is not None


def test_a_piece_that_saw_something_else_is_looked_at_again_with_a_longer_memory(
    pool: LocalPool, settings: WorkerSettings, recording: Path, whole: PerceiveTask, tmp_path: Path
) -> None:
    task = task_of_whole(recording, tmp_path / "pieces")
    tools = Tools(settings)
    for segment in segments_of(task, LENGTH_S):
        tools.carry_out(segment, lambda _: None)
    wrong = segments_of(task, LENGTH_S)[3]
    lines = lines_in(wrong)
    for line in lines:
        line["field_of_view_xyxy"] = [0, 0, 160, 128]
    with gzip.open(lines_path(task.store, wrong.key), "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    happened = events_of(SegmentsExecutor(pool, pool, length_s=LENGTH_S), task)
    assert isinstance(happened[-1], Finished)
    assert_same(task, whole)
    longer = [one["warm_up_s"] for one in perceived_record(task.store, task.key)["segments"]]
    assert longer[3] > 10.0
    assert longer[1] == 10.0


def test_a_recording_that_cannot_be_read_from_its_middle_is_looked_at_in_one_piece(
    pool: LocalPool, settings: WorkerSettings, tmp_path: Path
) -> None:
    # FFmpeg writes times that go back into this format.
    path = make_video(tmp_path / "b.vob", codec="mpeg2video", rate=25, frames=350, options={"g": "12", "bf": "2"})
    whole, pieces = (task_of_whole(path, tmp_path / name, seconds=14.0) for name in ("whole", "pieces"))
    perceived_whole(whole, settings)
    happened = events_of(SegmentsExecutor(pool, pool, length_s=LENGTH_S), pieces)
    assert isinstance(happened[-1], Finished)
    said = [event.text for event in happened if isinstance(event, Said)]
    assert any(text.startswith("looked at in one piece: ") for text in said)
    assert_same(pieces, whole)
    assert len(list(pieces.store.iterdir())) == 2


def test_a_recording_that_was_cut_ends_in_pieces_as_in_one(
    pool: LocalPool, settings: WorkerSettings, tmp_path: Path
) -> None:
    path = make_recording(tmp_path / "cut.mkv", seconds=20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    whole, pieces = (task_of_whole(path, tmp_path / name, seconds=20.0) for name in ("whole", "pieces"))
    perceived_whole(whole, settings)
    happened = events_of(SegmentsExecutor(pool, pool, length_s=LENGTH_S), pieces)
    assert isinstance(happened[-1], Finished)
    records = [perceived_record(task.store, task.key) for task in (whole, pieces)]
    assert records[0]["error"]
    assert happened[-1].result["remark"] == records[1]["error"] == records[0]["error"]
    assert_same(pieces, whole)


def test_a_failed_recording_says_so_once(pool: LocalPool, tmp_path: Path) -> None:
    path = tmp_path / "no.mp4"
    path.write_bytes(b"no video")
    happened = events_of(SegmentsExecutor(pool, pool, length_s=LENGTH_S), task_of_whole(path, tmp_path / "store"))
    assert sum(isinstance(event, Failed) for event in happened) == 1
    assert isinstance(happened[-1], Failed)
    assert happened[-1].task.title == str(path)


def test_a_short_recording_stays_whole(tmp_path: Path) -> None:
    task = task_of_whole(tmp_path / "exam.mp4", tmp_path / "store", seconds=8.0)
    assert segments_of(task, LENGTH_S) == ()
    assert segments_of(PerceiveTask(tmp_path / "exam.mp4", "abc", tmp_path), LENGTH_S) == ()


def test_tasks_survive_json(tmp_path: Path) -> None:
    task = task_of_whole(tmp_path / "exam.mp4", tmp_path / "store")
    segments = segments_of(task, LENGTH_S)
    tasks: list[Task] = [task, *segments, JoinTask(task.recording, task.key, task.store, segments)]
    for one in tasks:
        assert task_of(json.loads(json.dumps(task_record(one)))) == one
