"""Objects fetched from an archive (C-GET, or C-MOVE to a listener of our own), written as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt, sop_class

from engine.errors import InputError
from engine.files import claim_folder
from engine.interrupts import check
from stream.hospital.network.associations import MOST_PDU_BYTES, NetworkError, associated, guard_socket
from stream.hospital.network.finding import Level, said_of, status_of
from stream.hospital.network.objects import read_object
from stream.hospital.network.peers import Connection
from stream.hospital.network.spooling import Spool, is_uid, spooled_into
from stream.hospital.network.syntaxes import PLAIN_SYNTAXES, fetched_contexts

_PENDING = 0xFF00
_WITH_FAILURES = 0xB000
_SPOOL = ".incoming"
#: Statuses of C-STORE (PS3.4 B.2.3).
OUT_OF_RESOURCES, NOT_UNDERSTOOD = 0xA700, 0xC000


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
    classes: Mapping[str, int] | None = None,
    move_to: tuple[str, int] | None = None,
    overwrite: bool = False,
    on_progress: GotListener,
) -> Got:
    """Fetches objects into OUTPUT/STUDY/OBJECT.dcm.

    Args:
        wanted: what to fetch.
        connection: from whom.
        output: folder to write to.
        classes: SOP classes of what is fetched, where they are known; they alone are proposed then.
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
        store = _Store(spool, output, overwrite, got, on_progress)
        handlers = [(evt.EVT_C_STORE, store.take), (evt.EVT_CONN_CLOSE, store.closed)]
        if move_to is None:
            _c_get(wanted, connection, classes or {}, handlers, got, on_progress)
        else:
            with _listener(connection, move_to, handlers):
                _c_move(wanted, connection, got, on_progress)
    return got


class _Store:
    """Writes what comes."""

    def __init__(self, spool: Spool, output: Path, overwrite: bool, got: Got, on_progress: GotListener) -> None:
        self._spool, self._output, self._overwrite = spool, output, overwrite
        self._got, self._on_progress = got, on_progress
        self._lock = threading.Lock()

    def take(self, event: Any) -> int:
        """Gives a received object its name, and returns the status that the peer is told."""
        spooled = self._spool.take(event.dataset_path)
        try:
            if spooled.fault is not None:
                raise spooled.fault
            found = read_object(spooled.path)
            if not (is_uid(found.study) and is_uid(found.sop_instance)):
                raise InputError(f"an object came whose UIDs are none: {found.sop_instance!r}")
            target = self._output / found.study / f"{found.sop_instance}.dcm"
            with self._lock:
                if target.exists() and not self._overwrite:
                    self._got.there.append(target)
                else:
                    spooled.finish(target)
                    self._got.files.append(target)
        except OSError as error:
            return self._fails(f"an object could not be written: {error.strerror or error}", OUT_OF_RESOURCES)
        except InputError as error:
            return self._fails(str(error), NOT_UNDERSTOOD)
        finally:
            spooled.discard()
        self._on_progress(self._got)
        return 0

    def closed(self, event: Any) -> None:
        self._spool.discard_of(event.assoc.dul)

    def _fails(self, reason: str, status: int) -> int:
        with self._lock:
            self._got.failures.append(reason)
        return status


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
    classes: Mapping[str, int],
    handlers: list[tuple[Any, ...]],
    got: Got,
    on_progress: GotListener,
) -> None:
    model = sop_class.StudyRootQueryRetrieveInformationModelGet
    contexts = [(model, list(PLAIN_SYNTAXES[:2])), *fetched_contexts(UID(one) for one in classes)]
    with associated(connection, contexts, handlers=handlers, stored=True) as association:
        if not any(one.abstract_syntax == model for one in association.accepted_contexts):
            raise NetworkError(f"{connection.peer} does not send what is asked for (C-GET); try --move")
        answers = association.send_c_get(_identifier(wanted), model)
        _follow(answers, connection, got, on_progress, refused="it is no C-GET peer, or try --move")


def _c_move(wanted: Wanted, connection: Connection, got: Got, on_progress: GotListener) -> None:
    model = sop_class.StudyRootQueryRetrieveInformationModelMove
    with associated(connection, [(model, PLAIN_SYNTAXES[:2])]) as association:
        if not association.accepted_contexts:
            raise NetworkError(f"{connection.peer} does not know C-MOVE (Study Root); leave --move out")
        answers = association.send_c_move(_identifier(wanted), connection.title, model)
        remedy = f"let its settings name {connection.title} with this machine's address and the port of --move"
        _follow(answers, connection, got, on_progress, refused=remedy)


def _follow(
    answers: Iterator[tuple[Dataset, Dataset | None]],
    connection: Connection,
    got: Got,
    on_progress: GotListener,
    *,
    refused: str,
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
            raise NetworkError(f"{connection.peer} refused: {said_of(status)}; {refused}")


@contextmanager
def _listener(connection: Connection, place: tuple[str, int], handlers: list[tuple[Any, ...]]) -> Iterator[None]:
    """Listens for what an archive sends, while the `with` block asks it to."""
    entity = AE(connection.title)
    entity.require_called_aet = True
    entity.maximum_pdu_size = MOST_PDU_BYTES
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = connection.timeout_s
    by_class: dict[UID, list[UID]] = {}
    for one, syntaxes in fetched_contexts():
        by_class.setdefault(one, []).extend(syntaxes)
    for one, syntaxes in by_class.items():
        entity.add_supported_context(one, syntaxes)
    security = connection.security
    tls = None if security is None else security.answering()
    guarded = [*handlers, (evt.EVT_CONN_OPEN, lambda event: guard_socket(event.assoc, connection.timeout_s))]
    try:
        server = entity.start_server(place, block=False, evt_handlers=guarded, ssl_context=tls)
    except OSError as error:
        raise InputError(
            f"cannot listen on {place[0]}:{place[1]}: {error.strerror or error}; give another port with --move"
        ) from error
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()
