"""Workers that end by themselves: the study hears of it at once, and why."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stream.record.recording import RecordingSettings
from stream.study import pool
from stream.study.pool import LocalPool
from stream.study.tasks import Cause, Failed, PerceiveTask
from stream.study.worker import WorkerSettings

pytestmark = pytest.mark.slow

_PATIENCE_S = 120.0

#: A worker that an update of the program has changed under a running study.
_UPDATED = """
import stream.study.worker as worker
def task_of(record):
    return record["something new"]
worker.task_of = task_of
worker.main()
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise ValueError('nothing works')", "its worker ended (1): ValueError: nothing works"),
        (_UPDATED, "its worker ended (1): it cannot read its task: KeyError('something new')"),
        ("import sys\nprint('a library says much', file=sys.stderr)\nsys.exit(0)", "its worker ended (0)"),
    ],
)
def test_why_a_worker_ended_is_said(program: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_START", program)
    settings = WorkerSettings(RecordingSettings(""), threads=1, scratch=tmp_path)
    with LocalPool(settings, count=1) as workers:
        task = PerceiveTask(tmp_path / "exam.mp4", "key", tmp_path)
        workers.start(task)
        deadline = time.monotonic() + _PATIENCE_S
        while not (events := list(workers.events(0.5))):
            assert time.monotonic() < deadline, "a worker hangs"
        assert events == [Failed(task, said, Cause.FAULT)]
        assert workers.free(PerceiveTask) == 1
