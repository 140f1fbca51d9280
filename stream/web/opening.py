"""Opens the port of a page, after a check of who may come in."""

from __future__ import annotations

import socket

from engine.errors import InputError
from stream.web.access import PageAccess, check_token, make_token
from stream.web.address import PageAddress, is_loopback, open_socket


def open_access(
    wanted: PageAddress, *, token: str | None = None, without_token: bool = False
) -> tuple[socket.socket, PageAccess]:
    """Opens the port; nobody is answered yet.

    Args:
        wanted: where; port 0 takes a free one, host 0.0.0.0 or :: all interfaces.
        token: what browsers have to know, at least 16 letters; made when none is given.
        without_token: let everybody in who reaches the page: every user of this machine, and every program of theirs.
            Only for a page that no other machine can reach.

    Returns:
        The listening socket, and who may come in.

    Raises:
        InputError: the port is taken, the host unknown, the token unfit, or other machines could reach a page without
            token.
    """
    if without_token:
        _check_open(wanted, token)
    elif token is None:
        token = make_token()
    check_token(token)
    listening = open_socket(wanted)
    return listening, PageAccess(token, host=wanted.host, port=listening.getsockname()[1])


def _check_open(address: PageAddress, token: str | None) -> None:
    """Raises InputError where a page without token may not be."""
    if token is not None:
        raise InputError("a page is served with a token or without one, not both")
    if not is_loopback(address):
        raise InputError(
            f"a page at {address} needs a token, as other machines can reach it; serve a page without token at "
            "127.0.0.1 only"
        )
