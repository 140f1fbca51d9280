"""The queue of a listener: stages, attempts, and what comes meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")

from stream.hospital.listener.keeping import take_in_left
from stream.hospital.listener.queue import Queue, Stage
from stream.hospital.network.objects import read_object


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue.sqlite")


def _add(queue: Queue, path: Path) -> None:
    queue.add(read_object(path), path, "TOWER")


def test_a_study_goes_from_stage_to_stage(queue: Queue, objects: dict[str, Path]) -> None:
    _add(queue, objects["mpeg2"])
    _add(queue, objects["h264"])
    _add(queue, objects["plain"])
    assert not queue.settle(3600)  # more of it may come
    (one,) = queue.settle(0)
    assert (one.objects, one.videos) == (3, 2)
    (due,) = queue.due(Stage.LOOKING)
    assert [path.name for path in queue.videos(due.study)] == ["h264.dcm", "mpeg2.dcm"]
    assert queue.put_off(due, "no model") == 10
    assert not queue.due(Stage.LOOKING)  # its time comes later
    (waits,) = queue.studies()
    assert (waits.attempts, waits.error) == (1, "no model")
    assert queue.set_stage(waits, Stage.DONE)
    assert queue.studies()[0].stage is Stage.DONE and queue.studies()[0].error is None


def test_what_comes_meanwhile_is_not_overlooked(queue: Queue, objects: dict[str, Path]) -> None:
    _add(queue, objects["h264"])
    queue.settle(0)
    (due,) = queue.due(Stage.LOOKING)
    _add(queue, objects["mpeg2"])
    assert not queue.set_stage(due, Stage.DONE)  # it is looked at again
    assert queue.studies()[0].stage is Stage.COMING


def test_a_study_without_video_is_kept(queue: Queue, objects: dict[str, Path]) -> None:
    _add(queue, objects["report"])
    queue.settle(0)
    assert [one.stage for one in queue.studies()] == [Stage.KEPT]


def test_what_a_killed_run_left_is_queued_once(queue: Queue, objects: dict[str, Path], tmp_path: Path) -> None:
    found = read_object(objects["h264"])
    folder = tmp_path / "received" / found.study
    folder.mkdir(parents=True)
    (folder / f"{found.sop_instance}.dcm").write_bytes(objects["h264"].read_bytes())
    (folder / "other.dcm").write_bytes(b"nothing")
    assert take_in_left(tmp_path, queue) == 1
    assert take_in_left(tmp_path, queue) == 0
