"""The ledger: states, versions, and what a killed process leaves."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import InputError
from stream.study.ledger import FORMAT, Ledger, ProcedureEntry, RecordingEntry, State

_PROCEDURE = ProcedureEntry("exam", "exam", {"site": "north"})
_RECORDING = RecordingEntry("/in/exam.mp4", "exam", 0, 10, 20, "ab", duration_s=1.5)


def _filled(path: Path) -> Ledger:
    ledger = Ledger(path)
    ledger.take_in([_PROCEDURE], [_RECORDING], {"/in/a.txt": "no video"}, {"model": "polyp"})
    return ledger


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with _filled(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_recording("/in/exam.mp4", State.WORKING, worker="process 7")
        ledger.set_recording("/in/exam.mp4", State.DONE, frames=30)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.recordings() == [replace(_RECORDING, state=State.DONE, worker="process 7", frames=30)]
        assert ledger.procedures() == [_PROCEDURE]
        assert (ledger.left_out(), ledger.settings()) == ({"/in/a.txt": "no video"}, {"model": "polyp"})


def test_what_left_the_study_is_not_forgotten(tmp_path: Path) -> None:
    with _filled(tmp_path / "ledger.sqlite") as ledger:
        ledger.take_in([], [], {}, {})
        assert (ledger.recordings(), ledger.procedures()) == ([], [])
        recordings, procedures = ledger.known()
        assert recordings["/in/exam.mp4"] == replace(_RECORDING, present=False)
        assert procedures["exam"] == replace(_PROCEDURE, present=False)


def test_states_change_in_their_order(tmp_path: Path) -> None:
    with _filled(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_recording("/in/exam.mp4", State.DONE)
        with pytest.raises(ValueError, match="cannot go from done to working"):
            ledger.set_recording("/in/exam.mp4", State.WORKING)
        with pytest.raises(ValueError, match="cannot go from None to done"):
            ledger.set_procedure("other", State.DONE)
        assert ledger.recordings()[0].state is State.DONE


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    with _filled(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(InputError):
            ledger.take_in([_PROCEDURE, replace(_PROCEDURE, name="b", folder=None)], [], {}, {})  # type: ignore[arg-type]
        assert ledger.recordings() == [_RECORDING]


def test_others_read_while_it_is_written(tmp_path: Path) -> None:
    with _filled(tmp_path / "ledger.sqlite") as ledger:
        reader = sqlite3.connect(tmp_path / "ledger.sqlite")
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        ledger.set_procedure("exam", State.WORKING)
        assert reader.execute("SELECT state FROM procedures").fetchall() == [("working",)]
        reader.close()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (f"PRAGMA user_version = {FORMAT + 1}", "is of a newer version of polypstream"),
        ("CREATE TABLE others (name TEXT)", "is no ledger of a study"),
    ],
)
def test_ledgers_of_others_are_refused(tmp_path: Path, prepare: str, said: str) -> None:
    path = tmp_path / "ledger.sqlite"
    database = sqlite3.connect(path)
    database.execute(prepare)
    database.commit()
    database.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=said):
        Ledger(path)
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("no database " * 100)
    with pytest.raises(InputError, match="cannot be read as a ledger"):
        Ledger(tmp_path / "ledger.sqlite")
