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
from urllib.parse import quote, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from stream.live.page.client import PageClient
from stream.live.page.content import ONLY_ROOM, PageContent
from stream.web.access import PageAccess
from stream.web.address import PageAddress
from stream.web.door import TEXT, Answer, Door
from stream.web.files import HEADERS, NOTHING
from stream.web.guard import Guard
from stream.web.guarded_websockets import guarded
from stream.web.limits import PageLimits
from stream.web.loops import end_loop

_ASSETS = Path(__file__).resolve().parent / "assets"
_PAGE, _ROOMS_PAGE = "index.html", "rooms.html"
_ROOMS = "/rooms.json"
_LIVE = "/live"
_THUMBNAILS = "/thumbnail/"
_HEADERS = {
    **HEADERS,
    "Connection": "close",
    "Content-Security-Policy": f"{NOTHING}; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'",
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
        self._door = Door(access, self._guard.refusals.note, _ASSETS)
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
    def access(self) -> PageAccess:
        """Who may come in."""
        return self._access

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
            end_loop(self._loop)

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
            create_connection=guarded(self._guard),
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
        answer = self._judge(connection, request)
        return None if answer is None else _respond(answer)

    def _judge(self, connection: ServerConnection, request: Request) -> Answer | None:
        door, hosts = self._door, request.headers.get_all("Host")
        room, path = self._place(request.path)
        if getattr(request, "method", "GET") != "GET":  # `websockets` 16 knows no other
            return door.refuse(HTTPStatus.METHOD_NOT_ALLOWED, "This page is only to be read.")
        stopped = door.judge(
            request.path, hosts=hosts, cookies=request.headers.get_all("Cookie"), file=path.removeprefix("/")
        )
        if stopped is not None:
            return stopped
        if not self._guard.places.recognise(connection):
            return door.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers look at this page.")
        if path == "/":
            return door.file(_ROOMS_PAGE if room is None else _PAGE)
        if path == _ROOMS and room is None:
            names = [{"name": name, "path": f"{quote(name)}/"} for name in self._contents]
            return Answer(HTTPStatus.OK, "application/json", json.dumps(names).encode())
        if path == _LIVE and room is not None:
            return self._judge_live(request, hosts[0])
        if path.startswith(_THUMBNAILS) and room is not None:
            number = path.removeprefix(_THUMBNAILS).removesuffix(".jpg")
            picture = self._contents[room].thumbnail(int(number)) if re.fullmatch("[0-9]{1,9}", number) else None
            if picture is not None:
                return Answer(HTTPStatus.OK, "image/jpeg", picture)
        return Answer(HTTPStatus.NOT_FOUND, TEXT, b"There is nothing here.\n")

    def _judge_live(self, request: Request, host: str) -> Answer | None:
        if not self._access.same_origin(request.headers.get_all("Origin"), host):
            return self._door.refuse(HTTPStatus.FORBIDDEN, "Another site's page asked for this.")
        if len(self._clients) >= self._limits.browsers:
            return self._door.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers look at this page.")
        return None


def _respond(answer: Answer) -> Response:
    headers = Headers({**_HEADERS, "Content-Type": answer.kind, "Content-Length": str(len(answer.body))})
    if answer.cookie is not None:
        headers["Set-Cookie"] = answer.cookie
    return Response(answer.status.value, answer.status.phrase, headers, answer.body)
