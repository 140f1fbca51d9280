"""The ledger of a study: how each recording and each procedure stands, in SQLite, so that nothing is lost or doubled.

One process writes: the one that holds the folder. Others may read at any time. Every change is a transaction of its
own, so that a killed process leaves a ledger that says what was so.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from engine.files.database import Database, Schema

FORMAT = 1
"""Version of the ledger's tables; a newer one is refused."""

_TABLES = """
CREATE TABLE procedures (
    name TEXT PRIMARY KEY, folder TEXT NOT NULL UNIQUE, listed TEXT NOT NULL,
    state TEXT NOT NULL, key TEXT, attempts INTEGER NOT NULL, error TEXT, ended TEXT, present INTEGER NOT NULL
);
CREATE TABLE recordings (
    path TEXT PRIMARY KEY, procedure TEXT NOT NULL, position INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, same_as TEXT, duration_s REAL,
    state TEXT NOT NULL, key TEXT, settings TEXT, attempts INTEGER NOT NULL, error TEXT,
    frames INTEGER, seconds REAL, worker TEXT, started TEXT, ended TEXT, present INTEGER NOT NULL
);
CREATE TABLE left_out (path TEXT PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_SCHEMA = Schema(
    FORMAT,
    _TABLES,
    what="ledger of a study",
    elsewhere="name another folder with --output",
    damaged="name another folder with --output, or remove the file: what was perceived stays, and only reports are "
    "made anew",
)


class State(str, Enum):
    """How a recording or a procedure stands."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


#: Where each state may go. What is done or has failed waits again when what it depends on has changed.
_NEXT = {
    State.WAITING: {State.WORKING, State.DONE, State.FAILED, State.WAITING},
    State.WORKING: {State.WAITING, State.DONE, State.FAILED},
    State.DONE: {State.WAITING, State.DONE},
    State.FAILED: {State.WAITING, State.DONE, State.FAILED},
}


@dataclass(frozen=True, slots=True)
class RecordingEntry:
    """A recording in the ledger.

    Attributes:
        path: of the file.
        procedure: that it belongs to.
        position: in the procedure, from 0.
        size_bytes: of the file.
        modified_ns: when it was changed last, as the system counts.
        sha256: of its first and last MiB and its size; of the whole file where another file has the same ends.
        same_as: path of the recording whose bytes these are too; None for none.
        duration_s: length in seconds; None when it is not known.
        state: how it stands.
        key: of what was, or is to be, perceived in it.
        settings: fingerprint of what perceives.
        attempts: that failed.
        error: why it failed; or, where it is done, what is wrong with it.
        frames: that were looked at.
        seconds: that it took.
        worker: that has it, or had it.
        started: when work on it began.
        ended: when it ended.
        present: whether it belongs to the study as it is now.
    """

    path: str
    procedure: str
    position: int
    size_bytes: int
    modified_ns: int
    sha256: str
    same_as: str | None = None
    duration_s: float | None = None
    state: State = State.WAITING
    key: str | None = None
    settings: str | None = None
    attempts: int = 0
    error: str | None = None
    frames: int | None = None
    seconds: float | None = None
    worker: str | None = None
    started: str | None = None
    ended: str | None = None
    present: bool = True


@dataclass(frozen=True, slots=True)
class ProcedureEntry:
    """A procedure in the ledger.

    Attributes:
        name: of it.
        folder: name of its folder.
        listed: what a list says of it, by column.
        state: how it stands.
        key: of what it was concluded from.
        attempts: that failed.
        error: why it failed.
        ended: when it was concluded.
        present: whether it belongs to the study as it is now.
    """

    name: str
    folder: str
    listed: Mapping[str, str] = field(default_factory=dict)
    state: State = State.WAITING
    key: str | None = None
    attempts: int = 0
    error: str | None = None
    ended: str | None = None
    present: bool = True


