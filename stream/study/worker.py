"""A worker of a study: a process that carries out one task after the other, and says how it goes.

It is told its settings and tasks as lines of JSON on standard input, and answers in such lines on standard output. When
its standard input ends, whoever started it has ended, and it ends too, whatever it does at the time.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from engine.checks import require_at_least
from engine.errors import InputError, OutputError, RunError, WriteError, cause_of
from engine.machine import own_memory
from stream.decision.rule import rule_of_record
from stream.record.recording import Models, RecordingSettings, open_models
from stream.record.spans import Span
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.study.concluding import conclude
from stream.study.extras.wanted import Extras
from stream.study.perceiving import perceive
from stream.study.segments.joining import join
from stream.study.tasks import Cause, ConcludeTask, JoinTask, Part, PerceiveTask, Task

_TELL_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works.

    Attributes:
        recording: how recordings are looked at.
        threads: processor threads of its detector; 0 for every core.
        scratch: folder for unfinished files, of this worker alone.
        most_bytes: of memory that it may hold; None for no limit.
    """

    recording: RecordingSettings
    threads: int
    scratch: Path
    most_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        require_at_least("threads of a worker", self.threads, 0)


class TaskError(Exception):
    """A task failed, for a cause."""

    def __init__(self, error: Exception, cause: Cause) -> None:
        """Say why."""
        super().__init__(cause_of(error))
        self.cause = cause


class Tools:
    """What a process needs for tasks: models, opened when the first recording is to be looked at."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Opens nothing yet."""
        self.settings = settings
        self._stack = ExitStack()
        self._models: Models | None = None

    def carry_out(self, task: Task, on_progress: Callable[[float], None]) -> Mapping[str, Any]:
        """Carries out a task; arguments and result as of `perceive`, `join` and `conclude`.

        Raises:
            TaskError: it failed.
        """
        try:
            if isinstance(task, ConcludeTask):
                return conclude(task, lambda: on_progress(0.0))
            if isinstance(task, JoinTask):
                return join(task, lambda: on_progress(0.0))
            models = self._opened()
            return self._perceive(task, models, on_progress)
        except TaskError:
            raise
        except (OutputError, WriteError) as error:
            raise TaskError(error, Cause.RESULTS) from error
        except InputError as error:
            raise TaskError(error, Cause.INPUT) from error
        except Exception as error:
            raise TaskError(error, Cause.FAULT) from error

    def close(self) -> None:
        """Closes the models."""
        self._stack.close()

    def _opened(self) -> Models:
        if self._models is None:
            settings = self.settings
            try:
                self._models = self._stack.enter_context(open_models(settings.recording, threads=settings.threads))
            except InputError as error:
                raise TaskError(error, Cause.SETUP) from error
        return self._models

    def _perceive(self, task: PerceiveTask, models: Models, on_progress: Callable[[float], None]) -> Mapping[str, Any]:
        scratch = self.settings.scratch
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        most = self.settings.most_bytes

        def checked(done_s: float) -> None:
            held = own_memory()
            if most is not None and held is not None and held > most:
                raise RunError(
                    f"it took {held / 2**30:.1f} GiB of memory, and a worker may take {most / 2**30:.1f}; give fewer "
                    "workers with --workers"
                )
            on_progress(done_s)

        try:
            return perceive(task, self.settings.recording, models, scratch, checked)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def main() -> None:
    """Works until standard input ends."""
    for name in ("SIGINT", "SIGHUP"):  # a terminal sends them to all; whoever started this worker ends it
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    told = sys.stdin.buffer
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    settings = settings_of(json.loads(told.readline()))
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(told, tasks), name="listener", daemon=True).start()
    _Talker(answers).work(settings, tasks)


def _listen(told: BinaryIO, tasks: queue.SimpleQueue[Task]) -> None:
    try:
        while line := told.readline():
            tasks.put(task_of(json.loads(line)))
    except Exception as error:  # an update under a running study: without its end nobody would hear of it
        sys.stderr.write(f"it cannot read its task: {error!r}\n")
        os._exit(1)
    os._exit(0)


class _Talker(logging.Handler):
    """Works, and says so."""

    def __init__(self, answers: BinaryIO) -> None:
        super().__init__(logging.WARNING)
        self._answers = answers
        self._lines = threading.Lock()
        self._next_s = 0.0

    def work(self, settings: WorkerSettings, tasks: queue.SimpleQueue[Task]) -> None:
        logging.basicConfig(level=logging.WARNING, handlers=[self])
        tools = Tools(settings)
        while True:
            task = tasks.get()
            self._next_s = 0.0
            try:
                result = tools.carry_out(task, self._progress)
            except TaskError as error:
                self._say("failed", error=str(error), cause=error.cause.value)
                if error.cause is Cause.FAULT:  # nobody knows what state the libraries are in
                    os._exit(0)
            else:
                self._say("finished", result=dict(result))

    def emit(self, record: logging.LogRecord) -> None:
        self._say("said", text=record.getMessage())

    def _progress(self, done_s: float) -> None:
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + _TELL_EVERY_S
            self._say("progress", done_s=done_s)

    def _say(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        with self._lines:
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[self._answers.write(rest) or 0 :]
            except OSError:  # whoever started this worker has ended
                os._exit(0)


def settings_record(settings: WorkerSettings) -> dict[str, Any]:
    """Settings in types that JSON knows, for `settings_of`."""
    record = asdict(settings)
    return {**record, "scratch": str(settings.scratch)}


def settings_of(record: Mapping[str, Any]) -> WorkerSettings:
    """Settings as `settings_record` wrote them."""
    recording = RecordingSettings(**record["recording"])
    recording = replace(recording, deinterlace=Deinterlace(recording.deinterlace))
    return WorkerSettings(recording, record["threads"], Path(record["scratch"]), record["most_bytes"])


def task_record(task: Task) -> dict[str, Any]:
    """A task in types that JSON knows, for `task_of`."""
    record: dict[str, Any] = json.loads(json.dumps(asdict(task), default=str))
    return {"task": type(task).__name__, **record}


def task_of(record: Mapping[str, Any]) -> Task:
    """A task as `task_record` wrote it."""
    values = {key: value for key, value in record.items() if key != "task"}
    if record["task"] == PerceiveTask.__name__:
        return _perceive_task(values)
    values["store"] = Path(values["store"])
    if record["task"] == JoinTask.__name__:
        segments = tuple(_perceive_task(one) for one in values["segments"])
        return JoinTask(**{**values, "recording": Path(values["recording"]), "segments": segments})
    parts = tuple(Part(**{**part, "path": Path(part["path"])}) for part in values["parts"])
    return ConcludeTask(
        **{
            **values,
            "folder": Path(values["folder"]),
            "parts": parts,
            "rule": rule_of_record(values["rule"]),
            "extras": Extras.of_record(values["extras"]),
        }
    )


def _perceive_task(values: Mapping[str, Any]) -> PerceiveTask:
    span = None if values["span"] is None else Span(**values["span"])
    paths = {name: Path(values[name]) for name in ("recording", "store")}
    return PerceiveTask(**{**values, **paths, "span": span})
