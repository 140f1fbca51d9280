"""Certificates made with OpenSSL, and servers on loopback that show them, for tests."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate: it is its own authority."""

    file: Path
    key: Path

    def server_side(self) -> ssl.SSLContext:
        """For a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


def make_certificate(folder: Path, name: str, *, names: str) -> Certificate:
    """Make a certificate for names such as "DNS:localhost,IP:127.0.0.1"; the test is left out without OpenSSL."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl, with which certificates are made")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    command = f"{program} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
    files = ["-keyout", str(made.key), "-out", str(made.file)]
    subprocess.run([*command.split(), *files, "-addext", f"subjectAltName={names}"], check=True, capture_output=True)
    return made


@dataclass
class RtspDoor:
    """What an RTSP server that lets nobody in heard."""

    port: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def logins(self) -> int:
        """How many requests held a user and a password."""
        return sum("Authorization:" in request for request in self.requests)


@contextmanager
def refusing_rtsp_server(
    *, scheme: str = "Digest", context: ssl.SSLContext | None = None, status: str = "401 Unauthorized"
) -> Iterator[RtspDoor]:
    """An RTSP server that asks for a user and refuses every one."""
    door, stopped = RtspDoor(), threading.Event()

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, IndexError):
            talk = connection if context is None else context.wrap_socket(connection, server_side=True)
            with talk:
                while data := talk.recv(4096):
                    request = data.decode("latin-1")
                    door.requests.append(request)
                    number = next(line for line in request.split("\r\n") if line.lower().startswith("cseq"))
                    answer = f'RTSP/1.0 {status}\r\n{number}\r\nWWW-Authenticate: {scheme} realm="x", nonce="y"\r\n\r\n'
                    if request.startswith("OPTIONS"):
                        answer = f"RTSP/1.0 200 OK\r\n{number}\r\nPublic: DESCRIBE\r\n\r\n"
                    talk.sendall(answer.encode())

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)
        door.port = int(listener.getsockname()[1])

        def accept() -> None:
            while not stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    connection = listener.accept()[0]
                    connection.settimeout(20)
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield door
        finally:
            stopped.set()
            thread.join()
