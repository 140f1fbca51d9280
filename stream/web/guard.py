"""The door of a page's server: counts each connection from its first moment, and cuts what takes too much."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from stream.web.limits import PageLimits, Places, RefusalLog, network_of


class Visitor(Protocol):
    """A connection of a browser.

    Attributes:
        transport: what its bytes go through.
    """

    transport: asyncio.Transport

    def __hash__(self) -> int:
        """Each connection is itself alone."""


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
        self.places: Places[Visitor] = Places(limits)

    def enter(self, visitor: Visitor, address: str) -> None:
        """Gives a new connection a place, and cuts the one that has to give way."""
        leaves = self.places.enter(visitor, network_of(address))
        if leaves is not None:
            self.cut(leaves, "connections, as too many were open")

    def cut(self, visitor: Visitor, why: str) -> None:
        """Ends a connection at once.

        Args:
            visitor: to end.
            why: for the log: what was refused, in the plural.
        """
        self.refusals.note(why)
        visitor.transport.abort()
