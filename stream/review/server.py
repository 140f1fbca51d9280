"""The server of the review page: the door, the files of the page, and what each part of it answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from engine.errors import InputError, PolypstreamError, WriteError, cause_of
from stream.review import page as review_page
from stream.review.context import NotFoundError, ReviewContext
from stream.web.access import PageAccess
from stream.web.door import TEXT, Answer, Door
from stream.web.files import HEADERS, NOTHING
from stream.web.guard import Guard
from stream.web.guarded_aiohttp import GuardedHandler, guarded
from stream.web.limits import PageLimits

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ASSETS = Path(review_page.__file__).parent / "assets"
_INDEX = "index.html"
_POLICY = (
    f"{NOTHING}; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'"
)
#: A browser has up to six connections, and several tabs.
_LIMITS = PageLimits(strangers=128, strangers_of_one_address=64, known=512)
_BACKLOG = 64
_CLOSING_S = 2.0
_LARGEST_BODY = 1 << 20  # bytes; who takes more (an upload) reads the body piece by piece


def make_application(
    context: ReviewContext, access: PageAccess, guard: Guard, routes: Iterable[web.RouteDef]
) -> web.Application:
    """The application behind the door.

    Args:
        context: what all parts of the page know.
        access: who may come in.
        guard: that counts connections.
        routes: of all parts; their paths begin with `/api/` or `/media/`, and lie below the page's own path.
    """
    door = Door(access, guard.refusals.note, _ASSETS)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, GuardedHandler)
        connection.opened()
        answer = _judge(request, door, connection)
        return await _answered(request, handler) if answer is None else _respond(answer)

    async def index(_: web.Request) -> web.StreamResponse:
        return _respond(door.file(_INDEX))

    application = web.Application(middlewares=[middleware], client_max_size=_LARGEST_BODY)
    application.on_response_prepare.append(_add_headers)
    home = access.home.rstrip("/")
    application.router.add_get(access.home, index)
    application.add_routes([web.route(one.method, f"{home}{one.path}", one.handler, **one.kwargs) for one in routes])
    return application


async def serve(application: web.Application, listening: socket.socket, guard: Guard, ended: asyncio.Event) -> None:
    """Answers until it is told to end.

    Args:
        application: made by `make_application`.
        listening: from `open_access`; closed at the end.
        guard: the application's.
        ended: set to end.
    """
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    assert runner.server is not None
    handlers = guarded(guard, runner.server, access_log=None)
    server = await asyncio.get_running_loop().create_server(handlers, sock=listening, backlog=_BACKLOG)
    try:
        await ended.wait()
    finally:
        guard.refusals.flush()
        server.close()
        await runner.server.shutdown(_CLOSING_S)
        await runner.cleanup()


def new_guard() -> Guard:
    """Holds the connections of a review page to its limits."""
    return Guard(_LIMITS, log)


def _judge(request: web.Request, door: Door, connection: GuardedHandler) -> Answer | None:
    path, home = request.rel_url.raw_path, door.access.home
    hosts, cookies = request.headers.getall("Host", []), request.headers.getall("Cookie", [])
    # At the path of the page, and at `/`: the page that asks for the token lies there.
    file = path.removeprefix(home) if path.startswith(home) else path.removeprefix("/")
    stopped = door.judge(request.path_qs, hosts=hosts, cookies=cookies, file=file)
    if stopped is not None:
        return stopped
    if not door.access.same_origin(request.headers.getall("Origin", []), hosts[0]):
        return door.refuse(HTTPStatus.FORBIDDEN, "Another site's page asked for this.")
    if not connection.recognise():
        return door.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers look at this page.")
    return None


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a part of the page answers; its errors as one line of JSON."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return error_response(HTTPStatus(error.status), error.text or error.reason)
    except NotFoundError as error:
        return error_response(HTTPStatus.NOT_FOUND, str(error))
    except InputError as error:
        return error_response(HTTPStatus.BAD_REQUEST, str(error))
    except WriteError as error:
        return error_response(HTTPStatus.INSUFFICIENT_STORAGE, str(error))
    except PolypstreamError as error:
        return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:
        log.exception("a request of the review page failed")
        return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, f"polypstream failed: {cause_of(error)}")


def error_response(status: HTTPStatus, said: str) -> web.Response:
    """A refusal that says why, in one line."""
    return web.json_response({"error": " ".join(said.split())}, status=status.value)


def _respond(answer: Answer) -> web.Response:
    kind, _, charset = answer.kind.partition("; charset=")
    response = web.Response(status=answer.status.value, body=answer.body)
    response.content_type = kind
    response.charset = charset or None
    if answer.cookie is not None:
        response.headers["Set-Cookie"] = answer.cookie
    if answer.kind == TEXT:
        response.force_close()
    return response


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    with contextlib.suppress(KeyError):
        del response.headers["Server"]