class Ledger(Database):
    """An open ledger. Used from one thread."""

    def __init__(self, path: Path) -> None:
        """Opens it, or makes a new one; arguments and errors as of `Database`."""
        super().__init__(path, _SCHEMA)

    def recordings(self) -> list[RecordingEntry]:
        """All recordings of the study as it is now, by procedure and position."""
        rows = self.all("SELECT * FROM recordings WHERE present ORDER BY rowid")
        return [RecordingEntry(**{**row, "state": State(row["state"]), "present": True}) for row in rows]

    def procedures(self) -> list[ProcedureEntry]:
        """All procedures of the study as it is now, in the order in which they were listed."""
        return [_procedure(row) for row in self.all("SELECT * FROM procedures WHERE present ORDER BY rowid")]

    def left_out(self) -> dict[str, str]:
        """Files that are no recordings, each with the reason."""
        return {row["path"]: row["reason"] for row in self.all("SELECT * FROM left_out ORDER BY path")}

    def settings(self) -> dict[str, str]:
        """Settings of the last run, by name."""
        return {row["name"]: row["value"] for row in self.all("SELECT * FROM settings ORDER BY name")}

    def known(self) -> tuple[dict[str, RecordingEntry], dict[str, ProcedureEntry]]:
        """Recordings by path and procedures by name, also those that are no longer in the study."""
        recordings = self.all("SELECT * FROM recordings")
        return (
            {
                row["path"]: RecordingEntry(**{**row, "state": State(row["state"]), "present": bool(row["present"])})
                for row in recordings
            },
            {row["name"]: _procedure(row) for row in self.all("SELECT * FROM procedures")},
        )

    def take_in(
        self,
        procedures: Sequence[ProcedureEntry],
        recordings: Sequence[RecordingEntry],
        left_out: Mapping[str, str],
        settings: Mapping[str, str],
    ) -> None:
        """Makes these the study: what is not among them stays in the ledger and is no longer present."""
        with self.change() as change:
            change.execute("UPDATE procedures SET present = 0")
            change.execute("UPDATE recordings SET present = 0")
            for procedure in procedures:
                _put(change, "procedures", _procedure_row(procedure))
            for recording in recordings:
                _put(change, "recordings", _recording_row(recording))
            for table, names, rows in (
                ("left_out", "(path, reason)", left_out),
                ("settings", "(name, value)", settings),
            ):
                change.execute(f"DELETE FROM {table}")  # nosec B608
                change.executemany(f"INSERT INTO {table} {names} VALUES (?, ?)", rows.items())  # nosec B608

    def set_recording(self, path: str, state: State, **values: Any) -> None:
        """Changes how a recording stands.

        Args:
            path: of the recording.
            state: how it stands from now on.
            values: other columns, by name.
        """
        self._set("recordings", "path", path, state, values)

    def set_procedure(self, name: str, state: State, **values: Any) -> None:
        """Changes how a procedure stands; arguments as of `set_recording`."""
        self._set("procedures", "name", name, state, values)

    def _set(self, table: str, column: str, entry: str, state: State, values: Mapping[str, Any]) -> None:
        with self.change() as change:
            row = change.execute(f"SELECT state FROM {table} WHERE {column} = ?", (entry,)).fetchone()  # nosec B608
            if row is None or state not in _NEXT[State(row["state"])]:
                raise ValueError(f"{entry} cannot go from {None if row is None else row['state']} to {state.value}")
            changed = {"state": state.value, **values}
            names = ", ".join(f"{name} = ?" for name in changed)
            change.execute(
                f"UPDATE {table} SET {names} WHERE {column} = ?",  # nosec B608
                (*changed.values(), entry),
            )


def _procedure(row: Mapping[str, Any]) -> ProcedureEntry:
    return ProcedureEntry(
        **{
            **row,
            "listed": json.loads(row["listed"]),
            "state": State(row["state"]),
            "present": bool(row["present"]),
        }
    )


def _procedure_row(entry: ProcedureEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "folder": entry.folder,
        "listed": json.dumps(dict(entry.listed)),
        "state": entry.state.value,
        "key": entry.key,
        "attempts": entry.attempts,
        "error": entry.error,
        "ended": entry.ended,
        "present": int(entry.present),
    }


def _recording_row(entry: RecordingEntry) -> dict[str, Any]:
    names = RecordingEntry.__slots__
    return {name: getattr(entry, name) for name in names} | {"state": entry.state.value, "present": int(entry.present)}


def _put(change: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """Writes a row, anew at the end: the order of the rows is that of the listing."""
    names = ", ".join(row)
    places = ", ".join("?" * len(row))
    change.execute(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({places})", tuple(row.values()))  # nosec B608
