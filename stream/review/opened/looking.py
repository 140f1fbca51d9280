"""Looks at what was opened, in a process beside the page, and says how far it is."""

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
from stream.review.opened.worker import CODE, FAILED, PICTURES, PROGRESS, STUDY
from stream.review.results import ResultsFolder

_LOOK_S = 0.2
_LEAVING_S = 10.0


def look_at_recording(path: Path, name: str, shelf: Shelf, settings: Mapping[str, Any], job: Job) -> None:
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
        places = {"source": str(shelf.list_path), "results": str(shelf.folder)}
        failures = _carried_out(STUDY, {**places, "workers": 1, **settings}, job)["failures"]
        why = failures.get(name) or failures.get(str(path))
        if why is not None:
            raise InputError(why)
        if ResultsFolder(shelf.folder).procedure(name) is None:  # a study passes over what is no recording
            raise InputError(f"{path.name} holds no recording; open another file")
    except BaseException:
        shelf.unlist(path)
        raise
    job.procedure = name


def look_at_pictures(path: Path, name: str, shelf: Shelf, settings: Mapping[str, Any], job: Job) -> None:
    """Looks at pictures, each by itself; done when the job's procedure can be reviewed.

    Args:
        path: of their folder, or of one picture.
        name: of their procedure.
        shelf: where what is found in them goes.
        settings: of the run, ready for JSON.
        job: told how far it is, and asked whether to stop.

    Raises:
        RunError: the work failed or was cancelled; nothing is left of what was found.
    """
    try:
        _carried_out(PICTURES, {"source": str(path), "events": str(shelf.events_path(name)), **settings}, job)
    except BaseException:
        shelf.remove_events(name)
        raise
    job.procedure = name


def _carried_out(kind: str, order: Mapping[str, Any], job: Job) -> Mapping[str, Any]:
    """What a new process says when it has carried out an order."""
    job.check()
    process = start_python(CODE)
    channel = Channel(cast(IO[bytes], process.stdout), cast(IO[bytes], process.stdin))
    ended = threading.Event()
    watch = threading.Thread(target=_stop, args=(process, job, ended), name="opened", daemon=True)
    watch.start()
    done: Mapping[str, Any] | None = None
    error = ""
    try:
        channel.send(kind, **order)
        while (message := channel.receive()) is not None:
            if message.kind == PROGRESS:
                job.progress = float(message.fields["share"])
            elif message.kind == DONE:
                done = message.fields
            elif message.kind == FAILED:
                error = str(message.fields["error"])
    finally:
        ended.set()
        process.kill()
        process.wait()
        watch.join()
        channel.close()
    job.check()
    if done is None:
        raise RunError(error or "the process that looks at it ended early; open it again")
    return done


def _stop(process: PythonProcess, job: Job, ended: threading.Event) -> None:
    """Ends the process when the job is to stop: by its pipe, so that its own workers end too, else at once."""
    while not ended.wait(_LOOK_S):
        if job.stopping.is_set():
            assert process.stdin is not None
            process.stdin.close()
            if not ends_within(process, _LEAVING_S):
                process.kill()
            return
