"""The page of one room, from the room's process to the one that serves all pages: messages over their channel."""

from __future__ import annotations

from typing import Any

from engine.processes.channel import Channel, Message
from stream.live.page.content import PageContent


class ChannelAudience:
    """The browsers that another process serves: an `Audience`. Browsers are numbers here."""

    def __init__(self, channel: Channel, content: PageContent) -> None:
        """Says that this room's page begins.

        Args:
            channel: to the process with the server.
            content: what browsers may be shown.
        """
        self._channel, self._content = channel, content
        self._pictures: dict[int, int] = {}  # of the timeline: the version of each track's that was sent
        channel.send("page")

    def take(self, message: Message) -> None:
        """Does what the server asks for: called with its messages, from one thread."""
        fields = message.fields
        if message.kind == "greet":
            self._content.greet(fields["browser"])
        elif message.kind == "want":
            self._content.want_frame(fields["have"])
        elif message.kind == "obey":
            self._content.obey(fields["browser"], fields["command"])

    def offer(self, index: int, captured_s: float, message: bytes) -> None:
        """See `Audience`."""
        self._channel.send("frame", message, index=index, captured_s=captured_s)

    def tell(self, kind: str, **fields: Any) -> None:
        """See `Audience`."""
        self._send_pictures(kind, fields)
        self._channel.send("tell", what=kind, fields=fields)

    def tell_one(self, browser: object, kind: str, **fields: Any) -> None:
        """See `Audience`."""
        self._send_pictures(kind, fields)
        self._channel.send("tell one", browser=browser, what=kind, fields=fields)

    def tell_figures(self) -> None:
        """See `Audience`."""
        self._channel.send("figures")

    def close(self, kind: str, **fields: Any) -> None:
        """See `Audience`: the server goes on for the other rooms."""
        self.tell(kind, **fields)

    def _send_pictures(self, kind: str, fields: dict[str, Any]) -> None:
        """Small pictures go before the timeline that shows them."""
        if kind != "timeline":
            return
        versions = {entry["track_id"]: entry["picture"] for entry in fields["entries"]}
        for track, version in versions.items():
            picture = self._content.thumbnail(track) if version > self._pictures.get(track, 0) else None
            if picture is not None:
                self._channel.send("thumbnail", picture, track=track)
        self._pictures = versions
