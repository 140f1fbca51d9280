"""Workers on this machine: processes of their own, so that a crash inside a library costs one attempt of one task."""

from __future__ import annotations

import json
import logging
import queue
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.closing import Closing
from engine.errors import RunError
from engine.machine import available_memory, processor
from engine.processes.programs import ends_within, start_python
from stream.study.tasks import Cause, Event, Failed, Finished, Progress, Said, Task
from stream.study.worker import WorkerSettings, settings_record, task_record

log = logging.getLogger(__name__)

UNFINISHED = ".unfinished"
"""Folder in the results for what workers have not finished; it may be removed when no study runs."""

#: Memory that a worker needs for 1920x1080 pictures (`benchmarks/study.py`), and the most that one may take.
WORKER_BYTES = 3 * 2**29
MOST_WORKER_BYTES = 4 * 2**30
#: A worker that says nothing for so long while it has a recording open hangs. Opening models may take far longer once.
_SILENT_S = 600.0
_START = "from stream.study.worker import main\nmain()\n"
_GIVE_UP_S = 5.0
_LONGEST_LINE = 1000  # bytes that are read of what a library says at once


def worker_count(wanted: int | None) -> int:
    """How many workers the machine carries.

    Args:
        wanted: by the user; None for as many as there are cores, and memory for.
    """
    if wanted is not None:
        return wanted
    cores = processor().usable_cores
    memory = available_memory()
    return max(1, cores if memory is None else min(cores, memory // WORKER_BYTES))


class LocalPool(Closing):
    """An `Executor` of processes on this machine."""

    def __init__(self, settings: WorkerSettings, *, count: int) -> None:
        """Starts nothing yet: a worker is started with its first task.

        Args:
            settings: of each worker; each has a folder of its own below `scratch`.
            count: workers at most.
        """
        self._settings, self._count = settings, count
        self._workers: list[_Worker] = []
        self._heard: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = queue.SimpleQueue()

    def __enter__(self) -> LocalPool:
        """The pool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends all workers."""
        self.close()

    def free(self, kind: type[Task]) -> int:
        """See `Executor`; a worker carries out any task."""
        return self._count - sum(worker.task is not None for worker in self._workers)

    def start(self, task: Task) -> str:
        """See `Executor`."""
        worker = next((one for one in self._workers if one.task is None), None)
        if worker is None:
            scratch = self._settings.scratch / secrets.token_hex(6)
            settings = replace(self._settings, scratch=scratch)
            worker = _Worker(settings, self._heard)
            self._workers.append(worker)
        worker.give(task)
        return f"process {worker.process_id}"

    def events(self, timeout_s: float) -> Iterator[Event]:
        """See `Executor`."""
        with suppress(queue.Empty):
            yield from self._event(*self._heard.get(timeout=timeout_s))
        while True:
            try:
                heard = self._heard.get_nowait()
            except queue.Empty:
                break
            yield from self._event(*heard)
        for worker in self._workers:
            if worker.task is not None and worker.silent_s > _SILENT_S:
                log.warning("%s: nothing came of it for %.0f s; its worker is ended", worker.task.title, _SILENT_S)
                worker.end()  # which is heard of

    def close(self) -> None:
        """Ends all workers at once; what they have not finished is left out."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.wait()

    def _event(self, worker: _Worker, said: dict[str, Any] | None) -> Iterator[Event]:
        task = worker.task
        if said is None:
            if worker in self._workers:
                self._workers.remove(worker)
                yield from self._ended(worker, task)
        elif task is not None:
            kind = said["event"]
            if kind == "progress":
                yield Progress(task, said["done_s"])
            elif kind == "said":
                yield Said(task, said["text"])
            elif kind == "finished":
                worker.task = None
                yield Finished(task, said["result"])
            else:
                worker.task = None
                yield Failed(task, said["error"], Cause(said["cause"]))

    def _ended(self, worker: _Worker, task: Task | None) -> Iterator[Event]:
        how = worker.wait()
        if task is not None:
            yield Failed(task, f"its worker {how}", Cause.FAULT)


class _Worker:
    """A process, and threads that listen to it."""

    def __init__(
        self, settings: WorkerSettings, heard: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]]
    ) -> None:
        self.task: Task | None = None
        self._heard = heard
        self._heard_s = time.monotonic()
        self._last_error = ""
        try:
            self._process = start_python(_START, hear_errors=True)
        except OSError as error:
            raise RunError(
                f"a worker cannot be started: {error.strerror or error}; give fewer with --workers"
            ) from error
        name = f"worker-{self.process_id}"
        self._listener = threading.Thread(target=self._listen, name=name, daemon=True)
        self._errors = threading.Thread(target=self._listen_to_errors, name=f"{name}-errors", daemon=True)
        self._listener.start()
        self._errors.start()
        self._tell(settings_record(settings))

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def silent_s(self) -> float:
        return time.monotonic() - self._heard_s

    def give(self, task: Task) -> None:
        self.task, self._heard_s = task, time.monotonic()
        self._tell(task_record(task))

    def end(self) -> None:
        with suppress(OSError):
            self._process.kill()

    def wait(self) -> str:
        """Waits for its end, and says how it ended."""
        if not ends_within(self._process, _GIVE_UP_S):
            self.end()
        code = self._process.wait()
        self._listener.join()
        self._errors.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        return _how_it_ended(code, self._last_error)

    def _tell(self, record: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, which is heard of
            self._process.stdin.write(json.dumps(record).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError, OSError):  # cut off in the middle of a line
            for line in self._process.stdout:
                self._heard_s = time.monotonic()
                self._heard.put((self, json.loads(line)))
        self._heard.put((self, None))

    def _listen_to_errors(self) -> None:
        """What libraries say is passed over; the last line says why a process ended by itself."""
        assert self._process.stderr is not None
        with suppress(ValueError, OSError):
            while line := self._process.stderr.readline(_LONGEST_LINE):
                self._last_error = line.decode(errors="replace").strip() or self._last_error


def _how_it_ended(code: int, last_error: str) -> str:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        more = ", perhaps as memory ran out" if name == "SIGKILL" else ""
        return f"was killed ({name}{more})"
    return f"ended ({code})" + (f": {last_error}" if code and last_error else "")


def scratch_of(results: Path) -> Path:
    """Where workers of a study keep what is unfinished."""
    return results / UNFINISHED
