"""Whom https and rtsps sources are verified by, and why a server could not be."""

from __future__ import annotations

import importlib.util
import os
import socket
import ssl
from pathlib import Path

from engine.errors import InputError

_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def authorities_file(own: Path | None) -> str | None:
    """Return the file with the authorities to trust.

    Args:
        own: a hospital's own authorities (PEM), trusted instead of the usual ones; None for those of the system, or of
            the package `certifi` where the system has no file.

    Returns:
        Its path, None when there is none: FFmpeg then goes by what the system knows.

    Raises:
        InputError: the own file cannot be read, or holds no certificate.
    """
    if own is not None:
        try:
            ssl.create_default_context(cafile=str(own))
        except (OSError, ssl.SSLError) as error:
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror or error
            raise InputError(
                f"{own} cannot be used for --source-ca ({why}); give a file of certificates (PEM)"
            ) from error
        return str(own)
    usual = ssl.get_default_verify_paths().cafile
    for path in filter(None, (os.environ.get("SSL_CERT_FILE"), usual, *_SYSTEM_FILES)):
        if Path(path).is_file():
            return path
    if importlib.util.find_spec("certifi") is not None:
        import certifi

        return certifi.where()
    return None


def why_unverified(host: str, port: int, ca_file: str | None, *, timeout_s: float) -> str | None:
    """Find out why a server's certificate is not believed; nothing but the greeting of TLS is sent.

    Returns:
        The reason in words; None when it is believed, or the server does not answer.
    """
    context = ssl.create_default_context(cafile=ca_file)
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as connection,
            context.wrap_socket(connection, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message.rstrip(".")
    except (OSError, ValueError):
        return None
