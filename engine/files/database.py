"""A small SQLite file that one process writes and others may read, so that nothing is lost or doubled.

Every change is a transaction of its own that is on the disk when it returns: a killed process leaves a file that says
what was so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.closing import Closing
from engine.errors import InputError, WriteError

#: Others who read the file may hold up its writer for a moment.
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Schema:
    """What stands in a kind of database, and what is said where a file is none of this kind.

    Attributes:
        version: of the tables; a file of a newer one is refused.
        tables: SQL that makes them.
        what: the file is, as in "ledger of a study".
        elsewhere: how to name another file, as in "name another folder with --output".
        damaged: what to do with a damaged file.
    """

    version: int
    tables: str
    what: str
    elsewhere: str
    damaged: str


class Database(Closing):
    """An open file. Used from one thread."""

    def __init__(self, path: Path, schema: Schema) -> None:
        """Opens it, or makes a new one.

        Args:
            path: of the file.
            schema: of its tables.

        Raises:
            InputError: it is of another kind, or of a newer version.
            WriteError: it cannot be made.
        """
        self.path, self._schema = path, schema
        with self._errors():
            self._database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
            self._database.row_factory = sqlite3.Row
        try:
            with self._errors():
                self._begin()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Closes the file; more than one call does no harm."""
        self._database.close()

    def all(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query, by column."""
        with self._errors():
            return [dict(row) for row in self._database.execute(query, values)]

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the `with` block is written, or, where it raises, nothing."""
        with self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _begin(self) -> None:
        schema = self._schema
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.version:
            raise InputError(
                f"{self.path} is of a newer version of polypstream (format {version}, this one knows "
                f"{schema.version}); install that version, or {schema.elsewhere}"
            )
        if version == 0 and self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise InputError(f"{self.path} is no {schema.what}; {schema.elsewhere}")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        if version == 0:
            self._database.executescript(f"BEGIN; {schema.tables} PRAGMA user_version = {schema.version}; COMMIT;")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise WriteError(
                f"cannot write {self.path}: {error}; free space or check the rights, and run the same command again"
            ) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path} cannot be read as a {self._schema.what} ({error}); {self._schema.damaged}"
            ) from error
