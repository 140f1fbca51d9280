"""The listener's queue: objects that came, and how the study of each stands, in SQLite.

A peer is told that an object is stored when its file is on the disk and it stands here. So a process that is killed at
any moment goes on where it was, and what was not acknowledged is sent again by the peer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from engine.files.database import Database, Schema
from stream.hospital.network.objects import DicomObject
from stream.hospital.network.syntaxes import VIDEO_CLASSES

_OBJECTS = """
CREATE TABLE objects (
    instance TEXT NOT NULL, study TEXT NOT NULL, sop_class TEXT NOT NULL, syntax TEXT NOT NULL, path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, place TEXT NOT NULL, caller TEXT NOT NULL, came_s REAL NOT NULL,
    PRIMARY KEY (study, instance)
)"""
_SCHEMA = Schema(
    2,
    f"""{_OBJECTS};
CREATE TABLE studies (
    study TEXT PRIMARY KEY, state TEXT NOT NULL, changed_s REAL NOT NULL, attempts INTEGER NOT NULL,
    next_s REAL NOT NULL, error TEXT
);
""",
    what="queue of a listener",
    elsewhere="name another folder with --output",
    damaged="name another folder with --output; the objects that came are whole, and can be sent to that one",
    upgrades={
        # An object was known by its own UID alone, so that of two studies with one UID the later took its place.
        1: ";".join(
            (
                "ALTER TABLE objects RENAME TO old",
                _OBJECTS,
                "INSERT INTO objects SELECT * FROM old",
                "DROP TABLE old",
            )
        ),
    },
)
#: Waits before a failed step is tried again, in seconds; the last one for all that follow.
_WAITS_S = (10.0, 30.0, 60.0, 300.0, 600.0)


class Stage(str, Enum):
    """How a study stands."""

    COMING = "coming"
    LOOKING = "to be looked at"
    SENDING = "to be sent"
    DONE = "done"
    KEPT = "kept, holds no video"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StudyEntry:
    """A study in the queue.

    Attributes:
        study: its UID.
        stage: how it stands.
        changed_s: when its last object came, in seconds since 1970.
        attempts: that failed at this stage.
        next_s: when it is tried again, in seconds since 1970.
        error: why the last attempt failed.
        objects: that came.
        videos: of them.
    """

    study: str
    stage: Stage
    changed_s: float
    attempts: int
    next_s: float
    error: str | None
    objects: int
    videos: int


class Queue(Database):
    """An open queue."""

    def __init__(self, path: Path) -> None:
        """Opens it, or makes a new one; arguments and errors as of `Database`."""
        super().__init__(path, _SCHEMA)

    def add(self, one: DicomObject, path: Path, caller: str) -> None:
        """Notes an object that is on the disk. A video makes its study one that is coming, whatever it was before.

        What else comes of a study that was complete changes nothing of how it stands: nothing in it is looked at. An
        archive that hands our own results on to us would have us look at the same videos for ever.

        Args:
            one: the object.
            path: of its file, in the folder of the queue.
            caller: AE title of who sent it.
        """
        now_s = time.time()
        with self.change() as change:
            change.execute(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    str(one.sop_instance),
                    one.study,
                    str(one.sop_class),
                    str(one.syntax),
                    path.as_posix(),
                    one.size_bytes,
                    " ".join(one.order),
                    caller,
                    now_s,
                ),
            )
            change.execute(
                "INSERT INTO studies VALUES (?1, ?2, ?3, 0, 0, NULL) ON CONFLICT (study) DO UPDATE "
                "SET state = ?2, changed_s = ?3, attempts = 0, next_s = 0, error = NULL WHERE state = ?2 OR ?4",
                (one.study, Stage.COMING.value, now_s, one.sop_class in VIDEO_CLASSES),
            )

    def paths(self) -> set[Path]:
        """Files of all objects, in the folder of the queue."""
        return {Path(row["path"]) for row in self.all("SELECT path FROM objects")}

    def other_studies(self, one: DicomObject) -> list[str]:
        """Studies that an object of the same UID came in, but for its own. There should be none: UIDs are unique."""
        query = "SELECT study FROM objects WHERE instance = ? AND study <> ?"
        return [row["study"] for row in self.all(query, str(one.sop_instance), one.study)]

    def knows(self, path: Path) -> bool:
        """Whether a file, in the folder of the queue, is that of an object."""
        return bool(self.all("SELECT 1 FROM objects WHERE path = ?", path.as_posix()))

    def videos(self, study: str) -> list[Path]:
        """Files of the videos of a study, in the folder of the queue, in the order of time."""
        marks = ", ".join("?" * len(VIDEO_CLASSES))
        query = f"SELECT path FROM objects WHERE study = ? AND sop_class IN ({marks}) ORDER BY place, path"  # nosec B608
        return [Path(row["path"]) for row in self.all(query, study, *map(str, VIDEO_CLASSES))]

    def studies(self) -> list[StudyEntry]:
        """All studies, in the order in which they began to come."""
        marks = ", ".join("?" * len(VIDEO_CLASSES))
        query = (
            "SELECT studies.*, count(*) AS objects, sum(sop_class IN "  # nosec B608
            f"({marks})) AS videos FROM studies JOIN objects USING (study) GROUP BY study ORDER BY studies.rowid"
        )
        return [_entry(row) for row in self.all(query, *map(str, VIDEO_CLASSES))]

    def due(self, stage: Stage) -> list[StudyEntry]:
        """The studies at a stage whose time has come."""
        now_s = time.time()
        return [one for one in self.studies() if one.stage is stage and one.next_s <= now_s]

    def settle(self, quiet_s: float) -> Sequence[StudyEntry]:
        """The studies of which nothing came for so long: they are complete, and go on.

        Returns:
            As they stood.
        """
        now_s = time.time()
        settled = [one for one in self.due(Stage.COMING) if one.changed_s <= now_s - quiet_s]
        for one in settled:
            self.set_stage(one, Stage.LOOKING if one.videos else Stage.KEPT)
        return settled

    def set_stage(self, one: StudyEntry, stage: Stage, *, error: str | None = None) -> bool:
        """Moves a study on, unless more of it came meanwhile.

        Returns:
            Whether it was moved.
        """
        return self._update(one, "state = ?, attempts = 0, next_s = 0, error = ?", (stage.value, error))

    def put_off(self, one: StudyEntry, error: str) -> float:
        """Notes a failed attempt, and returns the seconds until the next one."""
        wait_s = _WAITS_S[min(one.attempts, len(_WAITS_S) - 1)]
        self._update(one, "attempts = attempts + 1, next_s = ?, error = ?", (time.time() + wait_s, error))
        return wait_s

    def _update(self, one: StudyEntry, values: str, given: tuple[Any, ...]) -> bool:
        with self.change() as change:
            done = change.execute(
                f"UPDATE studies SET {values} WHERE study = ? AND state = ? AND changed_s = ?",  # nosec B608
                (*given, one.study, one.stage.value, one.changed_s),
            )
            return done.rowcount == 1


def _entry(row: dict[str, Any]) -> StudyEntry:
    return StudyEntry(
        study=row["study"],
        stage=Stage(row["state"]),
        changed_s=row["changed_s"],
        attempts=row["attempts"],
        next_s=row["next_s"],
        error=row["error"],
        objects=row["objects"],
        videos=row["videos"] or 0,
    )
