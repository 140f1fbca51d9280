"""What the processes of a run with several rooms are told to do: the first message of each.

An order goes from the process that was started by the user to those that it starts, over their own pipe, and only this
way: so it may be a pickle.
"""

from __future__ import annotations

import logging
import os
import pickle  # nosec B403
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from engine.console.output import ConsoleHandler, tell
from engine.console.streams import guarded_streams
from engine.errors import PolypstreamError
from engine.files import private_files
from engine.interrupts import handled
from engine.processes.channel import Channel, own_channel
from engine.serving.client import ServerAddress
from stream.live.paths.opening import DetectorChoice
from stream.live.run import LiveRunSettings

Order = TypeVar("Order")


@dataclass(frozen=True, slots=True)
class RoomOrder:
    """What a room's process is to do.

    Attributes:
        name: of the room.
        settings: of its run.
        server: where its detector is.
        level: of the log.
    """

    name: str
    settings: LiveRunSettings
    server: ServerAddress
    level: int


@dataclass(frozen=True, slots=True)
class DetectorOrder:
    """What the detector's process is to do.

    Attributes:
        choice: the model and its runtime.
        server: where it serves.
        level: of the log.
    """

    choice: DetectorChoice
    server: ServerAddress
    level: int


def send_order(channel: Channel, order: RoomOrder | DetectorOrder) -> None:
    """Sends a process that was just started its order."""
    channel.send("order", pickle.dumps(order))


def carry_out(kind: type[Order], work: Callable[[Channel, Order], None], subject: Callable[[Order], str]) -> NoReturn:
    """Takes the order of this process, does the work, and ends the process whatever libraries' threads still do.

    Args:
        kind: of the order.
        work: done with the channel to the process that gave the order.
        subject: what log lines are about.
    """
    channel = own_channel()
    message = channel.receive()
    order = None if message is None else pickle.loads(message.body)  # nosec B301
    status = 1
    if isinstance(order, kind):
        with _surroundings(subject(order), order.level):  # type: ignore[attr-defined]
            try:
                work(channel, order)
                status = 0
            except PolypstreamError as error:
                tell(f"polypstream: {subject(order)}: {error}")
            except Exception:
                logging.exception("it failed")
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def _surroundings(subject: str, level: int) -> Iterator[None]:
    logging.basicConfig(level=level, handlers=[ConsoleHandler(subject)])
    with guarded_streams(), handled(to_the_end=True), private_files():
        yield
