"""The process that looks at what was opened: the study of the list, which passes over what was looked at before."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from engine.errors import cause_of
from engine.processes.channel import DONE, Channel, own_channel
from stream.study.progress import StudyProgress
from stream.study.run import run_study
from stream.study.settings import StudySettings
from stream.study.stock import Stock

CODE = "from stream.review.opened.worker import main; main()"
PROGRESS, FAILED = "progress", "failed"


class _Listener:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def scanned(self, files: int) -> None:
        pass

    def took_stock(self, stock: Stock, workers: int) -> None:
        pass

    def said(self, line: str) -> None:
        pass

    def progressed(self, progress: StudyProgress) -> None:
        waiting = progress.total_s - progress.done_s
        self._channel.send(PROGRESS, waiting_s=waiting)


def main() -> None:
    """Carries out the order: `results` and the fields of `StudySettings` that are wanted."""
    channel = own_channel()
    order = channel.receive()
    if order is None:
        return
    fields = {**order.fields}
    source, results = Path(fields.pop("source")), Path(fields.pop("results"))
    try:
        # Whoever started this process closes the pipe, or is gone: the study ends as by Ctrl-C, its workers with it.
        threading.Thread(target=_until_left, args=(channel,), name="order", daemon=True).start()
        result = run_study(StudySettings(source, results, **fields), _Listener(channel))
    except KeyboardInterrupt:  # before the study took care of it
        return
    except Exception as error:
        channel.send(FAILED, error=cause_of(error))
    else:
        if not result.interrupted:
            channel.send(DONE, failures=dict(result.failures))


def _until_left(channel: Channel) -> None:
    while channel.receive() is not None:
        pass
    os.kill(os.getpid(), signal.SIGINT)
