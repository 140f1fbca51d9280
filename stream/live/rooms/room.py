"""A room's process: a live run as any other, but for its network and its page, which are in other processes."""

from __future__ import annotations

import _thread
import signal
import threading
import time

from engine.errors import PolypstreamError
from engine.processes.channel import DONE, Channel, Pulse
from stream.live.page.content import PageContent
from stream.live.page.page import PageControls, PageFeed
from stream.live.rooms.audience import ChannelAudience
from stream.live.rooms.opening import RemoteOpener
from stream.live.rooms.orders import RoomOrder, carry_out
from stream.live.rooms.reports import error_fields, live_status_fields, report_fields
from stream.live.run import RunParts, run_live
from stream.live.states.view import LiveStatus
from stream.live.switching import prompt_switching

#: What the process runs.
CODE = "from stream.live.rooms.room import main; main()"
STOP, STATUS = "stop", "status"
_OPENING_S = 120.0  # models and outputs
_STUCK_S = 5.0  # without a look at how things stand
_FINISHING_S = 600.0  # long recordings are completed at the end


def main() -> None:
    """Runs in a process of its own until the run is over, it is told to stop, or whoever started it has gone."""
    carry_out(RoomOrder, lambda channel, order: _RoomRun(channel, order).run(), lambda order: order.name)


class _RoomRun:
    """The run of one room."""

    def __init__(self, channel: Channel, order: RoomOrder) -> None:
        self._channel, self._order = channel, order
        self._over = threading.Event()
        self._stopped = False
        self._began_s = time.monotonic()
        self._looked_s: float | None = None
        self._over_s: float | None = None
        self._audience: ChannelAudience | None = None

    def run(self) -> None:
        parts = RunParts(
            opener_of=lambda choice: RemoteOpener(choice, self._order.server),
            open_page=self._open_page,
            over=self._over,
        )
        with Pulse(self._channel, self._alive):
            try:
                threading.Thread(target=self._listen, name="room-orders", daemon=True).start()
                with prompt_switching():
                    report = run_live(self._order.settings, parts=parts, on_look=self._look)
                self._channel.send(DONE, report=report_fields(report))
            except PolypstreamError as error:
                self._channel.send(DONE, error=error_fields(error))
            except KeyboardInterrupt:  # before it had begun
                self._channel.send(DONE)

    def _open_page(self, controls: PageControls | None) -> PageFeed:
        def open_audience(content: PageContent) -> ChannelAudience:
            audience = self._audience = ChannelAudience(self._channel, content)
            return audience

        return PageFeed(open_audience, room=self._order.name, controls=controls)

    def _look(self, status: LiveStatus) -> None:
        self._looked_s = time.monotonic()
        self._channel.send(STATUS, status=live_status_fields(status))

    def _alive(self) -> bool:
        now_s = time.monotonic()
        if self._over.is_set():
            self._over_s = self._over_s or now_s
            return now_s - self._over_s < _FINISHING_S
        if self._looked_s is None:
            return now_s - self._began_s < _OPENING_S
        return now_s - self._looked_s < _STUCK_S

    def _listen(self) -> None:
        """Runs in a thread: what the process with the page says."""
        while (message := self._channel.receive()) is not None:
            if message.kind == STOP:
                self._stop(interrupted=bool(message.fields["interrupted"]))
            elif self._audience is not None:
                self._audience.take(message)
        self._stop(interrupted=True)

    def _stop(self, *, interrupted: bool) -> None:
        if self._stopped:
            return
        self._stopped = True
        if interrupted:
            _thread.interrupt_main(signal.SIGTERM)  # SIGINT may be ignored, as in programs that a script starts
        else:
            self._over.set()
