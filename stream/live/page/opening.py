"""Opens the server of a live page: checks who may come in, and takes the port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.errors import InputError
from stream.web.address import PageAddress
from stream.web.limits import PageLimits
from stream.web.opening import open_access

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
        wanted: as of `open_access`.
        contents: as of `PageServer`.
        token: as of `open_access`.
        without_token: as of `open_access`.
        limits: what browsers may take of this machine.

    Raises:
        InputError: as of `open_access`, or the extra `serve` is not installed.
    """
    try:
        import simplejpeg  # noqa: F401

        from stream.live.page.server import PageServer
    except ModuleNotFoundError as error:
        raise InputError(f"the page needs the package {error.name}: pip install 'polypstream[serve]'") from error
    listening, access = open_access(wanted, token=token, without_token=without_token)
    return PageServer(listening, access, contents, limits or PageLimits())
