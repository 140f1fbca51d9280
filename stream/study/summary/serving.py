"""The page of a study for browsers, while it goes on: who knows the token sees it, and the reports that are done.

The door is that of all pages: a token, rules against other sites, limits. Nothing can be changed here.
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
from urllib.parse import unquote, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from engine.closing import Closing
from stream.procedure.report import HTML
from stream.study.summary.files import FINDINGS, INDEX, PROCEDURES
from stream.study.summary.page import style_and_script
from stream.web.access import PageAccess
from stream.web.address import PageAddress, open_socket
from stream.web.door import TEXT, Answer, Door, url_of
from stream.web.files import HEADERS, NOTHING, OWN_FILES
from stream.web.guard import Guard
from stream.web.guarded_websockets import guarded
from stream.web.limits import PageLimits

log = logging.getLogger(__name__)

_PAGE, _TABLE = "text/html; charset=utf-8", "text/csv; charset=utf-8"
_REPORT_POLICY = f"{NOTHING}; img-src data:; style-src 'unsafe-inline'; form-action 'none'"
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
        self._door = Door(self._access, self._guard.refusals.note)
        style, script = map(_hash_of, style_and_script())
        self._policy = f"{NOTHING}; script-src {script}; style-src {style}; form-action 'none'"
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="study-page", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What to open in a browser. It holds the token: for people, not for logs."""
        return url_of(self._access, self.address)

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
            create_connection=guarded(self._guard),
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
        path, home = urlsplit(request.path).path, self._access.home
        headers = request.headers
        stopped = self._door.judge(
            request.path,
            hosts=headers.get_all("Host"),
            cookies=headers.get_all("Cookie"),
            file=path.removeprefix("/"),
        )
        if stopped is not None:
            return _respond(stopped, OWN_FILES)
        if not self._guard.places.recognise(connection):
            busy = self._door.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers look at this page.")
            return _respond(busy, NOTHING)
        return self._file(unquote(path.removeprefix(home)))

    def _file(self, name: str) -> Response:
        """One of the files that may be seen: the page, its tables, and reports of procedures."""
        folder, _, file = name.rpartition("/")
        kinds = {"": (INDEX, _PAGE, self._policy), INDEX: (INDEX, _PAGE, self._policy)}
        kinds |= {table: (table, _TABLE, NOTHING) for table in (PROCEDURES, FINDINGS)}
        if not folder and file in kinds:
            path, kind, policy = self._results / kinds[file][0], *kinds[file][1:]
        elif file == HTML and folder and not folder.startswith(".") and not set(folder) & set("/\\:\0"):
            path, kind, policy = self._results / folder / HTML, _PAGE, _REPORT_POLICY
        else:
            return _nothing("There is nothing here.")
        try:
            return _respond(Answer(HTTPStatus.OK, kind, path.read_bytes()), policy)
        except OSError:
            return _nothing("It is not there yet; load this page again in a minute.")


def _hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _nothing(said: str) -> Response:
    return _respond(Answer(HTTPStatus.NOT_FOUND, TEXT, f"{said}\n".encode()), NOTHING)


def _respond(answer: Answer, policy: str) -> Response:
    headers = Headers(
        {
            **HEADERS,
            "Connection": "close",
            "Content-Security-Policy": policy,
            "Content-Type": answer.kind,
            "Content-Length": str(len(answer.body)),
        }
    )
    if answer.cookie is not None:
        headers["Set-Cookie"] = answer.cookie
    return Response(answer.status.value, answer.status.phrase, headers, answer.body)
