"""One page for several rooms: a tile for each, and each in full. Their processes come and go, the page stays."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from engine.closing import Closing
from engine.processes.channel import Message
from stream.live.page.audience import ServedAudience
from stream.live.page.content import PageContent
from stream.live.page.messages import status_fields, text_message
from stream.live.page.opening import open_server
from stream.live.states.view import LiveState, LiveStatus
from stream.web.address import PageAddress
from stream.web.door import url_of
from stream.web.limits import PageLimits

if TYPE_CHECKING:
    from stream.live.page.client import PageClient
    from stream.live.page.server import PageServer

#: Sends a room's process a message; False where there is none.
Send = Callable[..., bool]


class RoomsPage(Closing):
    """Serves the pages of all rooms.

    Attributes:
        rooms: by name.
    """

    def __init__(
        self,
        address: PageAddress,
        names: Sequence[str],
        *,
        token: str | None = None,
        without_token: bool = False,
    ) -> None:
        """Opens the port and begins to serve.

        Args:
            address: where.
            names: of the rooms, in the order of the tiles.
            token: as of `open_server`.
            without_token: as of `open_server`.

        Raises:
            InputError: as `open_server`.
        """
        self.rooms = {name: ServedRoom(name) for name in names}
        contents = {name: room.content for name, room in self.rooms.items()}
        limits = PageLimits()
        # The page of all rooms has a connection for each of them.
        limits = replace(limits, browsers=limits.browsers * len(names), known=limits.known * len(names))
        self._server: PageServer = open_server(
            address, contents, token=token, without_token=without_token, limits=limits
        )
        for name, room in self.rooms.items():
            room.audience = ServedAudience(self._server, name)
        self._server.start()

    @property
    def url(self) -> str:
        """What to open in a browser. It holds the token: for people, not for logs."""
        return url_of(self._server.access, self._server.address)

    def close(self) -> None:
        """Tells all browsers that the run has ended, and ends."""
        ended = LiveStatus(LiveState.ENDED, reason="polypstream has ended")
        self._server.close(text_message("status", status=status_fields(ended)))


class ServedRoom:
    """One room of the page: hands on what its process says, and speaks for it while there is none.

    Attributes:
        audience: the browsers that look at the room.
    """

    audience: ServedAudience

    def __init__(self, name: str) -> None:
        """Waits for the room's process."""
        self._name = name
        self._lock = threading.Lock()
        self._send: Send | None = None
        self._status = LiveStatus(LiveState.CONNECTING, reason="the room's process is being started")
        self._thumbnails: dict[int, bytes] = {}
        self._numbers = count(1)
        self._browsers: weakref.WeakValueDictionary[int, PageClient] = weakref.WeakValueDictionary()

    @property
    def content(self) -> PageContent:
        """For the server."""
        return PageContent(self._greet, self._want, self._obey, self._thumbnail)

    def join(self, send: Send) -> None:
        """Speaks for a process from now on, once that says that its page begins."""
        self._pending: Send = send

    def take(self, message: Message) -> None:
        """Takes a message of the room's process; called from one thread. What is none of the page's is left alone."""
        fields = message.fields
        if message.kind == "frame":
            self.audience.offer(fields["index"], fields["captured_s"], message.body)
        elif message.kind == "tell":
            self._keep_thumbnails(fields)
            self.audience.tell(fields["what"], **fields["fields"])
        elif message.kind == "tell one":
            browser = self._browsers.get(fields["browser"])
            if browser is not None:
                self.audience.tell_one(browser, fields["what"], **fields["fields"])
        elif message.kind == "figures":
            self.audience.tell_figures()
        elif message.kind == "thumbnail":
            self._thumbnails[int(fields["track"])] = message.body
        elif message.kind == "page":
            with self._lock:
                self._send = self._pending
            self.audience.begin_anew()

    def leave(self, state: LiveState, reason: str) -> None:
        """Speaks in the place of a process that has ended.

        Args:
            state: of the room.
            reason: why, for people.
        """
        with self._lock:
            self._send = None
            self._status = LiveStatus(state, reason=reason)
        self._thumbnails = {}
        self.audience.begin_anew()

    def _keep_thumbnails(self, fields: Mapping[str, Any]) -> None:
        """Forgets pictures that the timeline does not show any more."""
        entries = fields["fields"].get("entries")
        if entries is not None:
            known = {entry["track_id"] for entry in entries}
            self._thumbnails = {track: jpeg for track, jpeg in self._thumbnails.items() if track in known}

    def _greet(self, browser: object) -> None:
        number = next(self._numbers)
        self._browsers[number] = browser  # type: ignore[assignment]
        with self._lock:
            send, status = self._send, self._status
        if send is not None and send("greet", browser=number):
            return
        self.audience.tell_one(browser, "hello", room=self._name, controls=False)
        self.audience.tell_one(browser, "status", status=status_fields(status))
        self.audience.tell_one(browser, "timeline", entries=[])

    def _want(self, have: int | None) -> None:
        send = self._send
        if send is not None:
            send("want", have=have)

    def _obey(self, browser: object, command: str) -> None:
        send = self._send
        number = next((number for number, known in self._browsers.items() if known is browser), None)
        if send is not None and number is not None:
            send("obey", browser=number, command=command)

    def _thumbnail(self, track: int) -> bytes | None:
        return self._thumbnails.get(track)
