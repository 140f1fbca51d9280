"""A study from its recordings to its results: takes stock, hands out tasks, keeps the ledger."""

from __future__ import annotations

import math
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engine.errors import InputError, WriteError
from engine.files import claim_folder, make_folder
from engine.interrupts import check, deferred
from stream.judgements.reviewed import review_revisions
from stream.procedure.kept import KeptPictures
from stream.study.cluster.choice import cluster_of, executor_of
from stream.study.concluding import PICTURES
from stream.study.fingerprints import Deciders, deciders_of
from stream.study.ledger import Ledger, RecordingEntry, State
from stream.study.listing import LEDGER, find_listing
from stream.study.perceiving import STORE
from stream.study.pool import scratch_of
from stream.study.progress import StudyListener, StudyProgress, StudyResult, about
from stream.study.settings import StudySettings
from stream.study.stock import Stock, take_stock
from stream.study.summary.files import Summary, failures_of, remarks_of
from stream.study.tasks import (
    Cause,
    ConcludeTask,
    Executor,
    Failed,
    Finished,
    JoinTask,
    Part,
    PerceiveTask,
    Progress,
    Said,
    Task,
)

MOST_ATTEMPTS = 3
"""Attempts at a recording, or at a procedure, before it counts as failed."""

_LOOK_S = 0.5  # between two looks at interrupts


def run_study(settings: StudySettings, listener: StudyListener) -> StudyResult:
    """Looks at all recordings that were not looked at yet, and concludes all procedures.

    Raises:
        InputError: wrong usage or unusable input; another run holds the results.
        RunError: it had to stop; what was finished is kept, and the same command goes on.
    """
    settings.extras.check()
    deciders = deciders_of(settings)
    listing = find_listing(settings.source, results=settings.results, join=settings.join)
    with (
        cluster_of(settings, listener),
        claim_folder(settings.results) as results,
        Ledger(results / LEDGER) as ledger,
        deferred(),
    ):
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
            extras=settings.extras,
            stream=settings.stream,
            on_probed=_checked(listener.scanned),
        )
        KeptPictures(results / PICTURES).forget_others({one.sha256 for one in stock.recordings})
        with executor_of(settings, results, recordings=len(stock.recordings)) as (executor, count):
            listener.took_stock(stock, count)
            study = _Study(settings, ledger, deciders, results, stock, executor, listener)
            try:
                study.work()
                interrupted = False
            except KeyboardInterrupt:
                interrupted = True
        shutil.rmtree(scratch_of(results), ignore_errors=True)
        return study.result(interrupted=interrupted)


