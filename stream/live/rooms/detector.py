"""The detector's process: one network for all rooms."""

from __future__ import annotations

import logging
import threading
import time

from engine.processes.channel import DONE, Channel, Pulse
from engine.serving.server import RuntimeServer
from stream.live.rooms.orders import DetectorOrder, carry_out

#: What the process runs.
CODE = "from stream.live.rooms.detector import main; main()"
_OPENING_S = 600.0  # an engine may have to be built first
_STUCK_S = 5.0  # with a batch
_STOP = "stop"

log = logging.getLogger(__name__)


def main() -> None:
    """Runs in a process of its own until it is told to stop, or whoever started it has gone."""
    carry_out(DetectorOrder, _serve, lambda order: "detector")


def _serve(channel: Channel, order: DetectorOrder) -> None:
    began_s = time.monotonic()
    server: RuntimeServer | None = None

    def alive() -> bool:
        if server is None:
            return time.monotonic() - began_s < _OPENING_S
        return time.monotonic() - server.looked_s < _STUCK_S

    with Pulse(channel, alive), order.choice.open() as detector:
        server = RuntimeServer(order.server, detector.runtime)
        log.info("runs on %s", detector.runtime.description.name)
        threading.Thread(target=_wait_for_end, args=(channel, server), name="detector-end", daemon=True).start()
        server.serve()
    channel.send(DONE)


def _wait_for_end(channel: Channel, server: RuntimeServer) -> None:
    while (message := channel.receive()) is not None and message.kind != _STOP:
        pass
    server.close()
