"""Opens the server of a page: checks who may come in, takes the port, and says what to open in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.errors import InputError
from stream.live.page.access import PageAccess, check_token, make_token
from stream.live.page.address import PageAddress, is_loopback, open_socket
from stream.live.page.limits import PageLimits

if TYPE_CHECKING:
    from stream.live.page.content import PageContent
    from stream.live.page.server import PageServer


def open_server(
    wanted: PageAddress,
    contents: Mapping[str, PageContent],
    *,
    token: str | None = None,
    without_token: bool = False,
    limits: PageLimits | None = None,
) -> PageServer:
    """Opens the port; nobody is answered before the server is started.

    Args:
        wanted: where; port 0 takes a free one, host 0.0.0.0 or :: all interfaces.
        contents: as of `PageServer`.
        token: what browsers have to know, at least 16 letters; made when none is given.
        without_token: let everybody in who reaches the page: every user of this machine, and every program of theirs.
            Only for a page that no other machine can reach.
        limits: what browsers may take of this machine.

    Raises:
        InputError: the port is taken, the host unknown, the token unfit, other machines could reach a page without
            token, or the extra `serve` is not installed.
    """
    try:
        import simplejpeg  # noqa: F401

        from stream.live.page.server import PageServer
    except ModuleNotFoundError as error:
        raise InputError(f"the page needs the package {error.name}: pip install 'polypstream[serve]'") from error
    if without_token:
        _check_open(wanted, token)
    elif token is None:
        token = make_token()
    check_token(token)
    listening = open_socket(wanted)
    port: int = listening.getsockname()[1]
    access = PageAccess(token, host=wanted.host, port=port)
    return PageServer(listening, access, contents, limits or PageLimits())


def url_of(server: PageServer) -> str:
    """What to open in a browser. It holds the token: for people, not for logs."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # nosec B104
    address, token = server.address, server.token
    shown = PageAddress(reachable.get(address.host, address.host), address.port)
    return f"http://{shown}/" + ("" if token is None else f"?token={token}")


def _check_open(address: PageAddress, token: str | None) -> None:
    """Raises InputError where a page without token may not be."""
    if token is not None:
        raise InputError("a page is served with a token or without one, not both")
    if not is_loopback(address):
        raise InputError(
            f"a page at {address} needs a token, as other machines can reach it; serve a page without token at "
            "127.0.0.1 only"
        )
