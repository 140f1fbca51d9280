"""Objects that come: what is said of those whose UID is known already, and what stays of each."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")

from stream.hospital.listener.keeping import QUEUE, RECEIVED, Inbox
from stream.hospital.listener.queue import Queue, Stage
from stream.hospital.network.objects import read_object
from stream.hospital.network.spooling import Spool

_FIRST_TABLES = """
CREATE TABLE objects (
    instance TEXT PRIMARY KEY, study TEXT NOT NULL, sop_class TEXT NOT NULL, syntax TEXT NOT NULL, path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, place TEXT NOT NULL, caller TEXT NOT NULL, came_s REAL NOT NULL
);
CREATE TABLE studies (
    study TEXT PRIMARY KEY, state TEXT NOT NULL, changed_s REAL NOT NULL, attempts INTEGER NOT NULL,
    next_s REAL NOT NULL, error TEXT
);
INSERT INTO objects VALUES ('1.2', '1.1', 'class', 'syntax', 'received/1.1/1.2.dcm', 5, '', 'TOWER', 1.0);
INSERT INTO studies VALUES ('1.1', 'done', 1.0, 0, 0, NULL);
PRAGMA user_version = 1;
"""


def _come(results: Path, path: Path, *, study: str, more: bytes = b"") -> None:
    spooled = Spool(results / ".incoming").begin()
    spooled.write(path.read_bytes() + more)
    Inbox(results)(replace(read_object(path), study=study), spooled, "TOWER")


def test_an_object_of_two_studies_stays_in_both(
    objects: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """UIDs are unique (PS3.5, 9): one of both is wrong, and an archive cannot know which."""
    _come(tmp_path, objects["h264"], study="1.2.1")
    with Queue(tmp_path / QUEUE) as queue:
        queue.settle(0)
        assert queue.set_stage(queue.studies()[0], Stage.DONE)
        assert not caplog.records
        _come(tmp_path, objects["h264"], study="1.2.2")
        assert "in study 1.2.2, and it came in study 1.2.1 before; both are kept" in caplog.text
        assert [(one.study, one.stage, one.videos) for one in queue.studies()] == [
            ("1.2.1", Stage.DONE, 1),
            ("1.2.2", Stage.COMING, 1),
        ]
        assert all((tmp_path / path).is_file() for path in queue.paths()) and len(queue.paths()) == 2


def test_what_comes_again_is_kept_once(
    objects: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for more, said in ((b"", 0), (b"", 0), (b"other", 1)):
        _come(tmp_path, objects["h264"], study="1.2.1", more=more)
        assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == said
    assert "again with other contents, which take its place" in caplog.text
    (file,) = (tmp_path / RECEIVED).rglob("*.dcm")
    assert file.read_bytes().endswith(b"other")
    with Queue(tmp_path / QUEUE) as queue:
        assert [one.objects for one in queue.studies()] == [1]


def test_a_queue_of_the_first_format_goes_on(objects: dict[str, Path], tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / QUEUE) as database:
        database.executescript(_FIRST_TABLES)
    database.close()
    for _ in range(2):
        with Queue(tmp_path / QUEUE) as queue:
            (one,) = queue.studies()
            assert (one.study, one.stage, one.objects) == ("1.1", Stage.DONE, 1)
    found = read_object(objects["h264"])
    with Queue(tmp_path / QUEUE) as queue:
        for study in ("1.2.1", "1.2.2"):
            queue.add(replace(found, study=study), Path(study, "video.dcm"), "TOWER")
        assert [one.objects for one in queue.studies()] == [1, 1, 1]
        assert queue.other_studies(replace(found, study="1.2.1")) == ["1.2.2"]
