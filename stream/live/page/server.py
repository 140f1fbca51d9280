"""The page's web server: files and small pictures over HTTP, everything that moves over one WebSocket a browser.

It runs in a thread of its own, so that nothing a browser does can hold up the live run. All methods but those of the
loop may be called from any thread and return at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from stream.live.page.access import PageAccess
from stream.live.page.address import PageAddress
from stream.live.page.client import PageClient
from stream.live.page.content import ONLY_ROOM, PageContent
from stream.live.page.guard import Guard, GuardedConnection
from stream.live.page.limits import PageLimits

_ASSETS = Path(__file__).resolve().parent / "assets"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE, _ROOMS_PAGE, _TOKEN_PAGE = "/index.html", "/rooms.html", "/token.html"
_PAGES = (_PAGE, _ROOMS_PAGE, _TOKEN_PAGE)
_ROOMS = "/rooms.json"
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
    "X-Frame-Options": "DENY",
}
_CLOSING_S = 1.0
_LARGEST_MESSAGE = 1024  # bytes, from a browser
_BACKLOG = 32  # connections that the system takes before the server sees them, each with a file descriptor


class PageServer:
    """Serves the pages of rooms on an open socket until it is closed, and one page with a tile for each of them."""

    def __init__(
        self, listening: socket.socket, access: PageAccess, contents: Mapping[str, PageContent], limits: PageLimits
    ) -> None:
        """Makes it ready; nobody is answered yet.

        Args:
            listening: from `open_socket`; closed with the server.
            access: who may come in.
            contents: what is shown of each room, by its name; of a single one by `ONLY_ROOM`.
            limits: what browsers may take.
        """
        self._socket = listening
        self._address = PageAddress(access.host, listening.getsockname()[1])
        self._access = access
        self._contents = contents
        self._limits = limits
        self._guard = Guard(limits, logging.getLogger(__name__))
        self._clients: dict[PageClient, str] = {}  # and the room that each looks at
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

    def start(self) -> None:
        """Starts serving in a thread of its own."""
        self._thread.start()

    @property
    def address(self) -> PageAddress:
        """Where it serves."""
        return self._address

    @property
    def token(self) -> str | None:
        """What browsers have to know; None: nothing."""
        return self._access.token

    def tell_all(self, room: str, tell: Callable[[PageClient], None]) -> None:
        """Runs a function for all browsers that look at a room, in the server's thread, soon; never after the end."""
        with self._lock:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._tell_all, room, tell)

    def close(self, farewell: str = "") -> None:
        """Says farewell to all browsers and ends; more than one call does no harm.

        Args:
            farewell: text message that every browser is sent last; "" for none.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._farewell = farewell
                self._loop.call_soon_threadsafe(self._closing.set)
        if self._thread.ident is not None:
            self._thread.join()

    def _tell_all(self, room: str, tell: Callable[[PageClient], None]) -> None:
        for client, looks_at in self._clients.items():
            if looks_at == room:
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
            open_timeout=self._limits.opening_s,
            close_timeout=_CLOSING_S,
            max_size=_LARGEST_MESSAGE,
            create_connection=cast("type[ServerConnection]", self._guard.connection),
            backlog=_BACKLOG,
            logger=self._log,
        )
        await self._closing.wait()
        await self._shut(server)

    async def _shut(self, server: Server) -> None:
        self._guard.refusals.flush()
        if self._farewell:
            await asyncio.gather(*(client.say_farewell(self._farewell) for client in self._clients))
        server.close()
        # Browsers keep connections in store that never say anything: not waited for.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.wait_closed(), _CLOSING_S)

    async def _attend(self, connection: ServerConnection) -> None:
        room, _ = self._place(cast(Request, connection.request).path)
        content = self._contents[cast(str, room)]
        client = PageClient(connection, on_greet=content.greet, on_ready=content.want_frame, on_command=content.obey)
        self._clients[client] = cast(str, room)
        try:
            await client.run()
        finally:
            del self._clients[client]

    def _place(self, address: str) -> tuple[str | None, str]:
        """The room that an address is of (None: of all, or of none), and what is asked of it."""
        path, home = urlsplit(address).path, self._access.home
        inside = path.startswith(home)
        path = f"/{path.removeprefix(home)}" if inside else path
        if ONLY_ROOM in self._contents:
            return ONLY_ROOM, path
        if not inside:  # nobody learns there which rooms there are
            return None, path
        name, slash, rest = path.removeprefix("/").partition("/")
        return (unquote(name), f"/{rest}") if slash and unquote(name) in self._contents else (None, path)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a request; None lets a WebSocket through."""
        hosts = request.headers.get_all("Host")
        if not self._access.knows_host(hosts):
            return self._refuse(HTTPStatus.FORBIDDEN, "This page is not served under this name.")
        if getattr(request, "method", "GET") != "GET":  # `websockets` 16 knows no other
            return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "This page is only to be read.")
        url = urlsplit(request.path)
        home = self._access.home
        token = parse_qs(url.query).get("token", [""])[0]
        if url.path == "/" and self._access.fits(token):
            # The next page is asked for by this one, not by the one that held the link: only then the cookie is sent.
            # The browser puts it in this one's place, so the token is in no address bar and no history.
            page = f'<!doctype html><meta http-equiv="refresh" content="0;url={home}"><title>polypstream</title>'
            return _respond(HTTPStatus.OK, _KINDS[".html"], page.encode(), cookie=self._access.set_cookie)
        room, path = self._place(request.path)
        if path in self._files and path not in _PAGES:
            return self._file(path)  # scripts and styles, which hold nothing
        if not url.path.startswith(home) or not self._access.admits(request.headers.get_all("Cookie")):
            if token:
                self._guard.refusals.note("requests with a wrong token")
            return self._file(_TOKEN_PAGE, HTTPStatus.UNAUTHORIZED)
        if not self._guard.places.recognise(cast(GuardedConnection, connection)):
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers look at this page.")
        if path == "/":
            return self._file(_ROOMS_PAGE if room is None else _PAGE)
        if path == _ROOMS and room is None:
            names = [{"name": name, "path": f"{quote(name)}/"} for name in self._contents]
            return _respond(HTTPStatus.OK, "application/json", json.dumps(names).encode())
        if path == _LIVE and room is not None:
            return self._judge_live(request, hosts[0])
        if path.startswith(_THUMBNAILS) and room is not None:
            number = path.removeprefix(_THUMBNAILS).removesuffix(".jpg")
            picture = self._contents[room].thumbnail(int(number)) if re.fullmatch("[0-9]{1,9}", number) else None
            if picture is not None:
                return _respond(HTTPStatus.OK, "image/jpeg", picture)
        return _respond(HTTPStatus.NOT_FOUND, _TEXT, b"There is nothing here.\n")

    def _refuse(self, status: HTTPStatus, why: str) -> Response:
        self._guard.refusals.note(f"requests: {status.phrase.lower()}")
        return _respond(status, _TEXT, f"{why}\n".encode())

    def _file(self, path: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return _respond(status, _KINDS[Path(path).suffix], self._files[path])

    def _judge_live(self, request: Request, host: str) -> Response | None:
        if not self._access.same_origin(request.headers.get_all("Origin"), host):
            return self._refuse(HTTPStatus.FORBIDDEN, "Another site's page asked for this.")
        if len(self._clients) >= self._limits.browsers:
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers look at this page.")
        return None


def _respond(status: HTTPStatus, kind: str, body: bytes, *, cookie: str | None = None) -> Response:
    headers = Headers({**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))})
    if cookie is not None:
        headers["Set-Cookie"] = cookie
    return Response(status.value, status.phrase, headers, body)
