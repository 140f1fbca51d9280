"""Connections of the library `aiohttp` that are counted by a guard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from stream.web.guard import Guard


def guarded(guard: Guard, server: web.Server, **settings: Any) -> Callable[[], web.RequestHandler]:
    """What makes connections, as `loop.create_server` asks for it: each is counted by the guard.

    Args:
        guard: that counts them.
        server: that answers requests.
        settings: of `aiohttp.web.RequestHandler`.
    """
    loop = asyncio.get_running_loop()
    return lambda: GuardedHandler(guard, server, loop=loop, **settings)


class GuardedHandler(web.RequestHandler):
    """A connection that is counted by a guard. Who sends no request for some seconds is cut."""

    __slots__ = ("_guard", "_opening")

    def __init__(self, guard: Guard, *arguments: Any, **settings: Any) -> None:
        """Makes a connection.

        Args:
            guard: that counts it.
            arguments: of `RequestHandler`.
            settings: of `RequestHandler`.
        """
        super().__init__(*arguments, **settings)
        self._guard = guard
        self._opening: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        guard = self._guard
        guard.enter(self, str(peer[0]) if peer else "")  # type: ignore[arg-type]  # its transport may be None
        loop = asyncio.get_running_loop()
        self._opening = loop.call_later(guard.limits.opening_s, self._cut_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._guard.places.leave(self)  # type: ignore[arg-type]
        self.opened()
        super().connection_lost(exc)

    def opened(self) -> None:
        """Called when a request has come."""
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None

    def recognise(self) -> bool:
        """Gives it a place among those who have shown the token; False when there is none."""
        return self._guard.places.recognise(self)  # type: ignore[arg-type]

    def _cut_silent(self) -> None:
        if self.transport is not None:
            self._guard.cut(self, "connections that asked for nothing")  # type: ignore[arg-type]
