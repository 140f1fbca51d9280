"""What was sent of a command that did not come to its end, so that the same command goes on with the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from engine.files import make_folder
from engine.files.database import Database, Schema
from engine.folders import cache_folder
from stream.hospital.network.objects import DicomObject

_SCHEMA = Schema(
    1,
    """
CREATE TABLE sent (
    peer TEXT NOT NULL, instance TEXT NOT NULL, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    ended TEXT NOT NULL, PRIMARY KEY (peer, instance)
);
""",
    what="journal of what was sent",
    elsewhere="name another file with --journal",
    damaged="remove the file: objects may be sent twice, which does no harm",
)


def default_journal() -> Path:
    """Where the journal lies unless another place is named: for the user alone, in the cache folder."""
    return cache_folder() / "dicom-sent.sqlite"


class Journal(Database):
    """An open journal."""

    def __init__(self, path: Path) -> None:
        """Opens it, or makes a new one with its folder; arguments and errors as of `Database`."""
        make_folder(path.parent)
        super().__init__(path, _SCHEMA)

    def rest(self, peer: str, objects: Sequence[DicomObject]) -> list[DicomObject]:
        """The objects that a peer does not have from an earlier, unfinished run."""
        rows = self.all("SELECT instance, size_bytes, modified_ns FROM sent WHERE peer = ?", peer)
        sent = {(row["instance"], row["size_bytes"], row["modified_ns"]) for row in rows}
        return [one for one in objects if (str(one.sop_instance), one.size_bytes, one.modified_ns) not in sent]

    def add(self, peer: str, one: DicomObject) -> None:
        """Notes that a peer has an object."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with self.change() as change:
            change.execute(
                "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?)",
                (peer, str(one.sop_instance), one.size_bytes, one.modified_ns, now),
            )

    def forget(self, peer: str, objects: Iterable[DicomObject]) -> None:
        """Forgets objects: all of a command were sent, and the same command sends them anew."""
        with self.change() as change:
            change.executemany(
                "DELETE FROM sent WHERE peer = ? AND instance = ?", [(peer, str(one.sop_instance)) for one in objects]
            )
