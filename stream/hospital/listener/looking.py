"""Polyps looked for in the studies that came, by `polypstream study` in a process of its own.

That process may crash or need much memory: what comes over the network meanwhile is not touched.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from engine.errors import RunError
from engine.files import write_text
from engine.interrupts import check
from engine.processes.programs import PythonProcess, ends_within, start_python
from stream.hospital.listener.queue import Queue, Stage, StudyEntry

STUDY = "study"
"""Folder in that of the results: a study over all that came, with a folder for each."""

OBJECTS = "dicom"
"""Folder in that of the results: what was found as DICOM objects, with a folder for each study."""

_LIST = "received.csv"
_REPORT = "report.json"
_LOOK_S = 0.2
_END_S = 30.0
#: What is said goes to standard error. The process ends with the one that started it: its standard input closes then.
_CODE = """
import os, signal, sys, threading
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
sys.argv, sys.stdout = ["polypstream", "study"], sys.stderr
from polypstream.cli import main
sys.exit(main({arguments!r}))
"""


def results_of(results: Path, study: str) -> Path:
    """The folder with what was found in a study."""
    return results / STUDY / study


def objects_of(results: Path, study: str) -> Path:
    """The folder with what was found in a study as DICOM objects."""
    return results / OBJECTS / study


def look(results: Path, queue: Queue, wanted: StudyEntry, options: Sequence[str], *, objects: bool) -> str | None:
    """Looks for polyps in a study; what was looked at before is not looked at again.

    Args:
        results: folder of the listener's results.
        queue: of the studies.
        wanted: the study.
        options: more for `polypstream study`.
        objects: whether what is found is written as DICOM objects too.

    Returns:
        Why it failed; None where it did not.

    Raises:
        KeyboardInterrupt: Ctrl-C; the process has ended then.
        RunError: the list cannot be written, or the process cannot be started.
    """
    _write_list(results / _LIST, queue, wanted)
    arguments = ["study", str(results / _LIST), "--output", str(results / STUDY), *options]
    if objects:
        shutil.rmtree(objects_of(results, wanted.study), ignore_errors=True)  # of fewer recordings, or a killed run
        arguments += ["--dicom", str(results / OBJECTS)]
    try:
        process = start_python(_CODE.format(arguments=arguments))
    except OSError as error:
        raise RunError(f"`polypstream study` cannot be started: {error.strerror or error}") from error
    status = _wait(process)
    report = results_of(results, wanted.study) / _REPORT
    if status == 0 and report.is_file():
        return None
    return f"`polypstream study` ended with status {status}"


def _wait(process: PythonProcess) -> int:
    try:
        while not ends_within(process, _LOOK_S):
            check()
    finally:
        if process.poll() is None:
            process.terminate()
            if not ends_within(process, _END_S):
                process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    return process.wait()


def _write_list(path: Path, queue: Queue, wanted: StudyEntry) -> None:
    """A study, beside those that were looked at before, as a list of `polypstream study`.

    One that cannot be looked at, or whose videos were taken away, is left out: it would fail the run of each other one.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "procedure"))
    for one in queue.studies():
        videos = queue.videos(one.study)
        looked_at = one.stage in (Stage.SENDING, Stage.DONE)
        if one.study == wanted.study or (looked_at and all((path.parent / video).is_file() for video in videos)):
            rows.writerows((video.as_posix(), one.study) for video in videos)
    write_text(path, text.getvalue(), remedy="free space, and run the same command again", private=True)
