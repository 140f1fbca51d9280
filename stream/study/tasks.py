"""The steps of a study as tasks: small records that say all that is needed to carry them out anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from stream.decision.rule import DecisionRule
from stream.record.spans import Span
from stream.study.extras.wanted import Extras


@dataclass(frozen=True, slots=True)
class PerceiveTask:
    """Look at a recording, or at a piece of it.

    Attributes:
        recording: path of it.
        key: of what is perceived.
        store: where that is kept.
        duration_s: of the recording as its file says, in seconds; None where that is not known.
        span: the piece; None for the whole recording.
    """

    recording: Path
    key: str
    store: Path
    duration_s: float | None = None
    span: Span | None = None

    @property
    def title(self) -> str:
        """For messages."""
        return str(self.recording)

    @property
    def length_s(self) -> float:
        """Seconds of video to look at, as far as is known."""
        if self.span is None:
            return self.duration_s or 0.0
        end_s = self.duration_s if self.span.end_s is None else self.span.end_s
        return max((end_s or 0.0) - self.span.start_s, 0.0)


@dataclass(frozen=True, slots=True)
class JoinTask:
    """Make what was perceived in the pieces of a recording into what is perceived in the whole.

    Attributes:
        recording: path of it.
        key: of what is perceived in it.
        store: where that, and what was perceived in the pieces, is kept.
        segments: tasks of the pieces, in the order of time.
    """

    recording: Path
    key: str
    store: Path
    segments: tuple[PerceiveTask, ...]

    @property
    def title(self) -> str:
        """For messages."""
        return str(self.recording)


@dataclass(frozen=True, slots=True)
class Part:
    """A recording of a procedure that was looked at.

    Attributes:
        path: of it.
        key: of what was perceived in it.
        size_bytes: of the file.
        sha256: as in the ledger.
    """

    path: Path
    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ConcludeTask:
    """Decide what is found in a procedure, and write its folder.

    Attributes:
        procedure: its name.
        folder: to write.
        store: where what was perceived is kept.
        parts: its recordings, in the order of time.
        rule: by which it is decided what is shown.
        threshold: that the rule was made of.
        listed: what a list says of the procedure.
        extras: what is wanted beside its report.
        most_picture_bytes: that pictures kept for further reports may take, those of all procedures together.
    """

    procedure: str
    folder: Path
    store: Path
    parts: tuple[Part, ...]
    rule: DecisionRule
    threshold: float
    listed: Mapping[str, str]
    extras: Extras
    most_picture_bytes: float

    @property
    def title(self) -> str:
        """For messages."""
        return self.procedure


Task = PerceiveTask | JoinTask | ConcludeTask


class Cause(str, Enum):
    """Why a task failed, and so what follows.

    `INPUT`: the recording cannot be used; another attempt would end in the same way. `FAULT`: something went wrong;
    another attempt may do better. `RESULTS`: results cannot be written. `SETUP`: nothing can be looked at with these
    settings.
    """

    INPUT = "input"
    FAULT = "fault"
    RESULTS = "results"
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is: seconds of video looked at."""

    task: Task
    done_s: float


@dataclass(frozen=True, slots=True)
class Said:
    """A warning of a task."""

    task: Task
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A task is done; `result` as of `carry_out`."""

    task: Task
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """A task failed."""

    task: Task
    error: str
    cause: Cause


Event = Progress | Said | Finished | Failed


class Executor(AbstractContextManager["Executor"], Protocol):
    """What carries tasks out, several at once. Used from one thread."""

    def free(self, kind: type[Task]) -> int:
        """How many tasks of a kind can be started now."""

    def start(self, task: Task) -> str:
        """Starts a task; returns the name of who has it."""

    def events(self, timeout_s: float) -> Iterator[Event]:
        """What happened since the last call; waits for something to happen, but not longer than the timeout."""
