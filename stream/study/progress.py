"""How a study goes, for whoever shows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from stream.study.stock import Stock


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
        working: titles of the tasks in work.
        speed: seconds of video in a second, in this run; None before there is something to count.
    """

    done_s: float
    total_s: float
    recordings_done: int
    recordings: int
    procedures_done: int
    procedures: int
    failed: int
    working: tuple[str, ...]
    speed: float | None = None

    @property
    def left_s(self) -> float | None:
        """Seconds until everything is looked at, at this speed; None where nobody knows."""
        return None if not self.speed else (self.total_s - self.done_s) / self.speed


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
        remarks: recordings that were looked at but are not whole, and procedures without an annotated recording that
            was wanted, each with the reason.
        not_perceived: recordings that `decide_only` could not decide about.
        interrupted: whether it was interrupted; the same command goes on.
    """

    progress: StudyProgress
    failures: Mapping[str, str]
    remarks: Mapping[str, str]
    not_perceived: int
    interrupted: bool


def long_time(seconds: float) -> str:
    """A length of video for people: `42 s`, `12.5 minutes`, `3.4 hours`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"


def about(name: str, text: str) -> str:
    """What is said of a recording (by its absolute path) or a procedure; a path that the text names is not repeated."""
    return text if os.path.isabs(name) and name in text else f"{name}: {text}"
