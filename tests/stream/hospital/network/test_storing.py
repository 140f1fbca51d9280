"""What peers store with us: disks without room, peers that lie, hang or go."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")

from pynetdicom.association import Association

from engine.files import UnfinishedFile
from stream.hospital.network.associations import NetworkError, associated
from stream.hospital.network.objects import DicomObject, find_objects
from stream.hospital.network.peers import Connection, Peer, Security
from stream.hospital.network.sending import Sent, echo, send
from stream.hospital.network.spooling import RESERVE_BYTES, SpooledObject, spooled_into
from stream.hospital.network.storing import Door, listening
from stream.hospital.network.syntaxes import taken_contexts
from tests.kit.dicom_objects import with_picture
from tests.kit.full_disk import no_space
from tests.kit.orthanc import free_port
from tests.kit.tls_servers import make_certificate


@contextmanager
def _door(
    folder: Path, *, reserve_bytes: int = RESERVE_BYTES, security: Security | None = None, timeout_s: float = 10
) -> Iterator[Connection]:
    """Listens, and keeps what comes in `folder/kept`."""
    port = free_port()

    def keep(found: DicomObject, spooled: SpooledObject, caller: str) -> None:
        spooled.finish(folder / "kept" / f"{found.sop_instance}.dcm")

    door = Door("127.0.0.1", port, "DOOR", security, timeout_s=timeout_s)
    with (
        spooled_into(folder / "spool", reserve_bytes=reserve_bytes) as spool,
        listening(door, taken_contexts(), spool, keep, remedy=""),
    ):
        yield Connection(Peer("DOOR", "127.0.0.1", port), security=security, timeout_s=timeout_s)


def _send(path: Path, connection: Connection) -> Sent:
    came = Sent()
    send(find_objects([path]).objects, connection, on_sent=lambda one: None, into=came)
    return came


def _kept(folder: Path) -> list[Path]:
    return list((folder / "kept").glob("*"))


def test_a_disk_without_room_refuses_with_the_right_status(tmp_path: Path) -> None:
    with (
        _door(tmp_path, reserve_bytes=10**18) as connection,
        pytest.raises(NetworkError, match=r"has no room for .* \(status 0xA700\)"),
    ):
        _send(with_picture(tmp_path / "a.dcm"), connection)
    assert not _kept(tmp_path)


def test_a_disk_that_fills_up_in_the_middle_takes_the_object_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = UnfinishedFile.write, 0

    def fills_up(file: UnfinishedFile, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 30_000:
            no_space()
        return write(file, data)

    path = with_picture(tmp_path / "a.dcm")
    with _door(tmp_path) as connection:
        with monkeypatch.context() as patch:
            patch.setattr(UnfinishedFile, "write", fills_up)
            with pytest.raises(NetworkError, match="0xA700"):
                _send(path, connection)
        assert not list((tmp_path / "spool").iterdir())
        assert len(_send(path, connection).sent) == 1
    (kept,) = _kept(tmp_path)
    assert pydicom.dcmread(kept) == pydicom.dcmread(path)


def test_an_object_under_another_name_is_refused(tmp_path: Path) -> None:
    path = with_picture(tmp_path / "a.dcm")
    lie = pydicom.dcmread(path)
    lie.SOPInstanceUID = "1.2.3"
    lie.save_as(path)  # its header names the true one
    with _door(tmp_path) as connection:
        assert "0xA900" in next(iter(_send(path, connection).failures.values()))
    assert not _kept(tmp_path)


def test_what_a_peer_that_goes_had_sent_is_removed(tmp_path: Path) -> None:
    path = with_picture(tmp_path / "a.dcm")
    large = pydicom.dcmread(path)
    large.Rows, large.PixelData = 128 * 16, large.PixelData * 16  # several data units
    large.save_as(path)
    with _door(tmp_path) as connection:
        (one,) = find_objects([path]).objects
        with associated(connection, [(one.sop_class, [one.syntax])]) as association:
            wire = association.dul.socket
            assert wire is not None and wire.socket is not None
            sent = 0

            def cut(bytestream: bytes) -> None:
                nonlocal sent
                sent += 1
                if sent == 3 and wire is not None:
                    wire.close()
                elif wire is not None and wire.socket is not None:
                    wire.socket.sendall(bytestream)

            wire.send = cut  # type: ignore[method-assign]
            association.send_c_store(pydicom.dcmread(path))
        deadline_s = time.monotonic() + 30
        while list((tmp_path / "spool").iterdir()):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert len(_send(path, connection).sent) == 1


def test_a_peer_in_the_middle_of_an_object_does_not_keep_us(tmp_path: Path) -> None:
    """A listener that is told to end must not wait for towers; the part of an object goes."""
    path = with_picture(tmp_path / "a.dcm")
    (one,) = find_objects([path]).objects
    large = pydicom.dcmread(path)
    large.Rows, large.PixelData = 128 * 16, large.PixelData * 16  # several data units
    stalled, stopped = threading.Event(), threading.Event()

    def send_a_part(connection: Connection) -> None:
        with suppress(NetworkError), associated(connection, [(one.sop_class, [one.syntax])]) as association:
            wire = association.dul.socket
            assert wire is not None and wire.socket is not None
            plain, sent = wire.send, 0

            def stall(bytestream: bytes) -> None:
                nonlocal sent
                sent += 1
                if sent == 3:
                    stalled.set()
                    stopped.wait(60)
                plain(bytestream)

            wire.send = stall  # type: ignore[method-assign]
            association.send_c_store(large)

    with _door(tmp_path, timeout_s=60) as connection:
        sender = threading.Thread(target=send_a_part, args=(connection,))
        sender.start()
        assert stalled.wait(30)
        began_s = time.monotonic()
    while [thread for thread in threading.enumerate() if isinstance(thread, Association) and thread.is_acceptor]:
        assert time.monotonic() - began_s < 30
        time.sleep(0.02)
    assert not (tmp_path / "spool").exists()
    stopped.set()
    sender.join()


def test_a_silent_peer_locks_nobody_out(tmp_path: Path) -> None:
    """With TLS as well: the handshake of a connection is its own affair."""
    made = make_certificate(tmp_path, "door", names="IP:127.0.0.1")
    security = Security(made.file, made.file, made.key)
    with (
        _door(tmp_path, security=security, timeout_s=30) as connection,
        socket.create_connection(("127.0.0.1", connection.peer.port)),
    ):
        began_s = time.monotonic()
        echo(connection)
        assert time.monotonic() - began_s < 25


def test_a_data_unit_beyond_what_was_agreed_ends_the_connection(tmp_path: Path) -> None:
    with _door(tmp_path) as connection, socket.create_connection(("127.0.0.1", connection.peer.port)) as peer:
        peer.settimeout(30)
        peer.sendall(b"\x04\x00\xff\xff\xff\xff" + b"x" * 100)
        assert peer.recv(1) in (b"", b"\x07")  # closed, or an A-ABORT
        echo(connection)
