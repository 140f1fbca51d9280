"""The process that makes files for browsers: told one recording, says how far it is, and ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from engine.errors import cause_of
from engine.processes.channel import DONE, Channel, own_channel
from stream.review.media.making import make_file
from stream.review.media.material import Material
from stream.review.media.plan import How
from stream.sources.interlaced.deinterlacer import Deinterlace

CODE = "from stream.review.media.worker import main; main()"
ORDER, PROGRESS, FAILED = "make", "progress", "failed"
_TELL_EVERY_S = 0.25
_NICE = 10  # the page, and studies, come first


class _LeftAloneError(Exception):
    """Whoever started this process has gone."""


def send_order(channel: Channel, material: Material, target: Path, how: How) -> None:
    """Tells a new process what to make."""
    fields = {
        "path": str(material.path),
        "stream": material.stream,
        "deinterlace": material.deinterlace.value,
        "target": str(target),
        "how": how.value,
    }
    channel.send(ORDER, material.source_times_s.astype("<f8").tobytes(), **fields)


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
    times_s = np.frombuffer(order.body, "<f8")
    material = Material.of(Path(fields["path"]), fields["stream"], times_s, Deinterlace(fields["deinterlace"]))
    try:
        how = make_file(material, Path(fields["target"]), How(fields["how"]), on_frame)
    except _LeftAloneError:
        return
    except Exception as error:
        channel.send(FAILED, error=cause_of(error))
    else:
        channel.send(DONE, how=how.value)
