"""The live page: a run shown in browsers, of this machine or of others that know the token.

Views are taken in a single slot; a thread of its own encodes the newest one when a browser has room for it, so the page
costs nothing while nobody looks, and no browser can hold up the run.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from engine.checks import require_at_least, require_within
from engine.closing import Closing
from engine.errors import PolypstreamError
from stream.live.page.audience import Audience, ServedAudience
from stream.live.page.content import ONLY_ROOM, PageContent
from stream.live.page.messages import frame_message, marks_fields, status_fields
from stream.live.page.opening import open_server
from stream.live.page.timeline import Timeline
from stream.live.states.view import LiveState, LiveStatus, LiveView
from stream.web.address import PageAddress
from stream.web.door import url_of
from stream.web.limits import PageLimits

_log = logging.getLogger(__name__)
_NEWS_S = 0.5  # between two looks at what changed beside the picture


class PageControls(Protocol):
    """What browsers may do to the run. Called in a thread of the page's; may take its time."""

    def start_recording(self) -> bool:
        """Starts a recording; returns whether one is being written now.

        Raises:
            PolypstreamError: it cannot be started; the browsers are told why.
        """

    def stop_recording(self) -> bool:
        """Ends the recording; returns whether one is being written now.

        Raises:
            PolypstreamError: it cannot be ended properly; the browsers are told why.
        """


@dataclass(frozen=True, slots=True)
class PageSettings:
    """How pictures are sent, and to how many.

    Attributes:
        quality: of the JPEGs, 1 to 100.
        max_width: wider pictures are scaled down to it, pixels.
        limits: what browsers may take of this machine.
    """

    quality: int = 80
    max_width: int = 1280
    limits: PageLimits = field(default_factory=PageLimits)

    def __post_init__(self) -> None:
        require_within("quality of the page's pictures", self.quality, 1, 100)
        require_at_least("width of the page's pictures", self.max_width, 16, wanted="at least 16 pixels")


class PageFeed(Closing):
    """A `LiveSink` that shows a run to an audience of browsers."""

    def __init__(
        self,
        open_audience: Callable[[PageContent], Audience],
        *,
        room: str = ONLY_ROOM,
        controls: PageControls | None = None,
        settings: PageSettings | None = None,
    ) -> None:
        """Begins to show.

        Args:
            open_audience: called once with what browsers may be shown; closed with this.
            room: its name, where the page shows several.
            controls: what browsers may do; without it they can only look.
            settings: how pictures are sent.
        """
        self._room = room
        self._controls = controls
        self._settings = settings or PageSettings()
        self._timeline = Timeline()
        self._told_changes = 0
        self._told_s = 0.0
        self._status = LiveStatus(LiveState.CONNECTING)
        self._status_due = False
        self._encoded: tuple[LiveView, bytes] | None = None  # the newest, for a browser that has room a little later
        self._slot = _Slot()
        self._busy = threading.Lock()
        self._audience = open_audience(PageContent(self._greet, self._slot.want, self._obey, self._timeline.picture))
        self._encoder = threading.Thread(target=self._encode, name="page-encoder", daemon=True)
        self._encoder.start()

    def show(self, view: LiveView) -> None:
        """Shows a view in all browsers that have room for it; returns at once."""
        self._status, self._status_due = view.status, True
        self._timeline.note(view)
        self._slot.put(view)
        if self._timeline.has_undrawn:
            self._slot.poke()

    def refresh(self, view: LiveView) -> None:
        """Shows the marks of a frame that is shown already; returns at once."""
        self._timeline.note(view)
        self._slot.refresh(view)

    def idle(self, status: LiveStatus) -> None:
        """Tells all browsers the state of the run; returns at once."""
        self._status, self._status_due = status, True
        self._slot.poke()

    def close(self) -> None:
        """Tells all browsers that the run has ended, and ends."""
        self._slot.close()
        self._encoder.join()
        ended = dataclasses.replace(self._status, state=LiveState.ENDED)
        self._audience.close("status", status=status_fields(ended))

    def _encode(self) -> None:
        """Encodes and tells, in the page's own thread, until the page is closed."""
        while not self._slot.closed:
            view, refreshed = self._slot.wait(_NEWS_S)
            try:
                if view is not None:
                    self._offer(view)
                if refreshed is not None:
                    self._tell_marks(refreshed)
                self._timeline.draw()
                self._tell_news()
            except Exception:
                # The page is the least important part of a run: it says what happened and goes on with the next view.
                _log.exception("the live page could not show a frame")
                self._slot.want(None if view is None else view.frame.index)

    def _offer(self, view: LiveView) -> None:
        frame, settings = view.frame, self._settings
        if self._encoded is None or self._encoded[0] is not view:
            message = frame_message(view, quality=settings.quality, max_width=settings.max_width)
            self._encoded = view, message
        self._audience.offer(frame.index, frame.captured_s, self._encoded[1])

    def _tell_marks(self, view: LiveView) -> None:
        self._audience.tell("marks", **marks_fields(view))

    def _tell_news(self) -> None:
        """What goes beside the picture: the state at once, all else now and then.

        The state is no part of a frame's message: that may be of use to a browser when the state is another already.
        """
        if self._status_due:
            self._status_due = False
            self._audience.tell("status", status=status_fields(self._status))
        now = time.monotonic()
        if now - self._told_s < _NEWS_S:
            return
        self._told_s = now
        self._audience.tell_figures()
        changes = self._timeline.changes
        if changes != self._told_changes:
            self._told_changes = changes
            self._audience.tell("timeline", entries=self._timeline.fields())

    def _greet(self, browser: object) -> None:
        self._audience.tell_one(browser, "hello", room=self._room, controls=self._controls is not None)
        self._audience.tell_one(browser, "status", status=status_fields(self._status))
        self._audience.tell_one(browser, "timeline", entries=self._timeline.fields())

    def _obey(self, browser: object, command: str) -> None:
        """Starts what a browser asks for; one command at a time."""
        controls = self._controls
        action = None if controls is None else _ACTIONS.get(command)
        if controls is None or action is None:
            return
        if not self._busy.acquire(blocking=False):
            self._audience.tell_one(browser, "notice", text="Still busy with the last request.")
            return
        arguments = (browser, partial(action, controls))
        threading.Thread(target=self._act, args=arguments, name="page-controls", daemon=True).start()

    def _act(self, browser: object, action: Callable[[], bool]) -> None:
        try:
            said = "Recording." if action() else "Recording has ended."
        except PolypstreamError as error:
            said = str(error)
        except Exception:
            _log.exception("a request from the live page failed")
            said = "That failed; the log of polypstream tells why."
        finally:
            self._busy.release()
        self._audience.tell_one(browser, "notice", text=said)


