"""Options that the sub-commands of `polypstream dicom` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import InputError

if TYPE_CHECKING:
    from stream.hospital.network.peers import Connection, Security
    from stream.hospital.network.web import WebPeer


def add_peer(parser: argparse.ArgumentParser, name: str, *, web: bool) -> None:
    """Adds the options of a connection to a peer.

    Args:
        parser: to add them to.
        name: of the option that names the peer, as in "--to".
        web: whether the peer may be a DICOMweb server.
    """
    places = "AE@HOST:PORT" + ("|https://..." if web else "")
    parser.add_argument(name, dest="peer", required=True, metavar=places, help="the peer")
    secure = add_own(parser)
    if web:
        secure.add_argument(
            "--token-file",
            type=Path,
            metavar="FILE",
            help="DICOMweb: its first line is sent as bearer token, to this server alone",
        )


def add_own(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds what every connection has: our title, a time limit, encryption. Returns the group of the last."""
    parser.add_argument("--title", default="POLYPSTREAM", metavar="AE", help="our AE title (default: %(default)s)")
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="longest wait for the network and each answer (default: %(default)g)",
    )
    secure = parser.add_argument_group("encryption")
    secure.add_argument("--tls", action="store_true", help="encrypt DICOM; the peer's certificate and name are checked")
    secure.add_argument("--ca", type=Path, metavar="FILE", help="certificates to trust, PEM (default: the system's)")
    secure.add_argument("--cert", type=Path, metavar="FILE", help="our certificate, PEM")
    secure.add_argument("--key", type=Path, metavar="FILE", help="its key, PEM, without a password")
    return secure


def connection_of(arguments: argparse.Namespace, *, name: str) -> Connection:
    """The connection that the options name. Raises InputError."""
    from stream.hospital.network.peers import Connection, parse_peer

    return Connection(parse_peer(arguments.peer, name=name), arguments.title, security_of(arguments), arguments.timeout)


def peer_of(arguments: argparse.Namespace, *, name: str) -> Connection | WebPeer:
    """The peer that the options name, of DIMSE or DICOMweb. Raises InputError."""
    from stream.hospital.network.peers import Security
    from stream.hospital.network.web import WebPeer, is_web, read_token

    if not is_web(arguments.peer):
        if arguments.token_file is not None:
            raise InputError(f"--token-file is for a DICOMweb address; leave it out, or give {name} https://...")
        return connection_of(arguments, name=name)
    token = None if arguments.token_file is None else read_token(arguments.token_file)
    files = (arguments.ca, arguments.cert, arguments.key)
    return WebPeer(arguments.peer.rstrip("/"), token, Security(*files) if any(files) else None, arguments.timeout)


def security_of(arguments: argparse.Namespace) -> Security | None:
    """How connections are encrypted. Raises InputError for files without --tls."""
    from stream.hospital.network.peers import Security

    if arguments.tls:
        return Security(arguments.ca, arguments.cert, arguments.key)
    if arguments.ca or arguments.cert or arguments.key:
        raise InputError("--ca, --cert and --key have no effect without --tls; add it, or leave them out")
    return None


def parse_place(text: str) -> tuple[str, int]:
    """Reads `[HOST:]PORT`, where we listen."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"a place to listen on must be [HOST:]PORT, such as 11112. Received: {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def check_packages() -> None:
    """Raises InputError where a package is missing."""
    try:
        import dicomweb_client  # noqa: F401
        import pydicom  # noqa: F401
        import pynetdicom  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"DICOM needs the package {error.name}: pip install 'polypstream[dicom]'") from error
