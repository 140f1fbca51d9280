"""Who speaks with whom: AE titles, addresses, and how a connection is secured."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from engine.checks import require_above
from engine.errors import InputError

TITLE = "POLYPSTREAM"
"""Our own AE title, unless another is given."""

_MOST_LETTERS = 16
_ADDRESS = re.compile(r"(?P<title>[^@]*)@(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:@/]+):(?P<port>[0-9]{1,5})")


def check_title(title: str, *, name: str) -> str:
    """An AE title without blanks around it.

    Args:
        title: as a user wrote it.
        name: of the option, for the message.

    Raises:
        InputError: it is empty, over 16 characters, or holds something that the standard forbids (PS3.5, VR AE).
    """
    stripped = title.strip(" ")
    if not 1 <= len(stripped) <= _MOST_LETTERS:
        raise InputError(f"{name}: an AE title has 1 to {_MOST_LETTERS} characters. Received: {title!r}")
    if not stripped.isascii() or not stripped.isprintable() or "\\" in stripped:
        raise InputError(f"{name}: an AE title is of printable ASCII without a backslash. Received: {title!r}")
    return stripped


@dataclass(frozen=True, slots=True)
class Peer:
    """An application entity in the network.

    Attributes:
        title: its AE title.
        host: name or address of its machine.
        port: that it listens on.
    """

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        """As it is written on the command line."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.title}@{host}:{self.port}"


def parse_peer(text: str, *, name: str) -> Peer:
    """Reads `AE@HOST:PORT`.

    Args:
        text: as a user wrote it; an IPv6 address stands in square brackets.
        name: of the option, for the message.

    Raises:
        InputError: it is none.
    """
    found = _ADDRESS.fullmatch(text.strip())
    port = 0 if found is None else int(found["port"])
    if found is None or not 1 <= port <= 65535:
        raise InputError(f"{name} must be AE@HOST:PORT, such as ORTHANC@10.0.0.5:4242. Received: {text!r}")
    return Peer(check_title(found["title"], name=name), found["host"].strip("[]"), port)


@dataclass(frozen=True, slots=True)
class Security:
    """How connections are encrypted.

    Attributes:
        authority: file with the certificates that are trusted (PEM); None for those of the system.
        certificate: our own (PEM); None for none.
        key: of our certificate (PEM); None where it stands in the same file.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without reading. Raises InputError for a key without certificate."""
        if self.key is not None and self.certificate is None:
            raise InputError("--key is the key of a certificate; name that with --cert")

    def calling(self) -> ssl.SSLContext:
        """For connections that we open; the peer's certificate and name are checked.

        Raises:
            InputError: a file cannot be used.
        """
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        if self.authority is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context

    def answering(self, *, patience_s: float) -> ssl.SSLContext:
        """For connections that others open; with an authority they must show a certificate of it.

        Args:
            patience_s: longest wait for a peer in the middle of the handshake, in seconds.

        Raises:
            InputError: a file cannot be used, or there is no certificate.
        """
        if self.certificate is None:
            raise InputError("to listen with --tls takes a certificate; name it with --cert, and its key with --key")
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        assert isinstance(context, _LazyContext)
        context.patience_s = patience_s
        if self.authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = _LazyContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        reading = self.authority
        try:
            if self.authority is not None:
                context.load_verify_locations(self.authority)
            reading = self.certificate
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            also = f" with the key {self.key}" if reading == self.certificate and self.key else ""
            raise InputError(f"{reading}{also} cannot be used for TLS: {reason}; give files in PEM") from error
        return context


class _LazyContext(ssl.SSLContext):
    """Leaves the handshake of a server to the first read, in the thread of the connection.

    pynetdicom wraps a connection in the thread that accepts all of them: one silent peer would lock all others out.
    """

    patience_s: float = 60.0

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """See `ssl.SSLContext.wrap_socket`."""
        if server_side:
            sock.settimeout(self.patience_s)
        return super().wrap_socket(
            sock,
            server_side,
            do_handshake_on_connect and not server_side,
            suppress_ragged_eofs,
            server_hostname,
            session,
        )


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is asked for its password; give a key without one")


@dataclass(frozen=True, slots=True)
class Connection:
    """How a peer is spoken to.

    Attributes:
        peer: whom.
        title: our own AE title.
        security: how the connection is encrypted; None for not at all.
        timeout_s: longest wait for the network and for each answer, in seconds.
    """

    peer: Peer
    title: str = TITLE
    security: Security | None = None
    timeout_s: float = 60.0

    def __str__(self) -> str:
        """Whom."""
        return str(self.peer)

    def __post_init__(self) -> None:
        """Check the settings. Raises InputError."""
        check_title(self.title, name="--title")
        require_above("--timeout", self.timeout_s)
