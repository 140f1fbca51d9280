"""The queue of a listener: stages, attempts, and what comes meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")

from polypstream import cli
from stream.hospital.listener.keeping import take_in_left
from stream.hospital.listener.looking import _write_list
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


@pytest.mark.parametrize("stage", [Stage.LOOKING, Stage.SENDING, Stage.DONE, Stage.FAILED])
def test_what_is_no_video_changes_nothing_of_a_study_that_was_complete(
    queue: Queue, objects: dict[str, Path], stage: Stage
) -> None:
    """An archive may hand our own report on to us: to look again would make another report, without end."""
    _add(queue, objects["h264"])
    queue.settle(0)
    (one,) = queue.studies()
    assert queue.set_stage(one, stage)
    _add(queue, objects["report"])
    (now,) = queue.studies()
    assert (now.stage, now.objects, now.changed_s) == (stage, 2, one.changed_s)
    _add(queue, objects["mpeg2"])
    assert queue.studies()[0].stage is Stage.COMING


def test_studies_whose_videos_were_taken_away_do_not_fail_the_others(
    queue: Queue, objects: dict[str, Path], tmp_path: Path
) -> None:
    """What is kept for how long is the hospital's decision."""
    for name, study in (("h264", "1.2.1"), ("mpeg2", "1.2.2")):
        path = Path("received", study, f"{name}.dcm")
        (tmp_path / path.parent).mkdir(parents=True)
        (tmp_path / path).write_bytes(objects[name].read_bytes())
        queue.add(replace(read_object(objects[name]), study=study), path, "TOWER")
    queue.settle(0)
    done, wanted = queue.studies()
    assert queue.set_stage(done, Stage.DONE)
    _write_list(tmp_path / "list.csv", queue, wanted)
    rows = (tmp_path / "list.csv").read_text().splitlines()
    assert rows == ["path,procedure", "received/1.2.1/h264.dcm,1.2.1", "received/1.2.2/mpeg2.dcm,1.2.2"]
    (tmp_path / "received" / "1.2.1" / "h264.dcm").unlink()
    _write_list(tmp_path / "list.csv", queue, wanted)
    assert (tmp_path / "list.csv").read_text().splitlines() == [rows[0], rows[2]]


@pytest.mark.parametrize("allowed", ["", " ", "TOWER,"])
def test_an_empty_list_of_callers_lets_nobody_in(
    allowed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty variable of a script must not open the door to all."""
    assert cli.main(["dicom", "listen", "--output", str(tmp_path / "out"), "--allow", allowed]) == 2
    assert "--allow: an AE title has 1 to 16 characters" in capsys.readouterr().err


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
