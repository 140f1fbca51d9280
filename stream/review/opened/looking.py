"""Looks at a recording that was opened, in a process beside the page, and says how far it is."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from engine.errors import InputError, RunError
from engine.processes.channel import DONE, Channel
from engine.processes.programs import PythonProcess, ends_within, start_python
from stream.review.jobs import Job
from stream.review.opened.shelf import Shelf
from stream.review.opened.worker import CODE, FAILED, PROGRESS

_LOOK_S = 0.2
_LEAVING_S = 10.0


class CancelledError(RunError):
    """Somebody did not want it any more."""


def look_at(path: Path, name: str, shelf: Shelf, settings: Mapping[str, Any], job: Job) -> None:
    """Looks at what stands on the list; done when the job's procedure can be reviewed.

    Args:
        path: of the recording that is waited for.
        name: of its procedure.
        shelf: where the list is.
        settings: of the study, ready for JSON.
        job: told how far it is, and asked whether to stop.

    Raises:
        InputError: the recording is none, or cannot be read; it is off the list again.
        RunError: the work failed or was cancelled; the recording is off the list again.
    """
    try:
        _study(path, name, shelf, settings, job)
    except BaseException:
        shelf.remove(path)
        raise
    job.procedure = name


def _study(path: Path, name: str, shelf: Shelf, settings: Mapping[str, Any], job: Job) -> None:
    if job.stopping.is_set():
        raise CancelledError("cancelled")
    process = start_python(CODE)
    channel = Channel(cast(IO[bytes], process.stdout), cast(IO[bytes], process.stdin))
    ended = threading.Event()
    watch = threading.Thread(target=_stop, args=(process, job, ended), name="opened", daemon=True)
    watch.start()
    failures: Mapping[str, str] | None = None
    error, most_s = "", 0.0
    try:
        channel.send("look", source=str(shelf.list_path), results=str(shelf.folder), workers=1, **settings)
        while (message := channel.receive()) is not None:
            if message.kind == PROGRESS:
                waiting_s = float(message.fields["waiting_s"])
                most_s = max(most_s, waiting_s)
                job.progress = 0.0 if not most_s else min(1 - waiting_s / most_s, 1.0)
            elif message.kind == DONE:
                failures = message.fields["failures"]
            elif message.kind == FAILED:
                error = str(message.fields["error"])
    finally:
        ended.set()
        process.kill()
        process.wait()
        watch.join()
        channel.close()
    if job.stopping.is_set():
        raise CancelledError("cancelled")
    if failures is None:
        raise RunError(error or "the process that looks at recordings ended early; open it again")
    why = failures.get(name) or failures.get(str(path))
    if why is not None:
        raise InputError(why)


def _stop(process: PythonProcess, job: Job, ended: threading.Event) -> None:
    """Ends the process when the job is to stop: by its pipe, so that its own workers end too, else at once."""
    while not ended.wait(_LOOK_S):
        if job.stopping.is_set():
            assert process.stdin is not None
            process.stdin.close()
            if not ends_within(process, _LEAVING_S):
                process.kill()
            return
