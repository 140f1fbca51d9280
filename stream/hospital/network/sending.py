"""Objects sent to an archive (C-STORE), as they are encoded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES, _config
from pynetdicom.association import Association

from engine.errors import InputError
from engine.interrupts import check
from stream.hospital.network.associations import NetworkError, NothingAcceptedError, associated
from stream.hospital.network.objects import DicomObject, read_whole
from stream.hospital.network.peers import Connection
from stream.hospital.network.syntaxes import (
    MOST_CONTEXTS,
    PLAIN_SYNTAXES,
    VERIFICATION,
    class_name,
    listed,
    syntax_name,
)

_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_WARNINGS = frozenset({0xB000, 0xB006, 0xB007})
_MEANINGS = {
    0x0122: "it does not take objects of this class",
    0x0124: "it does not allow it",
    0x0111: "it has an object of this UID already",
    0x0117: "it calls the object invalid",
}


@dataclass(slots=True)
class Sent:
    """What came of sending.

    Attributes:
        sent: objects that the peer has.
        remarks: objects that it has but changed, by the path of their files.
        failures: objects that it did not take, each with the reason, by the path of their files.
    """

    sent: list[DicomObject] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


#: Told of each object that a peer has, as soon as it says so.
SentListener = Callable[[DicomObject], object]


def echo(connection: Connection) -> None:
    """Asks a peer whether it is there (C-ECHO).

    Raises:
        NetworkError: it cannot be reached, refuses, or does not answer.
    """
    with associated(connection, [(VERIFICATION, PLAIN_SYNTAXES[:2])]) as association:
        _echo(association, connection)


def send(objects: Sequence[DicomObject], connection: Connection, *, on_sent: SentListener, into: Sent) -> None:
    """Sends objects. Compressed ones are never encoded anew; uncompressed ones only as the peer understands them.

    Args:
        objects: to send.
        connection: to whom.
        on_sent: told of each object that the peer has.
        into: what came of it; also where this raises.

    Raises:
        NetworkError: the connection failed, or the peer has no more room; `into` says what it has.
    """
    for batch in _batches(objects):
        _send_batch(batch, connection, on_sent, into)


def _send_batch(objects: Sequence[DicomObject], connection: Connection, on_sent: SentListener, into: Sent) -> None:
    pairs = dict.fromkeys((one.sop_class, one.syntax) for one in objects)
    contexts = [(sop_class, [syntax]) for sop_class, syntax in pairs]
    # Each peer must know this one, so what is not compressed can reach it.
    plain = dict.fromkeys(sop_class for sop_class, syntax in pairs if syntax in PLAIN_SYNTAXES)
    contexts += [(one, [ImplicitVRLittleEndian]) for one in plain if (one, ImplicitVRLittleEndian) not in pairs]
    refused: dict[tuple[str, str], list[str]] = defaultdict(list)
    try:
        with associated(connection, [(VERIFICATION, PLAIN_SYNTAXES[:2]), *contexts]) as association:
            _store_all(association, connection, objects, on_sent, into, refused)
    except NothingAcceptedError:
        for one in objects:
            refused[(str(one.sop_class), str(one.syntax))].append(str(one.path))
    for (sop_class, syntax), paths in refused.items():
        offered = offered_syntaxes(connection, sop_class)
        said = (
            f"{connection.peer} takes no {class_name(sop_class)} in {syntax_name(syntax)}, and nothing is encoded anew "
            f"on the way; it offers: {listed(offered)}. Add the syntax to the peer's settings"
        )
        into.failures.update(dict.fromkeys(paths, said))


def _store_all(
    association: Association,
    connection: Connection,
    objects: Sequence[DicomObject],
    on_sent: SentListener,
    into: Sent,
    refused: dict[tuple[str, str], list[str]],
) -> None:
    """Sends what the peer takes; what it does not take is added to `refused`, by class and syntax."""
    accepted = {(str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in association.accepted_contexts}
    if any(sop_class == VERIFICATION for sop_class, _ in accepted):
        _echo(association, connection)
    for one in objects:
        check()
        own = (str(one.sop_class), str(one.syntax))
        if own in accepted:
            _store(association, connection, one, on_sent, into, as_it_is=True)
        elif one.syntax in PLAIN_SYNTAXES and (own[0], str(ImplicitVRLittleEndian)) in accepted:
            _store(association, connection, one, on_sent, into, as_it_is=False)
        else:
            refused[own].append(str(one.path))


def offered_syntaxes(connection: Connection, sop_class: str) -> list[str]:
    """The transfer syntaxes in which a peer takes objects of a class, of all that are known.

    Raises:
        NetworkError: the connection failed.
    """
    contexts = [(UID(sop_class), [UID(one)]) for one in ALL_TRANSFER_SYNTAXES]
    try:
        with associated(connection, contexts[:MOST_CONTEXTS]) as association:
            return [str(one.transfer_syntax[0]) for one in association.accepted_contexts]
    except NothingAcceptedError:
        return []


def _batches(objects: Sequence[DicomObject]) -> Iterator[list[DicomObject]]:
    """Objects whose presentation contexts fit one association."""
    batch: list[DicomObject] = []
    pairs: set[Any] = set()
    for one in objects:
        new = pairs | {(one.sop_class, one.syntax)}
        if 2 * len(new) + 1 > MOST_CONTEXTS:
            yield batch
            batch, new = [], {(one.sop_class, one.syntax)}
        batch.append(one)
        pairs = new
    if batch:
        yield batch


def _echo(association: Association, connection: Connection) -> None:
    answer = association.send_c_echo()
    if "Status" not in answer:
        raise NetworkError(f"{connection.peer} did not answer C-ECHO within {connection.timeout_s:g} s; is it busy?")
    if answer.Status != 0:
        raise NetworkError(f"{connection.peer} answered C-ECHO with status 0x{answer.Status:04X}; check its settings")


def _store(
    association: Association,
    connection: Connection,
    one: DicomObject,
    on_sent: SentListener,
    into: Sent,
    *,
    as_it_is: bool,
) -> None:
    peer = connection.peer
    try:
        given = one.path if as_it_is else read_whole(one.path)
    except InputError as error:
        into.failures[str(one.path)] = str(error)
        return
    if not association.is_established:
        raise NetworkError(f"{peer} broke off; {len(into.sent)} sent; run the same command again, which sends the rest")
    _config.STORE_SEND_CHUNKED_DATASET = as_it_is
    try:
        answer = association.send_c_store(given)
    except NetworkError:
        raise
    except OSError as error:
        into.failures[str(one.path)] = f"{one.path} cannot be read: {error.strerror or error}"
        association.abort()  # the peer has a part of the object
        raise NetworkError(into.failures[str(one.path)]) from error
    except (ValueError, AttributeError, RuntimeError) as error:
        raise NetworkError(f"{one.path} cannot be sent: {error}; check it with a DICOM validator") from error
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = False
    if "Status" not in answer:
        raise NetworkError(
            f"{peer} broke off, or did not answer within {connection.timeout_s:g} s, while {one.path} was sent; "
            "run the same command again, which sends the rest"
        )
    status = int(answer.Status)
    comment = str(answer.get("ErrorComment") or "").strip()
    said = f"status 0x{status:04X}" + (f", {comment}" if comment else "")
    if status in _OUT_OF_RESOURCES:
        raise NetworkError(f"{peer} has no room for {one.path} ({said}); run the same command again when it has")
    if status != 0 and status not in _WARNINGS:
        meaning = _MEANINGS.get(status, "it did not say why in words that are known here")
        into.failures[str(one.path)] = f"{peer} did not take {one.path}: {meaning} ({said})"
        return
    if status:
        into.remarks[str(one.path)] = f"{peer} took {one.path} with a warning ({said})"
    into.sent.append(one)
    on_sent(one)
