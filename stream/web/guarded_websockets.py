"""Connections of the library `websockets` that are counted by a guard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from websockets.asyncio.server import ServerConnection

from stream.web.guard import Guard


def guarded(guard: Guard) -> type[ServerConnection]:
    """What makes connections, as `websockets` asks for it: each is counted by the guard."""
    make: Callable[..., ServerConnection] = partial(GuardedConnection, guard)
    return cast("type[ServerConnection]", make)


class GuardedConnection(ServerConnection):
    """A connection that is counted by a guard."""

    def __init__(self, guard: Guard, *arguments: Any, **settings: Any) -> None:
        """Makes a connection.

        Args:
            guard: that counts it.
            arguments: of `ServerConnection`.
            settings: of `ServerConnection`.
        """
        super().__init__(*arguments, **settings)
        self._guard = guard
        self._asked = 0  # bytes of the request
        self._unread = 0  # bytes of answers to what came since all that was sent before had left

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._guard.enter(self, str(peer[0]) if peer else "")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._guard.places.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.transport.is_closing():
            return
        if self.request is None:
            self._asked += len(data)
            if self._asked > self._guard.limits.request_bytes:
                self._guard.cut(self, "requests that were too long")
                return
        # `websockets` answers pings by itself, at once, whether or not anybody reads the answers.
        before = self.transport.get_write_buffer_size()
        super().data_received(data)
        grown = self.transport.get_write_buffer_size() - before
        if before == 0:
            self._unread = 0
        self._unread += max(grown, 0)
        if self._unread > self._guard.limits.unread_bytes:
            self._guard.cut(self, "browsers that asked and did not read the answers")
