"""A study from its recordings to its results: takes stock, hands out tasks, keeps the ledger."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from engine.errors import InputError, WriteError
from engine.files import claim_folder, make_folder
from engine.interrupts import check, deferred
from engine.runtime import AUTO
from stream.procedure.page import check_page
from stream.record.recording import RecordingSettings
from stream.study.fingerprints import Deciders, deciders_of
from stream.study.ledger import Ledger, RecordingEntry, State
from stream.study.listing import LEDGER, find_listing
from stream.study.perceiving import STORE
from stream.study.pool import MOST_WORKER_BYTES, WORKER_BYTES, LocalPool, scratch_of, worker_count
from stream.study.segments.executor import SegmentsExecutor
from stream.study.settings import StudySettings
from stream.study.stock import Stock, take_stock
from stream.study.tasks import Cause, ConcludeTask, Executor, Failed, Finished, Part, PerceiveTask, Progress, Said, Task
from stream.study.worker import WorkerSettings

MOST_ATTEMPTS = 3
"""Attempts at a recording, or at a procedure, before it counts as failed."""

_SEGMENT_S = 300.0  # of a piece on a cluster
_LOOK_S = 0.5  # between two looks at interrupts


@dataclass(frozen=True, slots=True)
class StudyProgress:
    """How far a study is.

    Attributes:
        done_s: seconds of video that were looked at, in this run and earlier ones.
        total_s: of all recordings whose length is known.
        recordings_done: recordings that were looked at.
        recordings: in all.
        procedures_done: procedures that were concluded.
        procedures: in all.
        failed: recordings that failed.
        working: titles of the recordings in work.
    """

    done_s: float
    total_s: float
    recordings_done: int
    recordings: int
    procedures_done: int
    procedures: int
    failed: int
    working: tuple[str, ...]


class StudyListener(Protocol):
    """Told of a study as it goes, from the thread that runs it."""

    def scanned(self, files: int) -> None:
        """So many more files were looked at, to see what they are."""

    def took_stock(self, stock: Stock, workers: int) -> None:
        """It is known what the study is made of."""

    def said(self, line: str) -> None:
        """Something that a user should know: a failure, or a warning of a recording."""

    def progressed(self, progress: StudyProgress) -> None:
        """Work went on."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What came of a study.

    Attributes:
        progress: how far it is.
        failures: recordings and procedures that failed, each with the reason.
        remarks: recordings that were looked at but are not whole, each with the reason.
        not_perceived: recordings that `decide_only` could not decide about.
        interrupted: whether it was interrupted; the same command goes on.
    """

    progress: StudyProgress
    failures: dict[str, str]
    remarks: dict[str, str]
    not_perceived: int
    interrupted: bool


def run_study(settings: StudySettings, listener: StudyListener) -> StudyResult:
    """Looks at all recordings that were not looked at yet, and concludes all procedures.

    Raises:
        InputError: wrong usage or unusable input; another run holds the results.
        RunError: it had to stop; what was finished is kept, and the same command goes on.
    """
    check_page(pdf=settings.pdf)
    deciders = deciders_of(settings)
    listing = find_listing(settings.source, results=settings.results, join=settings.join)
    with _cluster(settings, listener), claim_folder(settings.results) as results, Ledger(results / LEDGER) as ledger, deferred():
        store = results / STORE
        make_folder(store)
        shutil.rmtree(scratch_of(results), ignore_errors=True)  # of a run that was killed
        stock = take_stock(
            listing,
            ledger,
            deciders,
            results=results,
            store=store,
            named=not settings.source.is_dir(),
            pdf=settings.pdf,
            on_probed=_checked(listener.scanned),
        )
        with _executor(settings, results, stock) as (executor, count):
            listener.took_stock(stock, count)
            study = _Study(settings, ledger, deciders, results, stock, executor, listener)
            try:
                study.work()
                interrupted = False
            except KeyboardInterrupt:
                interrupted = True
        shutil.rmtree(scratch_of(results), ignore_errors=True)
        return study.result(interrupted=interrupted)


@contextmanager
def _cluster(settings: StudySettings, listener: StudyListener) -> Iterator[None]:
    """The connection to the cluster that is asked for; found wanting before anything else is looked at."""
    if settings.ray is None:
        yield
        return
    from stream.study.cluster.connection import connected
    from stream.study.cluster.nodes import check_nodes

    with connected(settings.ray):
        for note in check_nodes(_recording_settings(settings, alone=False)):
            listener.said(note)
        yield


def _checked(on_probed: Callable[[int], None]) -> Callable[[int], None]:
    def probed(files: int) -> None:
        check()
        on_probed(files)

    return probed


@contextmanager
def _executor(settings: StudySettings, results: Path, stock: Stock) -> Iterator[tuple[Executor, int]]:
    """What works on a study, and how many tasks at once."""
    length_s = settings.segment_s
    if settings.ray is None:
        count = worker_count(settings.workers)
        if length_s is None:
            count = min(count, len(stock.recordings))
        pool = _local_pool(settings, results, count)
        with SegmentsExecutor(pool, pool, length_s=_splitting(settings, length_s)) as executor:
            yield executor, count
        return
    from stream.study.cluster.executor import RayExecutor

    work = WorkerSettings(_recording_settings(settings, alone=False), 1, scratch_of(results), MOST_WORKER_BYTES)
    cluster = RayExecutor(
        work,
        worker_bytes=WORKER_BYTES,
        most=settings.workers,
        gpu_share=settings.gpu_share if settings.runtime in (AUTO, "tensorrt") else None,
        ship=settings.ship,
    )
    here = _local_pool(settings, results, worker_count(None))
    length_s = _SEGMENT_S if length_s is None else length_s
    with SegmentsExecutor(cluster, here, length_s=_splitting(settings, length_s)) as executor:
        yield executor, cluster.places


def _splitting(settings: StudySettings, length_s: float | None) -> float | None:
    """Kinds of polyps are named by all looks at them so far: recordings stay whole."""
    return None if settings.classify is not None else length_s


def _local_pool(settings: StudySettings, results: Path, count: int) -> LocalPool:
    alone = count == 1
    threads = 0 if alone else max(1, worker_count(None) // count)
    work = WorkerSettings(
        _recording_settings(settings, alone=alone), threads, scratch_of(results), MOST_WORKER_BYTES
    )
    return LocalPool(work, count=count)


def _recording_settings(settings: StudySettings, *, alone: bool) -> RecordingSettings:
    """How recordings are looked at; `alone`: by one process that has the machine for itself."""
    return RecordingSettings(
        source="",
        model=settings.model,
        runtime=settings.runtime,
        precision=settings.precision,
        threshold=settings.threshold,
        endoscope=settings.endoscope,
        classify=settings.classify,
        streams=2 if alone else 1,
        decoder_threads=0 if alone else 1,
    )


class _Study:
    """Hands out what is to be done, and writes down what came of it."""

    def __init__(
        self,
        settings: StudySettings,
        ledger: Ledger,
        deciders: Deciders,
        results: Path,
        stock: Stock,
        executor: Executor,
        listener: StudyListener,
    ) -> None:
        self._settings, self._ledger, self._deciders, self._results = settings, ledger, deciders, results
        self._executor, self._listener = executor, listener
        self._procedures = {entry.name: entry for entry in stock.procedures}
        self._of_procedure: dict[str, list[str]] = defaultdict(list)
        self._by_key: dict[str, list[str]] = defaultdict(list)
        self._recordings: dict[str, RecordingEntry] = {}
        for entry in stock.recordings:
            self._recordings[entry.path] = entry
            self._of_procedure[entry.procedure].append(entry.path)
            if entry.key is not None:
                self._by_key[entry.key].append(entry.path)
        self._done_s: dict[str, float] = {}  # of recordings in work, by key
        self._running: list[Task] = []
        # The longest first: none of them is left for the end, when the other workers have nothing to do.
        waiting = {key: paths for key, paths in self._by_key.items() if self._state(paths[0]) is State.WAITING}
        by_length = sorted(waiting, key=lambda key: self._recordings[waiting[key][0]].size_bytes)
        self._to_perceive = [] if settings.decide_only else by_length
        self._to_conclude = [name for name in reversed(self._procedures) if self._is_ready(name)]

    def work(self) -> None:
        """Works until nothing is left to be done.

        Raises:
            RunError: it had to stop.
            KeyboardInterrupt: Ctrl-C.
        """
        for name in self._procedures:
            self._fail_incomplete(name)
        while True:
            check()
            while (task := self._next()) is not None:
                self._start(task)
            self._listener.progressed(self.progress())
            if not self._running:
                return
            for event in self._executor.events(_LOOK_S):
                self._take(event)

    def progress(self) -> StudyProgress:
        """How far it is."""
        recordings = self._recordings.values()
        states = [recording.state for recording in recordings]
        lengths = [(recording, recording.duration_s or 0.0) for recording in recordings]
        working = sum(
            min(self._done_s.get(recording.key or "", 0.0), length_s)
            for recording, length_s in lengths
            if recording.state is State.WORKING
        )
        return StudyProgress(
            done_s=working + sum(length_s for recording, length_s in lengths if recording.state is State.DONE),
            total_s=sum(length_s for recording, length_s in lengths if recording.state is not State.FAILED),
            recordings_done=states.count(State.DONE),
            recordings=len(states),
            procedures_done=sum(entry.state is State.DONE for entry in self._procedures.values()),
            procedures=len(self._procedures),
            failed=states.count(State.FAILED),
            working=tuple(sorted(task.title for task in self._running)),
        )

    def result(self, *, interrupted: bool) -> StudyResult:
        """What came of it; what was in work when it ended waits again."""
        for path, recording in self._recordings.items():
            if recording.state is State.WORKING:
                self._set_recording(path, State.WAITING)
        for name, procedure in self._procedures.items():
            if procedure.state is State.WORKING:
                self._set_procedure(name, State.WAITING)
        recordings = self._recordings.values()
        failures = {one.path: one.error or "" for one in recordings if one.state is State.FAILED}
        for procedure in self._procedures.values():
            if procedure.state is State.FAILED and not self._failed_of(procedure.name):
                failures[procedure.name] = procedure.error or ""
        return StudyResult(
            self.progress(),
            failures,
            {one.path: one.error for one in recordings if one.state is State.DONE and one.error},
            sum(one.state is State.WAITING for one in recordings) if self._settings.decide_only else 0,
            interrupted,
        )

    def _next(self) -> Task | None:
        """What is to be done next: procedures first, so that results come while the study goes on."""
        store = self._results / STORE
        if self._to_conclude and self._executor.free(ConcludeTask):
            entry = self._procedures[self._to_conclude.pop()]
            recordings = [self._recordings[path] for path in self._of_procedure[entry.name]]
            return ConcludeTask(
                procedure=entry.name,
                folder=self._results / entry.folder,
                store=store,
                parts=tuple(Part(Path(one.path), one.key or "", one.size_bytes, one.sha256) for one in recordings),
                rule=self._deciders.rule,
                threshold=self._deciders.threshold,
                listed=entry.listed,
                pdf=self._settings.pdf,
            )
        if self._to_perceive and self._executor.free(PerceiveTask):
            key = self._to_perceive.pop()
            path = self._by_key[key][0]
            return PerceiveTask(Path(path), key, store, self._recordings[path].duration_s)
        return None

    def _start(self, task: Task) -> None:
        worker = self._executor.start(task)
        self._running.append(task)
        if isinstance(task, PerceiveTask):
            for path in self._by_key[task.key]:
                self._set_recording(path, State.WORKING, worker=worker, started=_now(), error=None)
        else:
            self._set_procedure(task.procedure, State.WORKING, error=None)

    def _take(self, event: Progress | Said | Finished | Failed) -> None:
        task = event.task
        if isinstance(event, Progress):
            if isinstance(task, PerceiveTask):
                self._done_s[task.key] = event.done_s
            return
        if isinstance(event, Said):
            self._listener.said(f"{task.title}: {event.text}")
            return
        self._running.remove(task)
        if isinstance(event, Failed):
            self._failed(task, event)
        elif isinstance(task, PerceiveTask):
            self._perceived(task, event)
        else:
            self._set_procedure(task.procedure, State.DONE, key=self._key_of(task.procedure), ended=_now())

    def _perceived(self, task: PerceiveTask, event: Finished) -> None:
        result = event.result
        for path in self._by_key[task.key]:
            self._set_recording(
                path,
                State.DONE,
                frames=result["frames"],
                duration_s=result["duration_s"],
                seconds=result["seconds"],
                error=result["remark"],
                ended=_now(),
            )
        if result["remark"]:
            self._listener.said(f"{task.title}: {result['remark']}")
        for name in self._procedures_of(task):
            if self._is_ready(name):
                self._to_conclude.append(name)

    def _failed(self, task: Task, event: Failed) -> None:
        if event.cause is Cause.SETUP:
            raise InputError(event.error)
        if event.cause is Cause.RESULTS:
            raise WriteError(f"{event.error}; run the same command again")
        if isinstance(task, ConcludeTask):
            state, values = self._after_failure(self._procedures[task.procedure].attempts, event)
            self._set_procedure(task.procedure, state, **values)
            if state is State.WAITING:
                self._to_conclude.insert(0, task.procedure)
            return
        state, values = self._after_failure(self._recordings[str(task.recording)].attempts, event)
        for path in self._by_key[task.key]:
            self._set_recording(path, state, **values)
        if state is State.WAITING:
            self._to_perceive.insert(0, task.key)  # its turn comes after all others
        for name in self._procedures_of(task):
            self._fail_incomplete(name)

    def _after_failure(self, attempts: int, event: Failed) -> tuple[State, dict[str, Any]]:
        """How what failed stands, and what the ledger says of it; says it."""
        attempts += 1
        final = event.cause is Cause.INPUT or attempts >= MOST_ATTEMPTS
        then = "given up" if final else "tried again"
        tried = "" if event.cause is Cause.INPUT else f" (attempt {attempts} of {MOST_ATTEMPTS}, {then})"
        self._listener.said(f"{event.task.title}: {event.error}{tried}")
        state = State.FAILED if final else State.WAITING
        return state, {"attempts": attempts, "error": event.error, "ended": _now()}

    def _fail_incomplete(self, name: str) -> None:
        """A procedure of which a recording failed has failed: times that leave a part out would be wrong."""
        failed = self._failed_of(name)
        if failed and self._procedures[name].state is not State.FAILED:
            self._set_procedure(name, State.FAILED, error=f"a recording failed: {failed[0].error}")

    def _failed_of(self, name: str) -> list[RecordingEntry]:
        return [one for path in self._of_procedure[name] if (one := self._recordings[path]).state is State.FAILED]

    def _procedures_of(self, task: PerceiveTask) -> list[str]:
        return list(dict.fromkeys(self._recordings[path].procedure for path in self._by_key[task.key]))

    def _is_ready(self, name: str) -> bool:
        recordings = [self._recordings[path] for path in self._of_procedure[name]]
        return self._procedures[name].state is State.WAITING and all(one.state is State.DONE for one in recordings)

    def _key_of(self, name: str) -> str:
        recordings = [self._recordings[path] for path in self._of_procedure[name]]
        return self._deciders.procedure_key(self._procedures[name], recordings)

    def _state(self, path: str) -> State:
        return self._recordings[path].state

    def _set_recording(self, path: str, state: State, **values: Any) -> None:
        self._ledger.set_recording(path, state, **values)
        self._recordings[path] = replace(self._recordings[path], state=state, **values)

    def _set_procedure(self, name: str, state: State, **values: Any) -> None:
        self._ledger.set_procedure(name, state, **values)
        self._procedures[name] = replace(self._procedures[name], state=state, **values)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
