"""How much of this machine browsers may take, and who gives way when it is not enough.

A connection takes a file descriptor, which recordings need too, and memory. Who has not shown the token is a stranger:
strangers share a few places, and the one that has been there longest gives way to the newest. A browser says who it is
with its first bytes, so it does not stay among them. Who has shown the token has places of its own, which no stranger
can take.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.checks import require_above, require_at_least

_Visitor = TypeVar("_Visitor", bound=Hashable)


@dataclass(frozen=True, slots=True)
class PageLimits:
    """What browsers may take.

    Attributes:
        strangers: connections that have not shown the token, all together.
        strangers_of_one_address: such connections of one address (of IPv6: of one network of 64 bits).
        known: connections that have shown it, or of a page without token have asked for something, all together.
        browsers: pages that are open, all together; they are among the known ones.
        opening_s: so many seconds a connection may take to send its request.
        request_bytes: length of a request with its headers.
        unread_bytes: answers to pings that a browser may leave unread.
        report_s: seconds between two lines in the log about what was refused.
    """

    strangers: int = 32
    strangers_of_one_address: int = 16
    known: int = 64
    browsers: int = 16
    opening_s: float = 5.0
    request_bytes: int = 65_536
    unread_bytes: int = 65_536
    report_s: float = 10.0

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InputError: one of them is out of its range.
        """
        for name in ("strangers", "strangers_of_one_address", "known", "browsers", "request_bytes", "unread_bytes"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("opening_s", "report_s"):
            require_above(name, getattr(self, name))


class Places(Generic[_Visitor]):
    """Who is connected: strangers, the longest there first, and those who are known."""

    def __init__(self, limits: PageLimits) -> None:
        """Begins with nobody."""
        self._limits = limits
        self._strangers: dict[_Visitor, str] = {}
        self._known: set[_Visitor] = set()

    @property
    def taken(self) -> int:
        """How many are connected."""
        return len(self._strangers) + len(self._known)

    def enter(self, visitor: _Visitor, address: str) -> _Visitor | None:
        """Gives a stranger a place.

        Args:
            visitor: who comes.
            address: from where, as `network_of` gives it.

        Returns:
            Who has to give way for it, if anybody: it has left.
        """
        neighbours = [other for other, place in self._strangers.items() if place == address]
        leaves = None
        if len(neighbours) >= self._limits.strangers_of_one_address:
            leaves = neighbours[0]
        elif len(self._strangers) >= self._limits.strangers:
            leaves = next(iter(self._strangers))
        if leaves is not None:
            del self._strangers[leaves]
        self._strangers[visitor] = address
        return leaves

    def recognise(self, visitor: _Visitor) -> bool:
        """Gives a stranger a place among those who are known; False when there is none."""
        if visitor in self._known:
            return True
        if len(self._known) >= self._limits.known:
            return False
        self._strangers.pop(visitor, None)
        self._known.add(visitor)
        return True

    def leave(self, visitor: _Visitor) -> None:
        """Takes the visitor's place back, if it has one."""
        self._strangers.pop(visitor, None)
        self._known.discard(visitor)


class RefusalLog:
    """Says in the log what was refused: at once, then what came together in each span of time."""

    def __init__(self, log: logging.Logger, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins with nothing.

        Args:
            log: where to write.
            every_s: least seconds between two lines.
            clock: that tells seconds.
        """
        self._log = log
        self._every_s = every_s
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._due_s = clock()

    def note(self, why: str) -> None:
        """Counts something that was refused."""
        self._counts[why] += 1
        if self._clock() >= self._due_s:
            self.flush()

    def flush(self) -> None:
        """Writes what has come together, if anything."""
        if self._counts:
            self._log.warning("the page refused %s", ", ".join(f"{why} ({n})" for why, n in self._counts.items()))
            self._counts.clear()
        self._due_s = self._clock() + self._every_s


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, which one machine can have whole."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
