"""Objects fetched from an archive (C-GET, or C-MOVE to a listener of our own), written as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from engine.errors import InputError
from engine.files import claim_folder
from engine.interrupts import check
from stream.hospital.network.associations import NetworkError, associated
from stream.hospital.network.finding import Level, said_of, speaks, status_of
from stream.hospital.network.objects import DicomObject
from stream.hospital.network.peers import Connection
from stream.hospital.network.spooling import SpooledObject, is_uid, spooled_into
from stream.hospital.network.storing import Door, listening, store_handlers
from stream.hospital.network.syntaxes import PLAIN_SYNTAXES, STUDY_GET, STUDY_MOVE, fetched_contexts, taken_contexts

_PENDING = 0xFF00
_WITH_FAILURES = 0xB000
_SPOOL = ".incoming"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is fetched: a study, one of its series, or one object.

    Attributes:
        study: UID.
        series: UID; None for all.
        instance: UID; None for all of the series.
    """

    study: str
    series: str | None = None
    instance: str | None = None

    def __post_init__(self) -> None:
        """Check the UIDs. Raises InputError."""
        if self.instance is not None and self.series is None:
            raise InputError("--instance names an object of a series; name that with --series")
        for name, uid in (("STUDY", self.study), ("--series", self.series), ("--instance", self.instance)):
            if uid is not None and not is_uid(uid):
                raise InputError(f"{name} must be a UID, of digits and points. Received: {uid!r}")

    @property
    def level(self) -> Level:
        """Of what is fetched."""
        if self.instance is not None:
            return Level.IMAGE
        return Level.STUDY if self.series is None else Level.SERIES


@dataclass(slots=True)
class Got:
    """What came.

    Attributes:
        files: that were written.
        there: that had been there already, and stayed as they were.
        failures: reasons why objects were not written.
        announced: objects that the archive said it sends; None where it did not say.
        failed: objects that the archive could not send.
    """

    files: list[Path] = field(default_factory=list)
    there: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    announced: int | None = None
    failed: int = 0


#: Told, of what came so far, after each object; from a thread of the network.
GotListener = Callable[[Got], object]


def get(
    wanted: Wanted,
    connection: Connection,
    output: Path,
    *,
    move_to: tuple[str, int] | None = None,
    overwrite: bool = False,
    on_progress: GotListener,
) -> Got:
    """Fetches objects into OUTPUT/STUDY/OBJECT.dcm.

    Args:
        wanted: what to fetch.
        connection: from whom.
        output: folder to write to.
        move_to: host and port that we listen on for C-MOVE; None for C-GET. The archive must know our title by it.
        overwrite: replace files that are there.
        on_progress: told how far it is.

    Returns:
        What came.

    Raises:
        OutputError: the folder cannot be written.
        NetworkError: the connection failed or the archive refused; files that came whole are there.
    """
    got = Got()
    with claim_folder(output), spooled_into(output / _SPOOL) as spool:
        keep = _Keeper(output, overwrite, got, on_progress)
        if move_to is None:
            _c_get(wanted, connection, store_handlers(spool, keep), got, on_progress)
        else:
            door = Door(*move_to, connection.title, connection.security, timeout_s=connection.timeout_s)
            with listening(door, taken_contexts(), spool, keep, remedy="give another port with --move"):
                _c_move(wanted, connection, got, on_progress)
    return got


class _Keeper:
    """Gives what comes its name."""

    def __init__(self, output: Path, overwrite: bool, got: Got, on_progress: GotListener) -> None:
        self._output, self._overwrite, self._got, self._on_progress = output, overwrite, got, on_progress
        self._lock = threading.Lock()

    def __call__(self, found: DicomObject, spooled: SpooledObject, caller: str) -> None:
        target = self._output / found.study / f"{found.sop_instance}.dcm"
        with self._lock:
            if target.exists() and not self._overwrite:
                self._got.there.append(target)
            else:
                spooled.finish(target)
                self._got.files.append(target)
        self._on_progress(self._got)


def _identifier(wanted: Wanted) -> Dataset:
    identifier: Any = Dataset()
    identifier.QueryRetrieveLevel = wanted.level.value.upper()
    identifier.StudyInstanceUID = wanted.study
    if wanted.series is not None:
        identifier.SeriesInstanceUID = wanted.series
    if wanted.instance is not None:
        identifier.SOPInstanceUID = wanted.instance
    return identifier  # type: ignore[no-any-return]


def _c_get(
    wanted: Wanted,
    connection: Connection,
    handlers: list[tuple[Any, ...]],
    got: Got,
    on_progress: GotListener,
) -> None:
    contexts = [(STUDY_GET, list(PLAIN_SYNTAXES[:2])), *fetched_contexts()]
    with associated(connection, contexts, handlers=handlers, stored=True) as association:
        if not any(one.abstract_syntax == STUDY_GET for one in association.accepted_contexts):
            raise NetworkError(f"{connection.peer} does not send what is asked for (C-GET); try --move")
        answers = association.send_c_get(_identifier(wanted), STUDY_GET)
        remedy = "it may have no such objects (see `polypstream dicom find`), or try --move"
        _follow(answers, connection, got, on_progress, remedy=remedy)


def _c_move(wanted: Wanted, connection: Connection, got: Got, on_progress: GotListener) -> None:
    with (
        speaks(connection, "C-MOVE (Study Root)", remedy="leave --move out"),
        associated(connection, [(STUDY_MOVE, PLAIN_SYNTAXES[:2])]) as association,
    ):
        answers = association.send_c_move(_identifier(wanted), connection.title, STUDY_MOVE)
        remedy = (
            f"it may have no such objects; or let its settings name {connection.title} with this machine's address and "
            "the port of --move"
        )
        _follow(answers, connection, got, on_progress, remedy=remedy)


def _follow(
    answers: Iterator[tuple[Dataset, Dataset | None]],
    connection: Connection,
    got: Got,
    on_progress: GotListener,
    *,
    remedy: str,
) -> None:
    """Follows the answers of an archive to the last one."""
    for status, _ in answers:
        check()
        code = status_of(status, connection, "objects were fetched")
        counts = [status.get(f"NumberOf{which}Suboperations") for which in ("Remaining", "Completed", "Failed")]
        got.failed = int(counts[2] or 0)
        if code == _PENDING:
            got.announced = sum(int(one or 0) for one in counts)
            on_progress(got)
        elif code == _WITH_FAILURES or (code != 0 and counts[1]):
            got.failures.append(f"{connection.peer} could not send all of it ({said_of(status)})")
        elif code != 0:
            raise NetworkError(f"{connection.peer} refused: {said_of(status)}; {remedy}")