class LivePage(PageFeed):
    """A `PageFeed` with a server of its own: the page of a run that shows one source.

    Example:
        >>> with LivePage(port=0) as page:  # to be given to a `LivePipeline` as one of its sinks
        ...     page.url.rpartition(":")[0]
        'http://127.0.0.1'
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        token: str | None = None,
        without_token: bool = False,
        controls: PageControls | None = None,
        settings: PageSettings | None = None,
    ) -> None:
        """Opens the port and begins to serve.

        Args:
            host: address or name of an interface of this machine; 0.0.0.0 or :: for all.
            port: 0 to 65535; 0 takes a free one.
            token: as of `open_server`.
            without_token: as of `open_server`.
            controls: what browsers may do; without it they can only look.
            settings: how pictures are sent.

        Raises:
            InputError: as `open_server`.
        """
        settings = settings or PageSettings()

        def serve(content: PageContent) -> Audience:
            self._server = open_server(
                PageAddress(host, port),
                {ONLY_ROOM: content},
                token=token,
                without_token=without_token,
                limits=settings.limits,
            )
            return ServedAudience(self._server, ONLY_ROOM)

        super().__init__(serve, controls=controls, settings=settings)
        self._server.start()

    @property
    def address(self) -> PageAddress:
        """Where it is served."""
        return self._server.address

    @property
    def url(self) -> str:
        """What to open in a browser. It holds the token: for people, not for logs."""
        return url_of(self._server.access, self._server.address)


#: What a browser may ask for.
_ACTIONS: dict[str, Callable[[PageControls], bool]] = {
    "start_recording": lambda controls: controls.start_recording(),
    "stop_recording": lambda controls: controls.stop_recording(),
}


class _Slot:
    """Hands the newest view from the run to the thread that encodes it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._view: LiveView | None = None
        self._taken: LiveView | None = None
        self._refreshed: LiveView | None = None
        self._wanted = False
        self._poked = False
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, view: LiveView) -> None:
        """Takes a view in place of the one before."""
        with self._changed:
            self._view = view
            if self._wanted:
                self._changed.notify()

    def refresh(self, view: LiveView) -> None:
        """Takes the newest frame once more, with other marks; an older frame is left alone."""
        with self._changed:
            if self._view is None or view.frame.index != self._view.frame.index:
                return
            # For browsers that have the frame the marks follow it; for others they go with it.
            if self._taken is self._view:
                self._taken = view
            self._view = self._refreshed = view
            self._changed.notify()

    def want(self, have: int | None) -> None:
        """Asks for a view of another frame than that of the index `have`, which the asking browser has."""
        with self._changed:
            self._wanted = True
            if self._view is not None and self._view.frame.index != have:
                self._taken = None
            self._changed.notify()

    def poke(self) -> None:
        """Ends a wait."""
        with self._changed:
            self._poked = True
            self._changed.notify()

    def close(self) -> None:
        """Ends all waits from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def wait(self, timeout_s: float) -> tuple[LiveView | None, LiveView | None]:
        """Waits for something to do, for a poke, or until the time is over.

        Returns:
            A view that is wanted, and a view whose marks have changed.
        """
        with self._changed:
            self._changed.wait_for(self._has_work, timeout_s)
            refreshed, self._refreshed, self._poked = self._refreshed, None, False
            if self._closed or not self._due:
                return None, refreshed
            self._wanted, self._taken = False, self._view
            return self._view, refreshed

    def _has_work(self) -> bool:
        return self._closed or self._poked or self._due or self._refreshed is not None

    @property
    def _due(self) -> bool:
        return self._wanted and self._view is not None and self._view is not self._taken
