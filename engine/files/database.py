"""A small SQLite file that processes write and read together, so that nothing is lost or doubled.

Every change is a transaction of its own that is on the disk when it returns: a killed process leaves a file that says
what was so.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.closing import Closing
from engine.errors import InputError, WriteError
from engine.files.modes import file_mode

#: Others who use the file may hold up its writer for a moment.
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Schema:
    """What stands in a kind of database, and what is said where a file is none of this kind.

    Attributes:
        version: of the tables; a file of a newer one is refused.
        tables: SQL that makes them; no semicolon but at the end of a statement.
        what: the file is, as in "ledger of a study".
        elsewhere: how to name another file, as in "name another folder with --output".
        damaged: what to do with a damaged file.
        unsaved: said before a fault of writing.
        again: what to do when the fault is mended.
        upgrades: SQL that makes a file of an older version one of the next, by the older version.
    """

    version: int
    tables: str
    what: str
    elsewhere: str
    damaged: str
    unsaved: str = ""
    again: str = "run the same command again"
    upgrades: Mapping[int, str] = field(default_factory=dict)


class Database(Closing):
    """An open file. May be used from any thread."""

    def __init__(self, path: Path, schema: Schema, *, only_read: bool = False) -> None:
        """Opens it, or makes a new one, for the user alone.

        Args:
            path: of the file.
            schema: of its tables.
            only_read: read it only; it must be there.

        Raises:
            InputError: it is of another kind, or of a newer version.
            WriteError: it cannot be made.
        """
        self.path, self._schema = path, schema
        self._lock = threading.RLock()
        with self._errors():
            if not only_read and not path.exists():
                path.touch(mode=file_mode())
            self._database = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={'ro' if only_read else 'rw'}",
                uri=True,
                timeout=_PATIENCE_S,
                isolation_level=None,
                check_same_thread=False,
            )
            self._database.row_factory = sqlite3.Row
        try:
            with self._errors():
                self._begin(only_read=only_read)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Closes the file; more than one call does no harm."""
        with self._lock:
            self._database.close()

    def all(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query, by column."""
        with self._lock, self._errors():
            return [dict(row) for row in self._database.execute(query, values)]

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the `with` block is written, or, where it raises, nothing."""
        with self._lock, self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def _begin(self, *, only_read: bool) -> None:
        schema = self._schema
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.version:
            raise InputError(
                f"{self.path} is of a newer version of polypstream (format {version}, this one knows "
                f"{schema.version}); install that version, or {schema.elsewhere}"
            )
        tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and (tables or only_read):
            raise InputError(f"{self.path} is no {schema.what}; {schema.elsewhere}")
        if only_read:
            return
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        if version < schema.version:
            with self.change() as database:
                # Another process may have made them in this moment.
                version = database.execute("PRAGMA user_version").fetchone()[0]
                texts = (
                    [schema.upgrades[older] for older in range(version, schema.version)] if version else [schema.tables]
                )
                for statement in ";".join(texts).split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {schema.version}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise WriteError(self._not_written(str(error))) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path} cannot be read as a {self._schema.what} ({error}); {self._schema.damaged}"
            ) from error
        except OSError as error:
            raise WriteError(self._not_written(error.strerror or str(error))) from error

    def _not_written(self, why: str) -> str:
        schema = self._schema
        return f"{schema.unsaved}cannot write {self.path}: {why}; free space or check the rights, and {schema.again}"
