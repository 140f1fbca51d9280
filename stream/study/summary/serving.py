"""The page of a study for browsers, while it goes on: who knows the token sees it, and the reports that are done.

The door is that of the live page: its token, its rules against other sites, its limits. Nothing can be changed here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import threading
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from engine.closing import Closing
from stream.live import page as live_page
from stream.live.page.access import PageAccess
from stream.live.page.address import PageAddress, open_socket
from stream.live.page.guard import Guard, GuardedConnection
from stream.live.page.limits import PageLimits
from stream.procedure.report import HTML
from stream.study.summary.files import FINDINGS, INDEX, PROCEDURES
from stream.study.summary.page import style_and_script

log = logging.getLogger(__name__)

_PAGE, _TABLE, _TEXT = "text/html; charset=utf-8", "text/csv; charset=utf-8", "text/plain; charset=utf-8"
_DOOR = Path(live_page.__file__).parent / "assets"
_DOOR_FILES = {"/token.js": "text/javascript; charset=utf-8", "/home.js": "text/javascript; charset=utf-8"} | {
    "/page.css": "text/css; charset=utf-8",
    "/icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FRAME = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
_DOOR_POLICY = f"{_FRAME}; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'"
_REPORT_POLICY = f"{_FRAME}; img-src data:; style-src 'unsafe-inline'; form-action 'none'"
_BACKLOG = 32
_CLOSING_S = 1.0


class StudyPage(Closing):
    """Serves the page of a study until it is closed."""

    def __init__(self, results: Path, address: PageAddress, token: str, *, limits: PageLimits | None = None) -> None:
        """Opens the port and begins to serve, in a thread of its own.

        Args:
            results: folder of the results.
            address: where; port 0 takes any free one.
            token: that browsers have to know, checked by `check_token`.
            limits: what browsers may take.

        Raises:
            InputError: the port is taken, or the host is none of this machine's.
        """
        self._results = results
        self._limits = limits or PageLimits()
        self._socket = open_socket(address)
        self.address = PageAddress(address.host, self._socket.getsockname()[1])
        self._access = PageAccess(token, host=address.host, port=self.address.port)
        self._guard = Guard(self._limits, log)
        style, script = map(_hash_of, style_and_script())
        self._policy = f"{_FRAME}; script-src {script}; style-src {style}; form-action 'none'"
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="study-page", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What to open in a browser. It holds the token: for people, not for logs."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address.host, self.address.host)  # nosec B104
        return f"http://{PageAddress(shown, self.address.port)}/?token={self._access.token}"

    def close(self) -> None:
        """Ends; more than one call does no harm."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        library = logging.getLogger(f"{__name__}.library")  # it tells whole requests, with cookies and tokens
        library.setLevel(logging.CRITICAL)
        server = await serve(
            self._attend,
            sock=self._socket,
            process_request=self._answer,
            server_header=None,
            open_timeout=self._limits.opening_s,
            close_timeout=_CLOSING_S,
            create_connection=cast("type[ServerConnection]", self._guard.connection),
            backlog=_BACKLOG,
            logger=library,
        )
        await self._closing.wait()
        self._guard.refusals.flush()
        server.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.wait_closed(), _CLOSING_S)

    async def _attend(self, connection: ServerConnection) -> None:
        await connection.close()  # every request is answered before: no WebSocket comes so far

    def _answer(self, connection: ServerConnection, request: Request) -> Response:
        access = self._access
        if not access.knows_host(request.headers.get_all("Host")):
            return self._refuse(HTTPStatus.FORBIDDEN, "This page is not served under this name.")
        url = urlsplit(request.path)
        token = parse_qs(url.query).get("token", [""])[0]
        if url.path == "/" and access.fits(token):
            # It asks for the page by itself, so that the cookie is sent: see `PageServer`.
            page = f'<!doctype html><meta http-equiv="refresh" content="0;url={access.home}"><title>polypstream</title>'
            return _respond(HTTPStatus.OK, _PAGE, page.encode(), _DOOR_POLICY, cookie=access.set_cookie)
        if url.path in _DOOR_FILES:
            return _respond(HTTPStatus.OK, _DOOR_FILES[url.path], (_DOOR / url.path[1:]).read_bytes(), _DOOR_POLICY)
        if not url.path.startswith(access.home) or not access.admits(request.headers.get_all("Cookie")):
            if token:
                self._guard.refusals.note("requests with a wrong token")
            page_bytes = (_DOOR / "token.html").read_bytes()
            return _respond(HTTPStatus.UNAUTHORIZED, _PAGE, page_bytes, _DOOR_POLICY)
        if not self._guard.places.recognise(cast(GuardedConnection, connection)):
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers look at this page.")
        return self._file(unquote(url.path.removeprefix(access.home)))

    def _file(self, name: str) -> Response:
        """One of the files that may be seen: the page, its tables, and reports of procedures."""
        folder, _, file = name.rpartition("/")
        kinds = {"": (INDEX, _PAGE, self._policy), INDEX: (INDEX, _PAGE, self._policy)}
        kinds |= {table: (table, _TABLE, _FRAME) for table in (PROCEDURES, FINDINGS)}
        if not folder and file in kinds:
            path, kind, policy = self._results / kinds[file][0], *kinds[file][1:]
        elif file == HTML and folder and not folder.startswith(".") and not set(folder) & set("/\\:\0"):
            path, kind, policy = self._results / folder / HTML, _PAGE, _REPORT_POLICY
        else:
            return _respond(HTTPStatus.NOT_FOUND, _TEXT, b"There is nothing here.\n", _FRAME)
        try:
            return _respond(HTTPStatus.OK, kind, path.read_bytes(), policy)
        except OSError:
            said = b"It is not there yet; load this page again in a minute.\n"
            return _respond(HTTPStatus.NOT_FOUND, _TEXT, said, _FRAME)

    def _refuse(self, status: HTTPStatus, why: str) -> Response:
        self._guard.refusals.note(f"requests: {status.phrase.lower()}")
        return _respond(status, _TEXT, f"{why}\n".encode(), _FRAME)


def _hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _respond(status: HTTPStatus, kind: str, body: bytes, policy: str, *, cookie: str | None = None) -> Response:
    headers = Headers(
        {**_HEADERS, "Content-Security-Policy": policy, "Content-Type": kind, "Content-Length": str(len(body))}
    )
    if cookie is not None:
        headers["Set-Cookie"] = cookie
    return Response(status.value, status.phrase, headers, body)
