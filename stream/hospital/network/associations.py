"""Associations that we open: negotiated, watched, and ended, with one clear line for each way in which they fail."""

from __future__ import annotations

import logging
import queue
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, build_context, build_role
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider

from engine.errors import RunError
from stream.hospital.network.peers import Connection

MOST_PDU_BYTES = 128 * 1024
"""What we take, and send at most, in one protocol data unit."""

_MOST_WAITING = 64  # data units between the file and the network: memory stays flat however large an object is
_LOOK_S = 0.05
_BEGIN_S = 10.0  # to reach the machine
_END_S = 1.0  # for a peer to take what is on its way, and then to close the connection
_IDLE = "Sta1"  # of the state machine (PS3.8, 9.2): no connection
_NOTHING = "No accepted presentation contexts"  # as pynetdicom says it


class NetworkError(RunError):
    """A peer that cannot be reached, refuses, breaks off, or takes too long; what was done before stays done."""


class NothingAcceptedError(NetworkError):
    """A peer that takes nothing of what was proposed, so there is no association."""


@contextmanager
def associated(
    connection: Connection,
    contexts: Sequence[tuple[UID, Sequence[UID]]],
    *,
    handlers: Sequence[tuple[Any, ...]] = (),
    stored: bool = False,
) -> Iterator[Association]:
    """Opens an association for the `with` block.

    Args:
        connection: to whom.
        contexts: SOP classes, each with the transfer syntaxes of one presentation context.
        handlers: of pynetdicom's events.
        stored: whether the peer may store objects on this association (C-GET).

    Raises:
        NothingAcceptedError: the peer takes none of the contexts.
        NetworkError: it cannot be opened.
        InputError: files of the encryption cannot be used.
    """
    entity = AE(connection.title)
    entity.connection_timeout = min(_BEGIN_S, connection.timeout_s)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = connection.timeout_s
    entity.maximum_pdu_size = MOST_PDU_BYTES
    peer, security = connection.peer, connection.security
    tls = None if security is None else (security.calling(), peer.host)
    requested = [build_context(one, list(syntaxes)) for one, syntaxes in contexts]
    roles: list[Any] = (
        [build_role(one, scp_role=True) for one in dict.fromkeys(one for one, _ in contexts)] if stored else []
    )
    with _errors_said() as said:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=requested,
            ae_title=peer.title,
            ext_neg=roles or None,
            evt_handlers=list(handlers),
            tls_args=tls,
        )
        if not association.is_established:
            if _NOTHING in said.errors:
                raise NothingAcceptedError(f"{connection.peer} takes nothing of what was proposed; check its settings")
            raise NetworkError(_reason(association, connection, said.errors))
        association.dimse = _Bounded(association)
        guard_socket(association, connection.timeout_s)
        association.dul.to_provider_queue = _Throttled(association, connection)
        try:
            yield association
        except BaseException:
            end_association(association)
            raise
        if association.is_established:
            association.release()
        end_association(association)


def guard_socket(association: Association, timeout_s: float) -> None:
    """Lets no peer hold a thread without end, or fill the memory with one data unit.

    Args:
        association: that is open.
        timeout_s: longest wait for a peer that neither reads nor writes in the middle of a data unit, in seconds.
    """
    carrier = association.dul.socket
    if carrier is None or carrier.socket is None:
        return
    carrier.socket.settimeout(timeout_s)
    receive = carrier.recv

    def bounded(nr_bytes: int) -> bytearray:
        if nr_bytes > 2 * MOST_PDU_BYTES:
            raise OSError(f"a data unit of {nr_bytes} bytes, over what was agreed")
        return receive(nr_bytes)

    carrier.recv = bounded  # type: ignore[method-assign]


class _Bounded(DIMSEServiceProvider):
    """Sends data units of a bounded size, also to a peer that takes any: a file would be one unit."""

    @property
    def maximum_pdu_size(self) -> int:
        """In bytes."""
        given = super().maximum_pdu_size
        return given if 0 < given <= MOST_PDU_BYTES else MOST_PDU_BYTES


class _Throttled(queue.Queue[Any]):
    """Data units on their way to the network; `put` waits while many wait, and not for a peer that is gone.

    pynetdicom reads a whole file into a queue without bound. Its own thread takes from it, and never puts.
    """

    def __init__(self, association: Association, connection: Connection) -> None:
        super().__init__(_MOST_WAITING)
        self._association, self._connection = association, connection

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Puts a data unit. Raises NetworkError where nobody takes it any more."""
        while True:
            try:
                super().put(item, timeout=_LOOK_S)
            except queue.Full:
                if not (self._association.is_established and self._association.dul.is_alive()):
                    raise NetworkError(f"{self._connection.peer} broke off; run the same command again") from None
            else:
                return


class _Said(logging.Handler):
    """What pynetdicom says is wrong, for our own message."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(record.getMessage())


@contextmanager
def quiet_library() -> Iterator[None]:
    """Takes what pynetdicom logs, which is many lines for one fault, off the terminal; with -v it stays."""
    logger = logging.getLogger("pynetdicom")
    before = logger.propagate
    logger.propagate = logging.getLogger().isEnabledFor(logging.INFO)
    try:
        yield
    finally:
        logger.propagate = before


@contextmanager
def _errors_said() -> Iterator[_Said]:
    logger, said = logging.getLogger("pynetdicom"), _Said()
    logger.addHandler(said)
    try:
        with quiet_library():
            yield said
    finally:
        logger.removeHandler(said)


def _reason(association: Association, connection: Connection, errors: Sequence[str]) -> str:
    peer = connection.peer
    if association.is_rejected:
        answer: Any = association.acceptor.primitive
        said = f"{answer.result_str}, {answer.reason_str}" if answer is not None else "it gave no reason"
        return (
            f"{peer} refused the association ({said}); check both AE titles (ours is {connection.title}), and that the "
            "peer knows this machine"
        )
    network = next((one.partition(": ")[2] for one in errors if one.startswith("TCP Initialisation Error")), "")
    if network:
        remedy = "check the address, the firewall, and that the peer runs"
        if "ssl" in network.lower() or "certificate" in network.lower():
            remedy = "check --ca, --cert and --key, and that the peer speaks TLS"
        return f"{peer} cannot be reached: {network}; {remedy}"
    if association.is_aborted:
        tls = "" if connection.security is None else ", or it wants no TLS or another certificate"
        return f"{peer} broke the association off before it began; it may be no DICOM peer, or busy{tls}"
    return f"{peer} did not answer within {connection.timeout_s:g} s; check the address, or give it more with --timeout"


def end_association(association: Association) -> None:
    """Ends an association however it stands, within seconds; its threads end with it.

    The peer is told, unless it neither reads nor writes: then the connection is cut.
    """
    upper, carrier = association.dul, association.dul.socket
    if _happens(lambda: not upper.to_provider_queue.full()) and association.is_established and upper.is_alive():
        association.abort(block=False)
    ended = _happens(lambda: not upper.is_alive() or upper.state_machine.current_state == _IDLE)
    if not ended and carrier is not None and carrier.socket is not None:  # it hangs in the network
        _cut(carrier.socket)
    association.kill()


def _happens(condition: Callable[[], bool]) -> bool:
    """Whether something happens within a second."""
    deadline_s = time.monotonic() + _END_S
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.005)
    return condition()


def _cut(wire: Any) -> None:
    with suppress(OSError):  # an SSLError is one
        wire.shutdown(socket.SHUT_RDWR)
