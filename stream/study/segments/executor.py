"""Hands recordings out in pieces, to whatever looks at them, and has the pieces joined."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from engine.closing import Closing
from stream.study.perceiving import is_perceived
from stream.study.segments.joining import AGAIN, WHOLE
from stream.study.segments.planning import remove_segments, segments_of, with_longer_memory
from stream.study.tasks import (
    Cause,
    Event,
    Executor,
    Failed,
    Finished,
    JoinTask,
    PerceiveTask,
    Progress,
    Said,
    Task,
)


@dataclass(slots=True, eq=False)
class _Recording:
    """A recording that is looked at in pieces."""

    task: PerceiveTask
    segments: list[PerceiveTask]
    missing: set[PerceiveTask] = field(default_factory=set)
    done_s: dict[PerceiveTask, float] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)


class SegmentsExecutor(Closing):
    """An `Executor` that has long recordings looked at in pieces by another one.

    What was perceived in a piece is kept until the recording is whole: work that was interrupted goes on there.
    """

    def __init__(self, perceiving: Executor, here: Executor, *, length_s: float | None) -> None:
        """Takes two executors, which this one closes.

        Args:
            perceiving: looks at recordings and pieces of them.
            here: joins pieces and concludes procedures; may be the same.
            length_s: of a piece in seconds; None to leave recordings whole.
        """
        self._perceiving, self._here, self._length_s = perceiving, here, length_s
        self._to_perceive: deque[PerceiveTask] = deque()
        self._to_do_here: deque[Task] = deque()
        self._recordings: dict[PerceiveTask, _Recording] = {}  # by piece: those that wait and those in work
        self._in_work: set[PerceiveTask] = set()

    def __enter__(self) -> SegmentsExecutor:
        """The executor itself."""
        return self

    def close(self) -> None:
        """Closes both."""
        self._perceiving.__exit__(None, None, None)
        if self._here is not self._perceiving:
            self._here.__exit__(None, None, None)

    def free(self, kind: type[Task]) -> int:
        """See `Executor`. Recordings are taken when no piece waits; procedures are never held up by pieces."""
        if kind is PerceiveTask:
            return 0 if self._to_perceive else self._perceiving.free(kind)
        return max(self._here.free(kind) - len(self._to_do_here), 0)

    def start(self, task: Task) -> str:
        """See `Executor`."""
        if not isinstance(task, PerceiveTask):
            return self._here.start(task)
        segments = () if self._length_s is None else segments_of(task, self._length_s)
        if not segments:
            return self._perceiving.start(task)
        recording = _Recording(task, list(segments))
        for segment in segments:
            self._look_at(recording, segment)
        self._join_if_whole(recording)
        self._hand_out()
        return f"{len(segments)} pieces"

    def events(self, timeout_s: float) -> Iterator[Event]:
        """See `Executor`."""
        executors = [self._perceiving] if self._here is self._perceiving else [self._here, self._perceiving]
        until_s = time.monotonic() + timeout_s
        for executor in executors:
            left_s = max(until_s - time.monotonic(), 0.0) if executor is executors[-1] else 0.0
            for event in executor.events(left_s):
                yield from self._event(event)
        self._hand_out()

    def _look_at(self, recording: _Recording, segment: PerceiveTask) -> None:
        """Has a piece looked at, unless that was done before, or goes on since an earlier attempt."""
        if is_perceived(segment.store, segment.key):
            recording.done_s[segment] = segment.length_s
            return
        recording.missing.add(segment)
        if segment not in self._recordings:
            self._to_perceive.append(segment)
        self._recordings[segment] = recording

    def _hand_out(self) -> None:
        while self._to_do_here and self._here.free(JoinTask):
            self._here.start(self._to_do_here.popleft())
        while self._to_perceive and self._perceiving.free(PerceiveTask):
            segment = self._to_perceive.popleft()
            if segment.span is not None:
                self._in_work.add(segment)
            self._perceiving.start(segment)

    def _event(self, event: Event) -> Iterator[Event]:
        task = event.task
        if isinstance(task, PerceiveTask) and task.span is not None:
            recording = self._recordings[task]
            if isinstance(event, (Finished, Failed)):
                del self._recordings[task]
                self._in_work.discard(task)
            yield from self._of_segment(recording, task, event)
        elif isinstance(task, JoinTask) and isinstance(event, (Finished, Failed)):
            yield from self._of_join(task, event)
        elif not isinstance(task, JoinTask):
            if isinstance(task, PerceiveTask) and isinstance(event, Finished):
                remove_segments(task)
            yield event

    def _of_segment(self, recording: _Recording, segment: PerceiveTask, event: Event) -> Iterator[Event]:
        whole = recording.task
        if isinstance(event, Said):
            if event.text not in recording.said:  # many pieces say the same
                recording.said.add(event.text)
                yield Said(whole, event.text)
        elif isinstance(event, Progress):
            recording.done_s[segment] = event.done_s
            yield Progress(whole, sum(recording.done_s.values()))
        elif segment not in recording.missing:  # of an attempt that was given up
            pass
        elif isinstance(event, Finished):
            recording.missing.discard(segment)
            recording.done_s[segment] = segment.length_s
            yield Progress(whole, sum(recording.done_s.values()))
            self._join_if_whole(recording)
        else:
            recording.missing.discard(segment)
            self._give_up(recording)
            if event.cause is Cause.INPUT:  # what cannot be read from the middle may be readable from the beginning
                yield from self._in_one_piece(whole, event.error)
            else:
                yield Failed(whole, event.error, event.cause)

    def _of_join(self, task: JoinTask, event: Finished | Failed) -> Iterator[Event]:
        whole = replace(task.segments[0], key=task.key, span=None)
        if isinstance(event, Failed):
            yield Failed(whole, event.error, event.cause)
        elif WHOLE in event.result:
            yield from self._in_one_piece(whole, event.result[WHOLE])
        elif AGAIN in event.result:
            again = set(event.result[AGAIN])
            longer = {number: with_longer_memory(task.segments[number]) for number in again}
            if None in longer.values():
                yield from self._in_one_piece(whole, "its pieces see different things, however much they remember")
                return
            segments = [longer.get(number) or segment for number, segment in enumerate(task.segments)]
            recording = _Recording(whole, segments)
            for segment in segments:
                self._look_at(recording, segment)
            self._join_if_whole(recording)
        else:
            yield Finished(whole, event.result)

    def _join_if_whole(self, recording: _Recording) -> None:
        if not recording.missing:
            whole = recording.task
            self._to_do_here.append(JoinTask(whole.recording, whole.key, whole.store, tuple(recording.segments)))

    def _give_up(self, recording: _Recording) -> None:
        """Forgets the pieces that nobody has; those in work go on, and are kept for the next attempt."""
        for segment in recording.missing - self._in_work:
            self._to_perceive.remove(segment)
            del self._recordings[segment]
        recording.missing.clear()

    def _in_one_piece(self, whole: PerceiveTask, why: str) -> Iterator[Event]:
        yield Said(whole, f"looked at in one piece: {why}")
        self._to_perceive.append(whole)
