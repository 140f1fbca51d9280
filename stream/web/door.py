"""The door of a page: which requests are let in, and what everybody else gets to see.

Who shows the token gets a cookie for it, and is sent to the page's own path. Without the cookie there is nothing but
the page that asks for the token, and the scripts and styles, which hold nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from stream.web.access import PageAccess
from stream.web.address import PageAddress
from stream.web.files import KINDS, kind_of, read_assets

DOOR_ASSETS = Path(__file__).resolve().parent / "assets"
"""Folder of the files that every page has."""

TEXT = "text/plain; charset=utf-8"
"""Kind of an answer of one line for people."""

_HTML, _TOKEN_PAGE = KINDS[".html"], "token.html"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a request.

    Attributes:
        status: of the answer.
        kind: of its body, as the header `Content-Type` says it.
        body: of the answer.
        cookie: value of the header `Set-Cookie`; None for none.
    """

    status: HTTPStatus
    kind: str
    body: bytes
    cookie: str | None = None


class Door:
    """Judges requests before anything is done for them."""

    def __init__(self, access: PageAccess, note: Callable[[str], object], *folders: Path) -> None:
        """Reads the files that everybody may have.

        Args:
            access: who may come in.
            note: called with what was refused, in the plural, for the log.
            folders: with the page's own scripts, styles and pictures.
        """
        self.access = access
        self._note = note
        self._files = read_assets(DOOR_ASSETS, *folders)

    def judge(self, address: str, *, hosts: Sequence[str], cookies: Sequence[str], file: str = "") -> Answer | None:
        """What somebody who is not let in gets to see; None lets the request in.

        Args:
            address: path and query that are asked for.
            hosts: all `Host` headers.
            cookies: all `Cookie` headers.
            file: the path below the page's own path, or below `/`; a file of the page is for everybody.
        """
        access = self.access
        if not access.knows_host(hosts):
            return self.refuse(HTTPStatus.FORBIDDEN, "This page is not served under this name.")
        url = urlsplit(address)
        token = parse_qs(url.query).get("token", [""])[0]
        if url.path == "/" and access.fits(token):
            # The next page is asked for by this one, not by the one that held the link: only then the cookie is sent.
            # The browser puts it in this one's place, so the token is in no address bar and no history.
            page = f'<!doctype html><meta http-equiv="refresh" content="0;url={access.home}"><title>polypstream</title>'
            return Answer(HTTPStatus.OK, _HTML, page.encode(), access.set_cookie)
        if file in self._files and not file.endswith(".html"):
            return self.file(file)
        if not url.path.startswith(access.home) or not access.admits(cookies):
            if token:
                self._note("requests with a wrong token")
            return self.file(_TOKEN_PAGE, HTTPStatus.UNAUTHORIZED)
        return None

    def file(self, name: str, status: HTTPStatus = HTTPStatus.OK) -> Answer:
        """A file of the page."""
        return Answer(status, kind_of(name), self._files[name])

    def refuse(self, status: HTTPStatus, why: str) -> Answer:
        """Refuses a request with one line, and notes it."""
        self._note(f"requests: {status.phrase.lower()}")
        return Answer(status, TEXT, f"{why}\n".encode())


def url_of(access: PageAccess, address: PageAddress) -> str:
    """What to open in a browser. It holds the token: for people, not for logs."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # nosec B104
    shown = PageAddress(reachable.get(address.host, address.host), address.port)
    return f"http://{shown}/" + ("" if access.token is None else f"?token={access.token}")
