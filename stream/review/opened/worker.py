"""The process that looks at what was opened: the study of the list, which passes over what was looked at before, or
pictures."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from engine.errors import cause_of
from engine.processes.channel import DONE, Channel, own_channel
from stream.procedure.index import read_index
from stream.record.recording import Opened, Outcome, RecordingSettings, detect_recording
from stream.study.progress import StudyProgress
from stream.study.run import run_study
from stream.study.settings import StudySettings
from stream.study.stock import Stock

CODE = "from stream.review.opened.worker import main; main()"
STUDY, PICTURES = "study", "pictures"
PROGRESS, FAILED = "progress", "failed"


class _Listener:
    def __init__(self, channel: Channel) -> None:
        self._channel, self._most_s = channel, 0.0

    def scanned(self, files: int) -> None:
        pass

    def took_stock(self, stock: Stock, workers: int) -> None:
        pass

    def said(self, line: str) -> None:
        pass

    def progressed(self, progress: StudyProgress) -> None:
        waiting_s = progress.total_s - progress.done_s
        self._most_s = max(self._most_s, waiting_s)
        self._channel.send(PROGRESS, share=1 - waiting_s / self._most_s if self._most_s else 0.0)


def main() -> None:
    """Carries out the order: paths, and the fields of the settings that are wanted."""
    channel = own_channel()
    order = channel.receive()
    if order is None:
        return
    try:
        # Whoever started this process closes the pipe, or is gone: the work ends as by Ctrl-C, its workers with it.
        threading.Thread(target=_until_left, args=(channel,), name="order", daemon=True).start()
        if order.kind == STUDY:
            _study(channel, **order.fields)
        else:
            _pictures(channel, **order.fields)
    except KeyboardInterrupt:  # before the work took care of it
        return
    except Exception as error:
        channel.send(FAILED, error=cause_of(error))


def _study(channel: Channel, source: str, results: str, **settings: Any) -> None:
    result = run_study(StudySettings(Path(source), Path(results), **settings), _Listener(channel))
    if not result.interrupted:
        channel.send(DONE, failures=dict(result.failures))


def _pictures(channel: Channel, source: str, events: str, **settings: Any) -> None:
    count, done = 1, 0

    def opened(one: Opened) -> None:
        nonlocal count
        count = one.info.frame_count or 1

    def progressed(frames: int) -> None:
        nonlocal done
        done += frames
        channel.send(PROGRESS, share=min(done / count, 1.0))

    wanted = RecordingSettings(source, events=Path(events), candidates=True, **settings)
    result = detect_recording(wanted, on_open=opened, on_progress=progressed)
    if result.error is not None:
        raise result.error
    if result.outcome is Outcome.FINISHED:
        read_index(Path(events))  # and keeps it: the page opens them next
        channel.send(DONE)


def _until_left(channel: Channel) -> None:
    while channel.receive() is not None:
        pass
    os.kill(os.getpid(), signal.SIGINT)
