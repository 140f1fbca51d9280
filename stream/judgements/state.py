"""What the judgements of a reader amount to: findings with their boxes, what was said of them and the procedure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import NamedTuple

BETWEEN, DRAWN = 1, 2
"""Flags of a mark: put between two others; drawn or corrected by the reader."""

JUDGED = ("verdict", "cause", "kind", "size", "paris", "nice", "place")
"""Fields of a finding whose values come from lists."""

Box = tuple[float, float, float, float]


class Mark(NamedTuple):
    """Where a finding is in one frame.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the recording.
        score: of the detector, 0 to 1; None where it did not say.
        flags: sum of `BETWEEN` and `DRAWN`.
    """

    box: Box
    score: float | None
    flags: int


class ReviewState(str, Enum):
    """How far a reader is with a procedure."""

    NEW = "new"
    IN_REVIEW = "in_review"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Shape:
    """A recording as far as judgements know it.

    Attributes:
        frames: that it has.
        width: of its frames, in pixels.
        height: of its frames, in pixels.
        start_s: when it begins, in seconds of the procedure.
        duration_s: its length in seconds.
    """

    frames: int
    width: int
    height: int
    start_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class TurningPoint:
    """Where the endoscope turns: a recording's number, and seconds from its first frame."""

    recording: int
    time_s: float


@dataclass(frozen=True, slots=True)
class JudgedFinding:
    """A finding with what a reader says of it.

    Attributes:
        id: of it, the same as long as it is not joined to another.
        added: whether the reader found it, and not the detector.
        marks: where it is, by the index of the frame in the procedure, in order.
        verdict: "right", "wrong", "unsure"; None before it is judged.
        cause: why a wrong one was taken for a polyp.
        kind: of lesion.
        size: of the lesion.
        paris: its class by shape.
        nice: its class by surface.
        place: in the colon.
        text: in the reader's own words.
    """

    id: str
    added: bool
    marks: Mapping[int, Mark]
    verdict: str | None = None
    cause: str | None = None
    kind: str | None = None
    size: str | None = None
    paris: str | None = None
    nice: str | None = None
    place: str | None = None
    text: str = ""

    @property
    def first_frame(self) -> int:
        """Index of the first frame that shows it, in the procedure."""
        return next(iter(self.marks))

    @property
    def last_frame(self) -> int:
        """Index of the last frame that shows it, in the procedure."""
        return max(self.marks)

    @property
    def is_lesion(self) -> bool:
        """Whether a reader takes it for a lesion; an added one is, unless its reader says something else."""
        return self.verdict == "right" or (self.added and self.verdict is None)

    @property
    def score(self) -> float | None:
        """The detector's highest score; None where the detector did not see it."""
        return max((one.score for one in self.marks.values() if one.score is not None), default=None)


@dataclass(frozen=True, eq=False)
class Beginning:
    """What a review begins with: the recordings of a procedure, and what was detected in them.

    Attributes:
        recordings: in order.
        times_s: when each frame is shown, in seconds of the procedure.
        findings: as the detector found them, in order.
    """

    recordings: tuple[Shape, ...]
    times_s: tuple[float, ...]
    findings: tuple[JudgedFinding, ...]

    @cached_property
    def first_frames(self) -> tuple[int, ...]:
        """Index of the first frame of each recording in the procedure."""
        firsts = [0]
        for one in self.recordings[:-1]:
            firsts.append(firsts[-1] + one.frames)
        return tuple(firsts)

    def place_of(self, frame: int) -> tuple[int, int]:
        """Recording and index in it of a frame of the procedure."""
        recording = bisect_right(self.first_frames, frame) - 1
        return recording, frame - self.first_frames[recording]

    def state(self) -> Judgements:
        """Before anybody has judged."""
        return Judgements({one.id: one for one in self.findings})


@dataclass(frozen=True, slots=True)
class Judgements:
    """What a reader says of a procedure.

    Attributes:
        findings: by their ids.
        turning_point: where the endoscope turns; None where nobody said.
        bbps: Boston Bowel Preparation Scale of right, transverse and left colon, each 0 to 3 or None; None for all.
        state: how far the reader is.
        made: how many findings this reader made, by adding and splitting.
    """

    findings: Mapping[str, JudgedFinding] = field(default_factory=dict)
    turning_point: TurningPoint | None = None
    bbps: tuple[int | None, int | None, int | None] | None = None
    state: ReviewState = ReviewState.NEW
    made: int = 0

    def only_added(self) -> Judgements:
        """Without what the detector found."""
        return replace(self, findings={key: one for key, one in self.findings.items() if one.added})
