"""A peer that takes objects in ways of its own: slowly, not at all, or only some of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.uid import UID, CTImageStorage
from pynetdicom import AE, evt

from tests.kit.orthanc import free_port

VERIFICATION = "1.2.840.10008.1.1"


@dataclass
class StoragePeer:
    """What a peer heard."""

    address: str
    port: int
    came: list[str] = field(default_factory=list)
    echoes: int = 0


@contextmanager
def storage_peer(
    contexts: Mapping[UID, Sequence[UID]],
    answer: Callable[[int, Any], int] = lambda number, event: 0,
    *,
    context: Any = None,
    most_bytes: int = 16382,
    verifies: bool = True,
    heard: Callable[[Any], object] | None = None,
) -> Iterator[StoragePeer]:
    """Listens for the `with` block.

    Args:
        contexts: SOP classes with their transfer syntaxes.
        answer: makes the status of an object from its number, from 0, and the event.
        context: of TLS.
        most_bytes: that it takes in one data unit; 0 for any number.
        verifies: whether it knows C-ECHO.
        heard: told of each data unit, in the thread that reads from the network.
    """
    entity = AE("PEER")
    entity.maximum_pdu_size = most_bytes
    peer = StoragePeer("", free_port())
    peer.address = f"PEER@127.0.0.1:{peer.port}"

    def store(event: Any) -> int:
        number = len(peer.came)
        peer.came.append(str(event.request.AffectedSOPInstanceUID))
        return answer(number, event)

    def echo(event: Any) -> int:
        peer.echoes += 1
        return 0

    if verifies or not contexts:
        entity.add_supported_context(VERIFICATION if verifies else CTImageStorage)  # it must take something
    for one, syntaxes in contexts.items():
        entity.add_supported_context(one, list(syntaxes))
    handlers: list[Any] = [(evt.EVT_C_STORE, store), (evt.EVT_C_ECHO, echo)]
    if heard is not None:
        handlers.append((evt.EVT_PDU_RECV, heard))
    server = entity.start_server(
        ("127.0.0.1", peer.port),
        block=False,
        evt_handlers=handlers,
        ssl_context=context,
    )
    assert server is not None
    try:
        yield peer
    finally:
        server.shutdown()


@contextmanager
def silent_peer() -> Iterator[int]:
    """Takes connections and says nothing; yields its port."""
    kept: list[socket.socket] = []
    ended = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)

        def accept() -> None:
            while not ended.is_set():
                try:
                    kept.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            ended.set()
            thread.join()
            for one in kept:
                one.close()
