"""Whom a room's page speaks to: the browsers that look at it, of this process's server or of another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from stream.live.page.messages import text_message

if TYPE_CHECKING:
    from stream.live.page.client import PageClient
    from stream.live.page.server import PageServer


class Audience(Protocol):
    """All browsers that look at one room. Each method returns at once."""

    def offer(self, index: int, captured_s: float, message: bytes) -> None:
        """Sends a picture, as `frame_message` makes it, to each browser that has room for it.

        Args:
            index: of the frame.
            captured_s: monotonic time at which it became available.
            message: the picture.
        """

    def tell(self, kind: str, **fields: Any) -> None:
        """Sends all browsers a text message."""

    def tell_one(self, browser: object, kind: str, **fields: Any) -> None:
        """Sends one browser a text message.

        Args:
            browser: as `PageContent.greet` or `PageContent.obey` was given it.
            kind: of the message.
            **fields: of the message.
        """

    def tell_figures(self) -> None:
        """Tells each browser how late its pictures are, and how many it was not sent."""

    def close(self, kind: str, **fields: Any) -> None:
        """Sends all browsers a last text message, and ends."""


class ServedAudience:
    """The browsers that look at one room of a server in this process: an `Audience`."""

    def __init__(self, server: PageServer, room: str) -> None:
        """Speaks to nobody yet.

        Args:
            server: that the browsers are connected to.
            room: its name.
        """
        self._server, self._room = server, room

    def offer(self, index: int, captured_s: float, message: bytes) -> None:
        """See `Audience`."""
        self._server.tell_all(self._room, lambda client: client.offer(index, captured_s, message))

    def tell(self, kind: str, **fields: Any) -> None:
        """See `Audience`."""
        text = text_message(kind, **fields)
        self._server.tell_all(self._room, lambda client: client.tell(kind, text))

    def tell_one(self, browser: object, kind: str, **fields: Any) -> None:
        """See `Audience`."""
        text = text_message(kind, **fields)
        self._server.tell_all(self._room, lambda client: client.tell(kind, text) if client is browser else None)

    def tell_figures(self) -> None:
        """See `Audience`."""
        self._server.tell_all(self._room, _tell_figures)

    def begin_anew(self) -> None:
        """Has each browser greeted again, as if it had just come: the room's frames are counted from 0 again."""
        self._server.tell_all(self._room, lambda client: client.begin_anew())

    def close(self, kind: str, **fields: Any) -> None:
        """See `Audience`: the server ends with it."""
        self._server.close(text_message(kind, **fields))


def _tell_figures(client: PageClient) -> None:
    client.tell("figures", text_message("figures", delay_ms=client.delay_ms, skipped=client.skipped))
