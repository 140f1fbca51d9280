"""Work that a browser asked for and that takes longer than a request: it is started, and asked how far it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from engine.closing import Closing
from engine.errors import InputError, RunError, cause_of

_log = logging.getLogger(__name__)
_MOST_WAITING = 100
_CANCELLED = "cancelled"
_KEPT = 200  # finished jobs that can still be asked for


class CancelledError(RunError):
    """Nobody wants the work any more."""

    def __init__(self) -> None:
        """Says so."""
        super().__init__(_CANCELLED)


@dataclass(slots=True)
class Job:
    """A piece of work. Its thread writes, everybody reads.

    Attributes:
        text: what is being done, for people.
        progress: 0 to 1.
        done: whether it has ended.
        procedure: name of the procedure that it made; None for none.
        error: why it failed, in one line; None where it did not.
        begun: whether it is being done, or was.
        stopping: set when the work has to end soon.
    """

    text: str
    progress: float = 0.0
    done: bool = False
    procedure: str | None = None
    error: str | None = None
    begun: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises CancelledError when the work has to end."""
        if self.stopping.is_set():
            raise CancelledError

    def as_record(self) -> Mapping[str, Any]:
        """Ready for JSON."""
        return {name: getattr(self, name) for name in ("text", "progress", "done", "procedure", "error")}


class Jobs(Closing):
    """Carries out jobs of one kind one after the other, and of several kinds at once. May be used from any thread."""

    def __init__(self) -> None:
        """Starts threads with the first jobs."""
        self._jobs: dict[str, Job] = {}
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._closed = False
        self._numbers = count(1)
        self._lock = threading.Lock()

    def start(self, kind: str, text: str, work: Callable[[Job], object]) -> str:
        """Hands in a job; returns the name that it can be asked by.

        Args:
            kind: of job; a long one of another kind does not hold it up.
            text: what is done, for people.
            work: called in a thread of the jobs. An error that it raises becomes `Job.error`.

        Raises:
            InputError: too many are waiting, or the page was closed.
        """
        job = Job(text)
        with self._lock:
            if self._closed:
                raise InputError("the page was closed")
            ended = [name for name, one in self._jobs.items() if one.done]
            if len(self._jobs) - len(ended) >= _MOST_WAITING:
                raise InputError(f"{_MOST_WAITING} jobs are waiting; try again when some of them are done")
            for old in ended[:-_KEPT]:
                del self._jobs[old]
            name = str(next(self._numbers))
            self._jobs[name] = job
            if kind not in self._threads:
                self._threads[kind] = ThreadPoolExecutor(1, f"review-{kind}")
            self._threads[kind].submit(self._carry_out, job, work)
        return name

    def get(self, name: str) -> Job | None:
        """A job by its name; None where there is none."""
        return self._jobs.get(name)

    def cancel(self, name: str) -> Job | None:
        """Asks a job to stop, and returns it; None where there is none. One that waits for its turn is over at once."""
        job = self._jobs.get(name)
        if job is not None:
            job.stopping.set()
            with self._lock:
                if not job.begun:
                    job.error, job.done = job.error or _CANCELLED, True
        return job

    def close(self) -> None:
        """Ends: jobs are asked to stop and waited for. Those that wait are begun too: what they were given goes."""
        with self._lock:
            self._closed = True
        for job in list(self._jobs.values()):
            job.stopping.set()
        for threads in self._threads.values():
            threads.shutdown()

    def _carry_out(self, job: Job, work: Callable[[Job], object]) -> None:
        with self._lock:
            job.begun = True
        try:
            work(job)
            job.progress = 1.0
        except Exception as error:
            _log.debug("a job failed", exc_info=True)
            job.error = cause_of(error)
        finally:
            job.done = True
