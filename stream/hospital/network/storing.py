"""Objects that a peer stores with us (C-STORE): taken from the network, and a place where we listen for them."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, evt

from engine.checks import require_above, require_at_least
from engine.errors import InputError, OutputError, WriteError
from stream.hospital.network.associations import MOST_PDU_BYTES, end_association, guard_socket, quiet_library
from stream.hospital.network.objects import DicomObject, read_object
from stream.hospital.network.peers import Security, check_title
from stream.hospital.network.spooling import Spool, SpooledObject, is_uid
from stream.hospital.network.syntaxes import PLAIN_SYNTAXES, VERIFICATION

log = logging.getLogger(__name__)

#: Statuses of C-STORE (PS3.4 B.2.3, PS3.7 C).
_OUT_OF_RESOURCES, _MISMATCH, _NOT_UNDERSTOOD, _PROCESSING_FAILURE = 0xA700, 0xA900, 0xC000, 0x0110
#: A WriteError is one of the queue, whose file grows with each object.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

#: Gives a whole object its place, and raises OSError or a PolypstreamError where it cannot: the peer is then refused.
Keeper = Callable[[DicomObject, SpooledObject, str], object]


@dataclass(frozen=True, slots=True)
class Door:
    """Where we listen.

    Attributes:
        host: address to listen on.
        port: to listen on.
        title: our AE title; who calls another is refused.
        security: encryption; None for none.
        allowed: AE titles that may call; empty for all.
        most: associations at once.
        timeout_s: longest wait for a peer that is silent, in seconds.
    """

    host: str
    port: int
    title: str
    security: Security | None = None
    allowed: tuple[str, ...] = ()
    most: int = 10
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        """Check titles and limits. Raises InputError."""
        require_at_least("--most", self.most, 1)
        require_above("--timeout", self.timeout_s)
        check_title(self.title, name="--title")
        for one in self.allowed:
            check_title(one, name="--allow")


@contextmanager
def listening(
    door: Door, contexts: Mapping[UID, Sequence[UID]], spool: Spool, keep: Keeper, *, remedy: str
) -> Iterator[None]:
    """Takes objects, and answers C-ECHO, for the `with` block.

    Args:
        door: where to listen.
        contexts: SOP classes that are taken, each with its transfer syntaxes.
        spool: where objects are written as they come.
        keep: gives an object its place; called from threads of the network.
        remedy: what to do when nothing can listen there, as in "give another port with --move".

    Raises:
        OutputError: nothing can listen there.
        InputError: files of the encryption cannot be used.
    """
    entity = AE(door.title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(door.allowed)
    entity.maximum_associations = door.most
    entity.maximum_pdu_size = MOST_PDU_BYTES
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = door.timeout_s
    entity.add_supported_context(VERIFICATION, list(PLAIN_SYNTAXES))
    for sop_class, syntaxes in contexts.items():
        entity.add_supported_context(sop_class, list(syntaxes))
    tls = None if door.security is None else door.security.answering(patience_s=door.timeout_s)
    handlers = [
        *store_handlers(spool, keep),
        (evt.EVT_CONN_OPEN, lambda event: guard_socket(event.assoc, door.timeout_s)),
        (evt.EVT_REJECTED, _rejected),
    ]
    with quiet_library():
        try:
            server = entity.start_server((door.host, door.port), block=False, evt_handlers=handlers, ssl_context=tls)
        except OSError as error:
            raise OutputError(
                f"cannot listen on {door.host}:{door.port}: {error.strerror or error}; {remedy}"
            ) from error
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()
            for association in entity.active_associations:  # an object on its way would keep the process
                end_association(association)


def store_handlers(spool: Spool, keep: Keeper) -> list[tuple[Any, ...]]:
    """Handlers of pynetdicom's events that take objects; arguments as of `listening`."""

    def take(event: Any) -> int:
        try:
            spooled = spool.take(event.dataset_path)
        except KeyError:  # the peer has gone meanwhile
            return _PROCESSING_FAILURE
        try:
            return _taken(event, spooled, keep)
        finally:
            spooled.discard()

    return [(evt.EVT_C_STORE, take), (evt.EVT_CONN_CLOSE, lambda event: spool.discard_of(event.assoc.dul))]


def _taken(event: Any, spooled: SpooledObject, keep: Keeper) -> int:
    """Keeps an object, and returns the status that the peer is told."""
    caller = str(event.assoc.remote["ae_title"]).strip()
    instance = str(event.request.AffectedSOPInstanceUID)
    try:
        if spooled.fault is not None:
            raise spooled.fault
        found = read_object(spooled.path)
        if not (is_uid(found.study) and is_uid(instance)):
            log.warning("%s sent an object without usable UIDs, which is refused", caller)
            return _NOT_UNDERSTOOD
        if found.own_instance != instance:
            log.warning("%s sent %s under the name %s, which is refused", caller, found.own_instance, instance)
            return _MISMATCH
        keep(found, spooled, caller)
    except (OSError, OutputError, WriteError) as error:
        full = isinstance(error, WriteError) or (isinstance(error, OSError) and error.errno in _FULL)
        log.warning("an object of %s could not be written: %s", caller, getattr(error, "strerror", None) or error)
        return _OUT_OF_RESOURCES if full else _PROCESSING_FAILURE
    except InputError as error:
        log.warning("an object of %s is refused: %s", caller, error)
        return _NOT_UNDERSTOOD
    return 0


def _rejected(event: Any) -> None:
    peer = event.assoc.remote
    log.warning("an association of %s at %s was refused", str(peer["ae_title"]).strip(), peer["address"])
