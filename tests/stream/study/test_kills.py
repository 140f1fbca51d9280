"""Studies whose processes are killed: real ones, by SIGKILL, in the middle of their work."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.studies import make_recordings, results_of
from tests.kit.tiny_bundle import make_tiny_bundle

pytest.importorskip("jinja2", reason="needs the extra study")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

_PATIENCE_S = 900.0


def _command(folder: Path, results: str) -> list[str]:
    settings = ["--model", "tiny", "--runtime", "onnxruntime", "--workers", "2"]
    return [*POLYPSTREAM, "study", "in", "--output", results, *settings]


@contextmanager
def _running(folder: Path, results: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        _command(folder, results), cwd=folder, env=surroundings(), stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ledger(folder: Path, query: str) -> list[tuple[Any, ...]]:
    try:
        ledger = sqlite3.connect(f"file:{folder / 'out' / 'ledger.sqlite'}?mode=ro", uri=True, timeout=10)
    except sqlite3.OperationalError:
        return []
    try:
        return ledger.execute(query).fetchall()
    except sqlite3.OperationalError:  # not made yet
        return []
    finally:
        ledger.close()


def _wait_for(process: subprocess.Popen[str], happened: Callable[[], object]) -> bool:
    """Waits until something has happened; False when the process has ended before."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if happened():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    raise TimeoutError("nothing happened")


def _done(folder: Path) -> int:
    return len(_ledger(folder, "SELECT path FROM recordings WHERE state = 'done'"))


def _workers(folder: Path) -> list[int]:
    found = _ledger(folder, "SELECT DISTINCT worker FROM recordings WHERE state = 'working'")
    return [worker for (name,) in found if _is_alive(worker := int(name.removeprefix("process ")))]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _kill_worker(folder: Path, process: subprocess.Popen[str], killed: set[int]) -> None:
    """Kills a worker that has a recording and was not killed before."""
    new: list[int] = []

    def has_work() -> bool:
        new[:] = [worker for worker in _workers(folder) if worker not in killed]
        return bool(new)

    assert _wait_for(process, has_work), process.communicate()[0]
    os.kill(new[0], signal.SIGKILL)
    killed.add(new[0])


def _finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize(
    ("recordings", "frames", "parents", "workers"),
    [
        pytest.param(6, 150, 1, 1, marks=pytest.mark.slow),
        pytest.param(40, 60, 2, 3, marks=pytest.mark.long),
    ],
)
def test_kills_change_nothing(tmp_path: Path, recordings: int, frames: int, parents: int, workers: int) -> None:
    make_tiny_bundle(tmp_path / "tiny", threshold=0.9)
    make_recordings(tmp_path / "in", recordings, frames=frames)
    killed: set[int] = set()
    perceived: Counter[str] = Counter()
    for number in range(parents):
        wanted = (number + 1) * recordings // (parents + 1)
        with _running(tmp_path, "out") as process:
            if number < workers:
                _kill_worker(tmp_path, process, killed)
            assert _wait_for(process, lambda: _done(tmp_path) >= wanted), process.communicate()[0]  # noqa: B023
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert 0 < _done(tmp_path) < recordings, "it was killed in the middle"
        for path in (tmp_path / "out" / ".perceived").glob("*.run.json"):
            perceived[f"{path.name} {path.stat().st_mtime_ns}"] += 1
    with _running(tmp_path, "out") as process:
        for _ in range(workers - min(parents, workers)):
            _kill_worker(tmp_path, process, killed)
        said = _finish(process)
    assert f"finished: {len(list((tmp_path / 'out').glob('*/report.json')))} of" in said
    for path in (tmp_path / "out" / ".perceived").glob("*.run.json"):
        perceived[f"{path.name} {path.stat().st_mtime_ns}"] += 1
    assert len({name.split()[0] for name in perceived}) == len(perceived) == recordings, "nothing was done twice"
    assert not (tmp_path / "out" / ".unfinished").exists()
    with _running(tmp_path, "undisturbed") as process:
        _finish(process)
    disturbed, undisturbed = results_of(tmp_path / "out"), results_of(tmp_path / "undisturbed")
    assert sorted(disturbed) == sorted(undisturbed)
    for name, found in undisturbed.items():
        assert disturbed[name] == found, name


@pytest.mark.slow
def test_a_recording_that_kills_its_worker_is_given_up_after_three_attempts(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny", threshold=0.9)
    make_recordings(tmp_path / "in", 1, frames=600)
    killed: set[int] = set()
    with _running(tmp_path, "out") as process:
        for _ in range(3):
            _kill_worker(tmp_path, process, killed)
        said, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 1
    attempts = re.findall(r"its worker was killed \(SIGKILL, .*?\) \(attempt (\d) of 3, (.*?)\)", said)
    assert attempts == [("1", "tried again"), ("2", "tried again"), ("3", "given up")]
    assert _ledger(tmp_path, "SELECT state, attempts FROM recordings") == [("failed", 3)]


@pytest.mark.slow
def test_workers_end_with_a_killed_study_and_an_interrupted_one_goes_on(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny", threshold=0.9)
    make_recordings(tmp_path / "in", 2, frames=1500)
    with _running(tmp_path, "out") as process:
        assert _wait_for(process, lambda: len(_workers(tmp_path)) == 2)
        second = subprocess.run(
            _command(tmp_path, "out"), cwd=tmp_path, env=surroundings(), capture_output=True, text=True, check=False
        )
        assert second.returncode == 2
        assert f"out is being written by process {process.pid} (polypstream study" in second.stderr
        workers = _workers(tmp_path)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 130 and "interrupted: 0 of 2 procedures" in said
    assert not any(map(_is_alive, workers))
    assert _ledger(tmp_path, "SELECT state, attempts FROM recordings") == [("waiting", 0)] * 2
    with _running(tmp_path, "out") as process:
        assert _wait_for(process, lambda: len(_workers(tmp_path)) == 2)
        workers = _workers(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + _PATIENCE_S
        while any(map(_is_alive, workers)):
            assert time.monotonic() < deadline, "a worker goes on without its study"
            time.sleep(0.02)
