"""What runs on the machines of a cluster: a recording, or a piece of one, is looked at, and comes back as bytes."""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from engine.errors import InputError, PolypstreamError
from stream.study.cluster.nodes import Installation, check_here
from stream.study.cluster.shipping import clear
from stream.study.perceiving import lines_path, record_path
from stream.study.tasks import Cause, PerceiveTask
from stream.study.worker import TaskError, Tools, WorkerSettings

#: Brings a recording here: its path here.
Fetch = Callable[[Path, Path], Path]

_PREFIX = "polypstream-cluster-"
_MOST_WARNINGS = 20


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of it.

    Attributes:
        machine: that did it.
        result: as of `perceive`; empty when it failed.
        lines: packed event lines.
        record: of the run.
        said: warnings.
        error: why it failed; "" when it did not.
        cause: of a failure.
    """

    machine: str
    result: Mapping[str, Any] = field(default_factory=dict)
    lines: bytes = b""
    record: bytes = b""
    said: tuple[str, ...] = ()
    error: str = ""
    cause: Cause = Cause.FAULT


def look_at(task: PerceiveTask, settings: WorkerSettings, expected: Installation, fetch: Fetch | None) -> Looked:
    """Looks at a recording or a piece of one, in this process of Ray's.

    Args:
        task: what is to be done; its store is that of the machine that asked.
        settings: of the work; the scratch folder is this process's own.
        expected: what this machine has to have.
        fetch: brings the recording here; None where it is seen from here.
    """
    machine = socket.gethostname()
    warnings, recording = _Warnings(), task.recording

    def named(text: str) -> str:
        """Texts name the recording as the user does."""
        return text.replace(str(recording), str(task.recording))

    logging.getLogger().addHandler(warnings)
    try:
        check_here(expected, settings.recording)
        tools = _tools(replace(settings, scratch=_own_folder() / "work"))
        if fetch is not None:
            recording = fetch(task.recording, _shared_folder())
        store = _own_folder() / "store"
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        result = tools.carry_out(replace(task, recording=recording, store=store), lambda _: None)
        lines = lines_path(store, task.key).read_bytes()
        record = record_path(store, task.key).read_text(encoding="utf-8")
        shutil.rmtree(store, ignore_errors=True)
        record = record.replace(_as_json(recording), _as_json(task.recording))
        return Looked(machine, result, lines, record.encode(), tuple(map(named, warnings.texts)))
    except TaskError as error:
        # What is full or cannot be written here says nothing about the results: another machine may do better.
        cause = Cause.FAULT if error.cause is Cause.RESULTS else error.cause
        said = tuple(map(named, warnings.texts))
        return Looked(machine, said=said, error=f"{named(str(error))} (machine {machine})", cause=cause)
    except InputError as error:
        return Looked(machine, error=str(error), cause=Cause.SETUP)
    except (OSError, PolypstreamError) as error:
        return Looked(machine, error=f"machine {machine}: {named(str(error))}")
    finally:
        logging.getLogger().removeHandler(warnings)


def _as_json(path: Path) -> str:
    return json.dumps(str(path))


def clear_here() -> None:
    """Removes recordings that were sent to this machine."""
    clear(_shared_folder())


@lru_cache(maxsize=1)
def _tools(settings: WorkerSettings) -> Tools:
    """Models stay open from one task of a process to the next."""
    return Tools(settings)


@lru_cache(maxsize=1)
def _own_folder() -> Path:
    """A folder for this process, which it removes at its end; those of processes that were killed are removed here."""
    base = _shared_folder()
    for lock in base.glob("process-*.lock"):
        with _free(lock) as gone:
            if gone:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="process-", dir=base))
    held = FileLock(folder.with_suffix(".lock"))
    held.acquire()

    def end() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()

    atexit.register(end)
    return folder


def _shared_folder() -> Path:
    """A folder of this user on this machine, for the files of all its processes of Ray."""
    folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class _free:
    """Whether nobody holds a lock."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def __enter__(self) -> bool:
        try:
            self._lock.acquire(timeout=0)
        except (Timeout, OSError):
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Warnings(logging.Handler):
    """Keeps the first warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        if len(self.texts) < _MOST_WARNINGS:
            self.texts.append(record.getMessage())
