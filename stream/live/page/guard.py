"""The door of the page's server: counts each connection from its first moment, and cuts what takes too much."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from websockets.asyncio.server import ServerConnection

from stream.live.page.limits import PageLimits, Places, RefusalLog, network_of


class Guard:
    """Holds all connections to the limits. Used in the server's thread only."""

    def __init__(self, limits: PageLimits, log: logging.Logger) -> None:
        """Begins with nobody.

        Args:
            limits: what browsers may take.
            log: where refusals are told.
        """
        self.limits = limits
        self.refusals = RefusalLog(log, limits.report_s)
        self.places: Places[GuardedConnection] = Places(limits)

    def connection(self, *arguments: Any, **settings: Any) -> ServerConnection:
        """Makes a connection, as `websockets` asks for it."""
        return GuardedConnection(self, *arguments, **settings)

    def enter(self, connection: GuardedConnection, address: str) -> None:
        """Gives a new connection a place, and cuts the one that has to give way."""
        leaves = self.places.enter(connection, network_of(address))
        if leaves is not None:
            self.cut(leaves, "connections, as too many were open")

    def cut(self, connection: GuardedConnection, why: str) -> None:
        """Ends a connection at once.

        Args:
            connection: to end.
            why: for the log: what was refused, in the plural.
        """
        self.refusals.note(why)
        connection.transport.abort()


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
