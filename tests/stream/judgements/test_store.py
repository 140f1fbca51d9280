"""The file of judgements: what a full disk, a newer version and a foreign file do to it (nothing is lost)."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import InputError
from stream.judgements.store import FILE, ConflictError, JudgementStore
from tests.kit.judged import beginning

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of processes")

_FULL = """
import resource, signal, sys
from pathlib import Path
from engine.errors import WriteError
from stream.judgements.store import JudgementStore
from tests.kit.judged import beginning

path = Path(sys.argv[1])
start = beginning()
with JudgementStore(path) as store:
    revision = store.history("exam", "Ann").revision
    change = {"do": "judge", "finding": "1", "field": "text", "value": "x" * 3000}
    largest = max(one.stat().st_size for one in path.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20_000, resource.RLIM_INFINITY))
    for attempt in range(1000):
        try:
            history, _ = store.change("exam", "Ann", revision, lambda: start, lambda history: change)
        except WriteError as error:
            print("said:", error)
            break
        revision = history.revision
    assert store.history("exam", "Ann").revision == revision
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    history, _ = store.change("exam", "Ann", revision, lambda: start, lambda history: change)
    print("revision:", history.revision, "saved before:", revision)
"""


def _judge(store: JudgementStore, text: str, reader: str = "Ann") -> int:
    start = beginning()
    history = store.history("exam", reader)
    change = {"do": "judge", "finding": "1", "field": "text", "value": text}
    revision = 0 if history is None else history.revision
    return store.change("exam", reader, revision, lambda: start, lambda history: change)[0].revision


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    with JudgementStore(tmp_path / FILE) as store:
        _judge(store, "before")
    done = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path / FILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, told = done.stdout.splitlines()
    assert "the judgement is not saved" in said and "free space" in said
    before = int(told.rpartition(" ")[2])
    assert before > 1
    with JudgementStore(tmp_path / FILE, only_read=True) as store:
        history = store.history("exam", "Ann")
        assert history is not None and history.revision == before + 1


def test_readers_are_independent(tmp_path: Path) -> None:
    with JudgementStore(tmp_path / FILE) as store:
        assert _judge(store, "hers") == 1
        assert _judge(store, "his", "Bob") == 1
        hers, his = store.history("exam", "Ann"), store.history("exam", "Bob")
        assert hers is not None and his is not None
        assert (hers.state.findings["1"].text, his.state.findings["1"].text) == ("hers", "his")
        assert store.readers("exam") == ["Ann", "Bob"] and store.procedures() == ["exam"]


def test_a_history_that_was_given_out_stays_as_it_was(tmp_path: Path) -> None:
    with JudgementStore(tmp_path / FILE) as store:
        _judge(store, "first")
        before = store.history("exam", "Ann")
        _judge(store, "second")
        assert before is not None and before.revision == 1
        assert before.state.findings["1"].text == "first"


def test_an_unseen_change_is_a_conflict(tmp_path: Path) -> None:
    with JudgementStore(tmp_path / FILE) as one, JudgementStore(tmp_path / FILE) as other:
        _judge(one, "first")
        with pytest.raises(ConflictError) as caught:
            other.change("exam", "Ann", 0, beginning, lambda history: {"do": "undo"})
        assert caught.value.history.state.findings["1"].text == "first"
        with pytest.raises(InputError, match="nothing to do again"):
            other.change("exam", "Ann", 1, beginning, lambda history: {"do": "redo"})


def test_a_review_goes_on_with_what_it_began_with(tmp_path: Path) -> None:
    with JudgementStore(tmp_path / FILE) as store:
        _judge(store, "first")
        assert not store.review("exam", "Ann", beginning).changed
        other = beginning()
        now = type(other)(other.recordings, other.times_s, other.findings[:1])
        review = store.review("exam", "Ann", lambda: now)
        assert review.changed and set(review.history.state.findings) == {"1", "2", "3"}


def test_a_newer_version_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    JudgementStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(InputError, match="newer version"):
        JudgementStore(path)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="cannot be read as a file of judgements"):
        JudgementStore(path)
