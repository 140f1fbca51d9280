"""The judgements of a results folder in SQLite: one log for each reader and procedure, to which lines are only added.

Several processes may have the file open. What one of them writes the others see with their next question.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from engine.closing import Closing
from engine.errors import InputError
from engine.files.database import Database, Schema
from engine.reading.bounded import MALFORMED, reason_of
from stream.judgements.beginnings import digest_of, pack, signature_of, unpack
from stream.judgements.history import REFINE, Entry, History
from stream.judgements.state import Beginning

FILE = "review.sqlite"
"""Name of the file in the folder of the results."""
_KEPT = 64  # histories that are not read anew
_SCHEMA = Schema(
    version=1,
    tables="""
CREATE TABLE beginnings (digest TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE procedures (name TEXT PRIMARY KEY, beginning TEXT NOT NULL REFERENCES beginnings);
CREATE TABLE changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, procedure TEXT NOT NULL, reader TEXT NOT NULL,
    at TEXT NOT NULL, change TEXT NOT NULL, undoes INTEGER
);
CREATE INDEX changes_of ON changes (procedure, reader, number);
INSERT INTO facts VALUES ('id', lower(hex(randomblob(16))));
""",
    what="file of judgements",
    elsewhere="review other results",
    damaged="move it away",
    unsaved="the judgement is not saved: ",
    again="try again",
)


class ConflictError(InputError):
    """Somebody else has changed the review meanwhile.

    Attributes:
        history: as it is now.
    """

    def __init__(self, history: History) -> None:
        """Says so."""
        super().__init__("this review was changed in another window meanwhile; look at it again")
        self.history = history


@dataclass(frozen=True, slots=True)
class Review:
    """The review of a procedure by a reader.

    Attributes:
        history: its log, played.
        begun: whether anybody has judged this procedure, so that its beginning is fixed.
        changed: whether the results differ from those that the review began with.
    """

    history: History
    begun: bool
    changed: bool


class JudgementStore(Closing):
    """The judgements of a results folder. May be used from any thread."""

    def __init__(self, path: Path, *, only_read: bool = False) -> None:
        """Opens the file.

        Args:
            path: of the file; made where it is missing.
            only_read: read it only; it must be there.

        Raises:
            InputError: it is none, or of a newer version.
            WriteError: it cannot be made.
        """
        self.path = path
        self._lock = threading.RLock()
        self._histories: dict[tuple[str, str, str], History] = {}
        self._beginnings: dict[str, Beginning] = {}
        self._signatures: WeakKeyDictionary[Beginning, str] = WeakKeyDictionary()
        self._database = Database(path, _SCHEMA, only_read=only_read)

    def close(self) -> None:
        """Closes the file; more than one call does no harm."""
        self._database.close()

    @property
    def id(self) -> str:
        """What tells these judgements from those of other results, also when they are served at the same address."""
        return str(self._database.all("SELECT value FROM facts WHERE name = 'id'")[0]["value"])

    def procedures(self) -> list[str]:
        """Names of the procedures that were judged."""
        return [row["name"] for row in self._database.all("SELECT name FROM procedures ORDER BY name")]

    def readers(self, procedure: str | None = None) -> list[str]:
        """Names of those who judged; only those of a procedure, where one is named."""
        query = "SELECT DISTINCT reader FROM changes WHERE ?1 IS NULL OR procedure = ?1 ORDER BY reader"
        return [row["reader"] for row in self._database.all(query, procedure)]

    def revision(self, procedure: str) -> int:
        """Number of the last change of a procedure by anybody; 0 where nobody judged it."""
        found = self._database.all("SELECT max(number) AS last FROM changes WHERE procedure = ?", procedure)
        return int(found[0]["last"] or 0)

    def begun(self, procedure: str) -> Beginning | None:
        """What the reviews of a procedure began with; None where nobody judged it."""
        with self._lock:
            found = self._beginning(procedure)
        return None if found is None else found[1]

    def log(self, procedure: str, reader: str) -> list[Entry]:
        """All entries of a reader about a procedure, in order."""
        return self._entries(procedure, reader, 0)

    def history(self, procedure: str, reader: str) -> History | None:
        """The log of a reader about a procedure, played; None where nobody has judged the procedure."""
        with self._lock:
            kept = self._beginning(procedure)
            return None if kept is None else self._history(procedure, reader, *kept).copy()

    def review(self, procedure: str, reader: str, begin: Callable[[], Beginning]) -> Review:
        """The review of a procedure by a reader as it is now.

        Args:
            procedure: its name.
            reader: name of the reader.
            begin: gives what a review of the results would begin with now.
        """
        now = begin()  # it may take its time, and others do not wait for it
        with self._lock:
            kept = self._beginning(procedure)
            if kept is None:
                return Review(History(now), begun=False, changed=False)
            changed = self._signature(now) != self._signature(kept[1])
            return Review(self._history(procedure, reader, *kept).copy(), begun=True, changed=changed)

    def change(
        self,
        procedure: str,
        reader: str,
        revision: int,
        begin: Callable[[], Beginning],
        checked: Callable[[History], dict[str, Any]],
    ) -> tuple[History, int]:
        """Writes a change down.

        Args:
            procedure: its name.
            reader: name of the reader.
            revision: that the reader has seen.
            begin: as of `review`.
            checked: called with the history as it is; gives the change to write, or raises.

        Returns:
            The history with the change, and the number of its entry.

        Raises:
            ConflictError: the reader has not seen the newest changes.
            InputError: the change cannot be made.
            WriteError: it cannot be written; nothing has changed.
        """
        now = begin() if self.begun(procedure) is None else None
        with self._lock:  # until it is read again: the caller sees nobody's later change
            with self._database.change() as database:
                digest, beginning = self._beginning(procedure) or self._fix(database, procedure, now or begin())
                history = self._history(procedure, reader, digest, beginning)
                # A refinement by the detector is no change of the reader's: nobody has to look again for it.
                if revision > history.revision or revision < history.last_by_reader:
                    raise ConflictError(history.copy())
                change = checked(history)
                number = self._write(database, procedure, reader, change, history.of(change["do"]))
            return self._history(procedure, reader, digest, beginning).copy(), number

    def refine(self, procedure: str, reader: str, number: int, boxes: dict[str, list[float]]) -> None:
        """Writes down what the detector found in the boxes of an added finding.

        Args:
            procedure: its name.
            reader: name of the reader.
            number: of the entry that added it.
            boxes: x0, y0, x1, y1 and score, by the index of the frame in the recording.

        Raises:
            WriteError: it cannot be written.
        """
        with self._lock, self._database.change() as database:
            self._write(database, procedure, reader, {"do": REFINE, "boxes": boxes}, number)

    def _history(self, procedure: str, reader: str, digest: str, beginning: Beginning) -> History:
        """The history as the file has it now; only what is new is read."""
        key = procedure, reader, digest
        history = self._histories.pop(key, None) or History(beginning)
        for entry in self._entries(procedure, reader, history.last_number):
            history.play(entry)
        self._histories[key] = history
        while len(self._histories) > _KEPT:
            del self._histories[next(iter(self._histories))]
        return history

    def _entries(self, procedure: str, reader: str, after: int) -> list[Entry]:
        rows = self._database.all(
            "SELECT number, at, change, undoes FROM changes WHERE procedure = ? AND reader = ? AND number > ? "
            "ORDER BY number",
            *(procedure, reader, after),
        )
        return [Entry(row["number"], row["at"], json.loads(row["change"]), row["undoes"]) for row in rows]

    def _beginning(self, procedure: str) -> tuple[str, Beginning] | None:
        rows = self._database.all("SELECT beginning FROM procedures WHERE name = ?", procedure)
        if not rows:
            return None
        digest = str(rows[0]["beginning"])
        if digest not in self._beginnings:
            (kept,) = self._database.all("SELECT content FROM beginnings WHERE digest = ?", digest)
            try:
                self._beginnings[digest] = unpack(kept["content"])
            except MALFORMED as error:
                raise InputError(
                    f"what the review of {procedure} began with cannot be read from {self.path}: {reason_of(error)}"
                ) from error
        return digest, self._beginnings[digest]

    def _signature(self, beginning: Beginning) -> str:
        if beginning not in self._signatures:
            self._signatures[beginning] = signature_of(beginning)
        return self._signatures[beginning]

    def _fix(self, database: sqlite3.Connection, procedure: str, beginning: Beginning) -> tuple[str, Beginning]:
        """Keeps what the review begins with."""
        content = pack(beginning)
        digest = digest_of(content)
        database.execute("INSERT OR IGNORE INTO beginnings VALUES (?, ?)", (digest, content))
        database.execute("INSERT INTO procedures VALUES (?, ?)", (procedure, digest))
        return digest, unpack(content)

    def _write(
        self, database: sqlite3.Connection, procedure: str, reader: str, change: dict[str, Any], of: int | None
    ) -> int:
        row = procedure, reader, _now(), json.dumps(change, allow_nan=False), of
        done = database.execute(
            "INSERT INTO changes (procedure, reader, at, change, undoes) VALUES (?, ?, ?, ?, ?)", row
        )
        assert done.lastrowid is not None
        return done.lastrowid


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
