"""One browser that looks at the page: what it has to be told next, and how many pictures are on their way to it.

The browser answers each picture when it has drawn it. Only a few may be unanswered, so a slow browser or network gets
fewer pictures, each of them new, instead of all of them late; nothing piles up, here or in the network's buffers.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import deque
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

# Two: while the browser decodes and draws one picture, the next one travels.
_UNANSWERED = 2
_FRAME = "frame"
_STUCK_S = 20.0  # after so long without taking anything a connection is cut; the browser comes back by itself
_FAREWELL_S = 0.5
_DELAYS = 50  # newest ones that the shown delay is the median of


class PageClient:
    """A connected browser. Used in the server's thread only.

    Attributes:
        skipped: pictures that it was not sent because it had not drawn those before.
    """

    def __init__(
        self,
        connection: ServerConnection,
        *,
        on_greet: Callable[[PageClient], None],
        on_ready: Callable[[int | None], None],
        on_command: Callable[[PageClient, str], None],
    ) -> None:
        """Joins a connection.

        Args:
            connection: after the opening handshake.
            on_greet: called when the browser has to be told how things stand.
            on_ready: called when the browser has room for a picture, with the index of the frame that it has (None: it
                has none). It need not be called again before a picture was offered.
            on_command: called with what the browser asks for.
        """
        self._connection = connection
        self._on_greet = on_greet
        self._on_ready = on_ready
        self._on_command = on_command
        # By kind, in the order in which they go out; a newer one of its kind takes the older one's place at the end.
        self._waiting: dict[str, str | bytes] = {}
        self._news = asyncio.Event()
        self._unanswered: deque[tuple[int, float]] = deque()
        self._delays: deque[float] = deque(maxlen=_DELAYS)
        self._watching = True
        self._newest: int | None = None
        self.skipped = 0

    @property
    def wants_frame(self) -> bool:
        """Whether a picture would be sent at once."""
        return self._watching and _FRAME not in self._waiting and len(self._unanswered) < _UNANSWERED

    @property
    def delay_ms(self) -> float | None:
        """Frame available to its picture drawn in this browser and answered, median of the newest ones."""
        return statistics.median(self._delays) if self._delays else None

    def tell(self, kind: str, text: str) -> None:
        """Sends a text message; one of the same kind that still waits is replaced."""
        self._waiting.pop(kind, None)
        self._waiting[kind] = text
        self._news.set()

    def offer(self, index: int, captured_s: float, message: bytes) -> None:
        """Sends a picture if the browser has room for it.

        Args:
            index: of the frame.
            captured_s: monotonic time at which it became available.
            message: made by `frame_message`.
        """
        if not self.wants_frame:
            return  # it asks when it has room
        if index == self._newest:
            self._ask()
            return
        if self._newest is not None:
            self.skipped += max(index - self._newest - 1, 0)
        self._newest = index
        self._unanswered.append((index, captured_s))
        self._waiting[_FRAME] = message
        self._news.set()

    def begin_anew(self) -> None:
        """Greets the browser again; what it has shown so far is of no use to it."""
        self._newest = None
        self._unanswered.clear()
        self._on_greet(self)
        self._ask()

    async def run(self) -> None:
        """Talks with the browser until it leaves."""
        sender = asyncio.create_task(self._send_news())
        self._on_greet(self)
        self._ask()
        try:
            async for message in self._connection:
                self._take(message)
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()

    async def say_farewell(self, text: str) -> None:
        """Sends one last text, in the place of what still waits; a browser that does not take it is left behind."""
        self._waiting.clear()  # an older state that went out after it would bring that state back
        try:
            await asyncio.wait_for(self._connection.send(text), _FAREWELL_S)
        except (asyncio.TimeoutError, ConnectionClosed):
            self._connection.transport.abort()

    async def _send_news(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    kind = next(iter(self._waiting))
                    message = self._waiting.pop(kind)
                    await asyncio.wait_for(self._connection.send(message), _STUCK_S)
                    self._ask()
        except ConnectionClosed:
            pass
        except asyncio.TimeoutError:
            self._connection.transport.abort()

    def _take(self, message: str | bytes) -> None:
        """Reads what the browser says; anything that is not understood is left alone."""
        try:
            said = json.loads(message)
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        drawn, watch, command = said.get("drawn"), said.get("watch"), said.get("command")
        if isinstance(drawn, int):
            self._answered(drawn)
        if isinstance(watch, bool):
            # A hidden page draws nothing and answers nothing; it begins anew when it is seen again.
            self._watching, self._newest = watch, None
            self._unanswered.clear()
            self._ask()
        if isinstance(command, str):
            self._on_command(self, command)

    def _answered(self, index: int) -> None:
        now = time.monotonic()
        while self._unanswered and self._unanswered[0][0] <= index:
            sent, captured_s = self._unanswered.popleft()
            if sent == index:
                self._delays.append(1000 * (now - captured_s))
        self._ask()

    def _ask(self) -> None:
        if self.wants_frame:
            self._on_ready(self._newest)