def _checked(on_probed: Callable[[int], None]) -> Callable[[int], None]:
    def probed(files: int) -> None:
        check()
        on_probed(files)

    return probed


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
        self._revisions = review_revisions(results)
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
        self._said: set[str] = set()
        self._before_s: float | None = None  # what earlier runs did has no part in the speed
        self._began_s = 0.0
        self._summary = Summary(
            results,
            title=settings.source.resolve().name,
            model=deciders.model.name,
            threshold=deciders.threshold,
            left_out=stock.left_out,
        )
        # The longest first: none of them is left for the end, when the other workers have nothing to do.
        waiting = {
            key: self._recordings[paths[0]]
            for key, paths in self._by_key.items()
            if self._state(paths[0]) is State.WAITING
        }
        by_length = sorted(waiting, key=lambda key: _length(waiting[key]))
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
            self._sum_up(going_on=True)
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
        done_s = working + sum(length_s for recording, length_s in lengths if recording.state is State.DONE)
        if self._before_s is None:
            self._before_s, self._began_s = done_s, time.monotonic()
        passed_s = time.monotonic() - self._began_s
        return StudyProgress(
            done_s=done_s,
            total_s=sum(length_s for recording, length_s in lengths if recording.state is not State.FAILED),
            recordings_done=states.count(State.DONE),
            recordings=len(states),
            procedures_done=sum(entry.state is State.DONE for entry in self._procedures.values()),
            procedures=len(self._procedures),
            failed=states.count(State.FAILED),
            working=tuple(sorted(task.title for task in self._running)),
            speed=(done_s - self._before_s) / passed_s if done_s > self._before_s and passed_s else None,
        )

    def result(self, *, interrupted: bool) -> StudyResult:
        """What came of it; what was in work when it ended waits again."""
        for path, recording in self._recordings.items():
            if recording.state is State.WORKING:
                self._set_recording(path, State.WAITING)
        for name, procedure in self._procedures.items():
            if procedure.state is State.WORKING:
                self._set_procedure(name, State.WAITING)
        recordings = list(self._recordings.values())
        self._sum_up(going_on=False)
        return StudyResult(
            self.progress(),
            failures_of(list(self._procedures.values()), recordings),
            remarks_of(list(self._procedures.values()), recordings),
            sum(one.state is State.WAITING for one in recordings) if self._settings.decide_only else 0,
            interrupted,
        )

    def _sum_up(self, *, going_on: bool) -> None:
        progress = self.progress()
        self._listener.progressed(progress)
        self._summary.update(
            list(self._procedures.values()), list(self._recordings.values()), progress, going_on=going_on
        )

    def _next(self) -> PerceiveTask | ConcludeTask | None:
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
                extras=self._settings.extras,
                most_picture_bytes=self._settings.most_picture_bytes,
            )
        if self._to_perceive and self._executor.free(PerceiveTask):
            key = self._to_perceive.pop()
            path = self._by_key[key][0]
            return PerceiveTask(Path(path), key, store, self._recordings[path].duration_s)
        return None

    def _start(self, task: PerceiveTask | ConcludeTask) -> None:
        worker = self._executor.start(task)
        self._running.append(task)
        if isinstance(task, PerceiveTask):
            for path in self._by_key[task.key]:
                self._set_recording(path, State.WORKING, worker=worker, started=_now(), error=None)
        else:
            self._set_procedure(task.procedure, State.WORKING, error=None)

    def _take(self, event: Progress | Said | Finished | Failed) -> None:
        task = event.task
        assert not isinstance(task, JoinTask)  # those are an executor's own affair
        if isinstance(event, Progress):
            if isinstance(task, PerceiveTask):
                self._done_s[task.key] = event.done_s
            return
        if isinstance(event, Said):
            # Where pictures for a report are read, a recording says again what it said when it was looked at.
            if isinstance(task, PerceiveTask) or event.text not in self._said:
                self._listener.said(about(task.title, event.text))
            self._said.add(event.text)
            return
        self._running.remove(task)
        if isinstance(event, Failed):
            self._failed(task, event)
        elif isinstance(task, PerceiveTask):
            self._perceived(task, event)
        else:
            self._concluded(task, event)

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
            self._listener.said(about(task.title, result["remark"]))
        for name in self._procedures_of(task):
            if self._is_ready(name):
                self._to_conclude.append(name)

    def _concluded(self, task: ConcludeTask, event: Finished) -> None:
        remark = event.result["remark"]
        key = self._key_of(task.procedure)
        self._set_procedure(task.procedure, State.DONE, key=key, error=remark, ended=_now())
        if remark:
            self._listener.said(about(task.title, remark))

    def _failed(self, task: PerceiveTask | ConcludeTask, event: Failed) -> None:
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
        self._listener.said(about(event.task.title, f"{event.error}{tried}"))
        state = State.FAILED if final else State.WAITING
        return state, {"attempts": attempts, "error": event.error, "ended": _now()}

    def _fail_incomplete(self, name: str) -> None:
        """A procedure of which a recording failed has failed: times that leave a part out would be wrong.

        One that is done stays so: only what was perceived for it was lost, and its folder is whole.
        """
        failed = self._failed_of(name)
        if failed and self._procedures[name].state not in (State.FAILED, State.DONE):
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
        return self._deciders.procedure_key(self._procedures[name], recordings, self._revisions)

    def _state(self, path: str) -> State:
        return self._recordings[path].state

    def _set_recording(self, path: str, state: State, **values: Any) -> None:
        self._ledger.set_recording(path, state, **values)
        self._recordings[path] = replace(self._recordings[path], state=state, **values)

    def _set_procedure(self, name: str, state: State, **values: Any) -> None:
        self._ledger.set_procedure(name, state, **values)
        self._procedures[name] = replace(self._procedures[name], state=state, **values)


def _length(recording: RecordingEntry) -> tuple[float, int]:
    """To sort by. One whose length no file tells may be the longest."""
    return (math.inf if recording.duration_s is None else recording.duration_s, recording.size_bytes)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
