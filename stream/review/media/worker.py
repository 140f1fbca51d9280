"""The process that makes files for browsers: told one recording, says how far it is, and ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from engine.errors import cause_of
from engine.processes.channel import DONE, Channel, own_channel
from stream.review.media.making import make_file
from stream.review.media.material import Material
from stream.review.media.plan import How

CODE = "from stream.review.media.worker import main; main()"
ORDER, PROGRESS, FAILED = "make", "progress", "failed"
_TELL_EVERY_S = 0.25
_NICE = 10  # the page, and studies, come first


class _LeftAloneError(Exception):
    """Whoever started this process has gone."""


def send_order(channel: Channel, material: Material, target: Path, how: How) -> None:
    """Tells a new process what to make."""
    fields, times = material.message()
    channel.send(ORDER, times, **fields, target=str(target), how=how.value)


def main() -> None:
    """Carries out the order."""
    channel = own_channel()
    if sys.platform != "win32":
        os.nice(_NICE)
    order = channel.receive()
    if order is None:
        return
    told_s = 0.0

    def on_frame(done: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= _TELL_EVERY_S:
            told_s = time.monotonic()
            if not channel.send(PROGRESS, frames=done):
                raise _LeftAloneError

    fields = order.fields
    material = Material.of_message(fields, order.body)
    try:
        how = make_file(material, Path(fields["target"]), How(fields["how"]), on_frame)
    except _LeftAloneError:
        return
    except Exception as error:
        channel.send(FAILED, error=cause_of(error))
    else:
        channel.send(DONE, how=how.value)
