"""The page's web server: files and small pictures over HTTP, everything that moves over one WebSocket a browser.

It runs in a thread of its own, so that nothing a browser does can hold up the live run. All methods but those of the
loop may be called from any thread and return at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from stream.live.page.access import PageAccess
from stream.live.page.client import PageClient

_ASSETS = Path(__file__).resolve().parent / "assets"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE, _TOKEN_PAGE = "/index.html", "/token.html"
_LIVE = "/live"
_THUMBNAILS = "/thumbnail/"
_TEXT = "text/plain; charset=utf-8"
_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CLIENTS = 16
_OPENING_S = 5.0
_CLOSING_S = 1.0
_LARGEST_REQUEST = 1024  # bytes of a message from a browser


@dataclass(frozen=True, slots=True)
class PageContent:
    """What the server asks of the page. Called in the server's thread; each returns at once.

    Attributes:
        greet: tells a new browser how things stand.
        want_frame: a browser has room for a picture of another frame than that of this index; None when it has none.
        obey: a browser asks for something.
        thumbnail: the JPEG of a polyp on the timeline, by its track.
    """

    greet: Callable[[PageClient], None]
    want_frame: Callable[[int | None], None]
    obey: Callable[[PageClient, str], None]
    thumbnail: Callable[[int], bytes | None]


class PageServer:
    """Serves the page on an open socket until it is closed."""

    def __init__(self, listening: socket.socket, access: PageAccess, content: PageContent) -> None:
        """Starts serving in a thread of its own.

        Args:
            listening: from `open_socket`; closed with the server.
            access: who may come in.
            content: what is shown.
        """
        self._socket = listening
        self._access = access
        self._content = content
        self._clients: set[PageClient] = set()
        self._files = {f"/{path.name}": path.read_bytes() for path in _ASSETS.iterdir() if path.suffix in _KINDS}
        # The library tells whole requests, with cookies and tokens, to its log.
        self._log = logging.getLogger(f"{__name__}.library")
        self._log.setLevel(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._farewell = ""
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="page-server", daemon=True)
        self._thread.start()

    def tell_all(self, tell: Callable[[PageClient], None]) -> None:
        """Runs a function for every connected browser in the server's thread, soon; not at all after the end."""
        with self._lock:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._tell_all, tell)

    def tell(self, client: PageClient, kind: str, text: str) -> None:
        """Sends one browser a text message."""
        self.tell_all(lambda other: other.tell(kind, text) if other is client else None)

    def close(self, farewell: str) -> None:
        """Says farewell to all browsers and ends; more than one call does no harm.

        Args:
            farewell: text message that every browser is sent last.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._farewell = farewell
                self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _tell_all(self, tell: Callable[[PageClient], None]) -> None:
        for client in self._clients:
            tell(client)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            with self._lock:
                self._closed = True
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self) -> None:
        server = await serve(
            self._attend,
            sock=self._socket,
            process_request=self._answer,
            compression=None,  # pictures are compressed already
            server_header=None,
            open_timeout=_OPENING_S,
            close_timeout=_CLOSING_S,
            max_size=_LARGEST_REQUEST,
            logger=self._log,
        )
        await self._closing.wait()
        await self._shut(server)

    async def _shut(self, server: Server) -> None:
        await asyncio.gather(*(client.say_farewell(self._farewell) for client in self._clients))
        server.close()
        # Browsers keep connections in store that never say anything: not waited for.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.wait_closed(), _CLOSING_S)

    async def _attend(self, connection: ServerConnection) -> None:
        client = PageClient(
            connection,
            on_ready=self._content.want_frame,
            on_command=self._content.obey,
        )
        self._clients.add(client)
        try:
            self._content.greet(client)
            await client.run()
        finally:
            self._clients.discard(client)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a request; None lets a WebSocket through."""
        hosts = request.headers.get_all("Host")
        if not self._access.knows_host(hosts):
            return _respond(HTTPStatus.FORBIDDEN, _TEXT, b"This page is not served under this name.\n")
        url = urlsplit(request.path)
        token = parse_qs(url.query).get("token", [""])[0]
        if url.path == "/" and self._access.fits(token):
            # The next page is asked for by this one, not by the one that held the link: only then the cookie is sent.
            # The browser puts it in this one's place, so the token is in no address bar and no history.
            page = b'<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>polypstream</title>'
            return _respond(HTTPStatus.OK, _KINDS[".html"], page, cookie=self._access.set_cookie)
        if url.path in self._files and url.path != _PAGE:
            return self._file(url.path)  # scripts and styles, which hold nothing
        if not self._access.admits(request.headers.get_all("Cookie")):
            return self._file(_TOKEN_PAGE, HTTPStatus.UNAUTHORIZED)
        if url.path == "/":
            return self._file(_PAGE)
        if url.path == _LIVE:
            return self._judge_live(request, hosts[0])
        if url.path.startswith(_THUMBNAILS):
            number = url.path.removeprefix(_THUMBNAILS).removesuffix(".jpg")
            picture = self._content.thumbnail(int(number)) if re.fullmatch("[0-9]{1,9}", number) else None
            if picture is not None:
                return _respond(HTTPStatus.OK, "image/jpeg", picture)
        return _respond(HTTPStatus.NOT_FOUND, _TEXT, b"There is nothing here.\n")

    def _file(self, path: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return _respond(status, _KINDS[Path(path).suffix], self._files[path])

    def _judge_live(self, request: Request, host: str) -> Response | None:
        if not self._access.same_origin(request.headers.get_all("Origin"), host):
            return _respond(HTTPStatus.FORBIDDEN, _TEXT, b"Another site's page asked for this.\n")
        if len(self._clients) >= _CLIENTS:
            return _respond(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"Too many browsers look at this page.\n")
        return None


def _respond(status: HTTPStatus, kind: str, body: bytes, *, cookie: str | None = None) -> Response:
    headers = Headers({**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))})
    if cookie is not None:
        headers["Set-Cookie"] = cookie
    return Response(status.value, status.phrase, headers, body)
