"""The threshold from which a detection is shown, chosen on held-out frames for a goal that somebody names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from engine.arrays import Float64s
from engine.errors import InputError
from engine.statistics.bootstrap import GroupBootstrap, Interval
from engine.statistics.ratios import count_at_least, ratios, rounded
from train.evaluation.figures import bounds
from train.judging.stills import JudgedStill, StillsResult
from train.metrics.matching import FALSE, Outcome, Rule

#: Share of the frames without polyp that the target `f1` leaves quiet.
QUIET_SHARE = 0.95
_EQUAL_F1 = 0.01
#: Of 95 % intervals.
_DEVIATES = 1.96
#: Events that have to be possible before a rate can be told: with none seen, 3 / n bounds it (Hanley 1983).
_RULE_OF_THREE = 3


class Aim(str, Enum):
    """What a threshold is chosen for.

    Attributes:
        F1: the highest F1 (centroid rule) that leaves enough frames without polyp quiet.
        SENSITIVITY: the highest threshold that finds this share of the polyps.
        SPECIFICITY: the lowest threshold that leaves this share of the frames without polyp quiet.
        FP_PER_MINUTE: the lowest threshold with no more false detections a minute, each frame counted by itself.
    """

    F1 = "f1"
    SENSITIVITY = "sensitivity"
    SPECIFICITY = "specificity"
    FP_PER_MINUTE = "fp-per-minute"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of a threshold.

    Attributes:
        aim: of what kind.
        value: a share from 0 to 1, or a rate; for F1 the share of frames without polyp that must stay quiet, 0 where
            there need not be such frames.
        tolerance: half of the 95 % interval within which a share is to be known, 0 to 1.
        frames_per_second: of the video that the model will see, which makes a rate of the false detections a frame.
    """

    aim: Aim = Aim.F1
    value: float = QUIET_SHARE
    tolerance: float = 0.05
    frames_per_second: float = 25.0

    def __post_init__(self) -> None:
        """Refuses what no threshold can be.

        Raises:
            InputError: a share that is not between 0 and 1, or a rate that is not positive.
        """
        least = self.value >= 0 if self.aim is Aim.F1 else self.value > 0
        if not (math.isfinite(self.value) and least and (self.aim is Aim.FP_PER_MINUTE or self.value < 1)):
            wanted = "a positive rate" if self.aim is Aim.FP_PER_MINUTE else "a share between 0 and 1"
            raise InputError(f"target {self.aim.value} takes {wanted}. Received: {self.value:g}")
        if not 0 < self.tolerance < 1:
            raise InputError(f"the tolerance must lie between 0 and 1. Received: {self.tolerance:g}")
        if not (math.isfinite(self.frames_per_second) and self.frames_per_second > 0):
            raise InputError(f"the frame rate must be positive. Received: {self.frames_per_second:g}")

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        return self.aim.value if self.aim is Aim.F1 else f"{self.aim.value}={self.value:g}"


def parse_goal(text: str, *, tolerance: float = 0.05, frames_per_second: float = 25.0) -> Goal:
    """Reads `f1`, `sensitivity=0.9`, `specificity=0.95` or `fp-per-minute=1`.

    Raises:
        InputError: it is none of these.
    """
    name, _, value = text.partition("=")
    try:
        aim = Aim(name.strip())
        if (aim is Aim.F1) == bool(value):
            raise ValueError
        share = float(value) if value else QUIET_SHARE
    except ValueError as error:
        known = "f1, sensitivity=0.9, specificity=0.95 or fp-per-minute=1"
        raise InputError(f"target must be like {known}. Received: {text!r}") from error
    return Goal(aim, share, tolerance=tolerance, frames_per_second=frames_per_second)


@dataclass(frozen=True, slots=True)
class Expected:
    """A figure on the frames that the threshold was chosen on, with its 95 % interval over groups of frames."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and what is to be expected of it.

    Attributes:
        threshold: score from which a detection is shown, 0 to 1.
        goal: that it was chosen for.
        expected: `sensitivity`, `precision`, `f1` (by the centroid rule), `specificity` (share of the frames without
            polyp that stay quiet), `false_positives_per_frame`; those that can be measured.
        frames: that it was chosen on.
        polyps: in them.
        frames_without_polyp: among them.
        groups: of frames that are no independent evidence of each other.
    """

    threshold: float
    goal: Goal
    expected: dict[str, Expected]
    frames: int
    polyps: int
    frames_without_polyp: int
    groups: int

    def as_record(self) -> dict[str, Any]:
        """In types that JSON knows."""
        return {
            "target": self.goal.text,
            "threshold": self.threshold,
            "frames": self.frames,
            "polyps": self.polyps,
            "frames_without_polyp": self.frames_without_polyp,
            "groups": self.groups,
            "expected": {name: rounded(figure.value) for name, figure in self.expected.items()},
            "interval_95": {name: bounds(figure.interval) for name, figure in self.expected.items()},
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """Figures at every threshold that makes a difference.

    Attributes:
        thresholds: rising, float64 (n,), rounded to four decimals.
        sensitivity: share of the polyps that are found; nan without polyps.
        false_positives: false detections a frame.
        f1: by the centroid rule.
        specificity: share of the frames without polyp that stay quiet; nan without such frames.
    """

    thresholds: Float64s
    sensitivity: Float64s
    false_positives: Float64s
    f1: Float64s
    specificity: Float64s

    @classmethod
    def of(cls, outcome: Outcome) -> Sweep:
        """Of an outcome's scores.

        Raises:
            InputError: nothing was detected at all.
        """
        scores = np.concatenate([outcome.polyp_scores, outcome.false_scores]).astype(np.float64)
        thresholds = np.unique(np.round(scores[np.isfinite(scores)], 4))
        if not thresholds.size:
            raise InputError("the model finds nothing on these frames; check that they are of the kind it is made for")
        polyps = len(outcome.polyp_scores)
        quiet = outcome.frame_scores[~outcome.frame_has_polyp]
        found = count_at_least(outcome.polyp_scores, thresholds)
        false = count_at_least(outcome.false_scores, thresholds)
        return cls(
            thresholds,
            found / polyps if polyps else np.full(len(thresholds), np.nan),
            false / max(outcome.judged_frames, 1),
            2 * found / np.maximum(found + false + polyps, 1),
            1 - count_at_least(quiet, thresholds) / len(quiet) if len(quiet) else np.full(len(thresholds), np.nan),
        )


def choose_operating_point(result: StillsResult, goal: Goal) -> OperatingPoint:
    """The threshold that serves a goal, and what is to be expected of it.

    Args:
        result: of held-out frames, with the scores that will be compared with the threshold.
        goal: what is wanted.

    Raises:
        InputError: too few polyps or frames to know the goal's figure well enough, or no threshold reaches it.
    """
    return describe_threshold(result, goal, choose_threshold(result.outcome, goal))


def choose_threshold(outcome: Outcome, goal: Goal) -> float:
    """Likewise, of an outcome alone: only the threshold."""
    _require_enough(outcome, goal)
    sweep = Sweep.of(outcome)
    return float(sweep.thresholds[_CHOICES[goal.aim](sweep, goal)])


def equal_thresholds(outcome: Outcome, goal: Goal, candidates: Sequence[float]) -> tuple[float, ...]:
    """Thresholds that serve a goal so equally that something else may choose among them, rising.

    Args:
        outcome: of held-out frames.
        goal: what is wanted; for F1 the candidates within 0.01 of the best count as equal, far less than its interval
            is wide; any other goal has one answer.
        candidates: thresholds that may be taken, beside the best one.

    Raises:
        InputError: as with `choose_operating_point`.
    """
    best = choose_threshold(outcome, goal)
    if goal.aim is not Aim.F1:
        return (best,)
    least = outcome.counts(best).f_score() - _EQUAL_F1
    equal = [one for one in candidates if not outcome.quiet_share(one) < goal.value]
    return tuple(sorted({best, *(one for one in equal if outcome.counts(one).f_score() >= least)}))


def describe_threshold(result: StillsResult, goal: Goal, threshold: float) -> OperatingPoint:
    """The operating point at a threshold that was chosen."""
    outcome = result.outcome
    return OperatingPoint(
        threshold=threshold,
        goal=goal,
        expected=expected_at(result, threshold),
        frames=result.frames,
        polyps=len(outcome.polyp_scores),
        frames_without_polyp=int((~outcome.frame_has_polyp).sum()),
        groups=len({still.group for still in result.judged}),
    )


def expected_at(result: StillsResult, threshold: float) -> dict[str, Expected]:
    """Figures at a threshold with their intervals; those that there is something to measure on."""
    rows = np.array([_counts(still, threshold) for still in result.judged], np.float64)
    bootstrap = GroupBootstrap([still.group for still in result.judged])
    found = {}
    for name, figure in _FIGURES.items():
        value = float(figure(rows.sum(0)[None])[0])
        if math.isfinite(value):
            found[name] = Expected(value, bootstrap.of_sums(rows, figure))
    return found


def _counts(still: JudgedStill, threshold: float) -> tuple[int, int, int, int, int, int]:
    """Found, false, polyps, quiet without polyp, without polyp, frames in which something can be false."""
    owners = still.match.owners(Rule.CENTROID)[still.match.scores >= threshold]
    return (
        len(set(owners[owners >= 0].tolist())),
        int((owners == FALSE).sum()),
        len(still.match.polyp_areas),
        int(not still.match.has_polyp and not len(owners)),
        int(not still.match.has_polyp),
        int(still.match.place_known),
    )


_FIGURES: dict[str, Callable[[Float64s], Float64s]] = {
    "sensitivity": lambda sums: ratios(sums[:, 0], sums[:, 2]),
    "precision": lambda sums: ratios(sums[:, 0], (sums[:, 0] + sums[:, 1]) * (sums[:, 2] > 0)),
    "f1": lambda sums: ratios(2 * sums[:, 0], (sums[:, 0] + sums[:, 1] + sums[:, 2]) * (sums[:, 2] > 0)),
    "specificity": lambda sums: ratios(sums[:, 3], sums[:, 4]),
    "false_positives_per_frame": lambda sums: ratios(sums[:, 1], sums[:, 5]),
}


def _require_enough(outcome: Outcome, goal: Goal) -> None:
    polyps, frames = len(outcome.polyp_scores), outcome.judged_frames
    negatives = int((~outcome.frame_has_polyp).sum())
    # The interval of a share p of n is about p +- 1.96 sqrt(p (1 - p) / n).
    needed = math.ceil(_DEVIATES**2 * goal.value * (1 - goal.value) / goal.tolerance**2)
    within = f"to know {goal.text} within {goal.tolerance:g}"
    if goal.aim is Aim.F1 and not (polyps and (negatives or not goal.value)):
        raise InputError("target f1 needs frames with and frames without polyps; add the missing ones")
    if goal.aim is Aim.SENSITIVITY and polyps < needed:
        raise InputError(f"{within} takes {needed} polyps, the frames show {polyps}; add frames or widen --tolerance")
    if goal.aim is Aim.SPECIFICITY and negatives < needed:
        raise InputError(
            f"{within} takes {needed} frames without polyp, there are {negatives}; add some or widen --tolerance"
        )
    if goal.aim is Aim.FP_PER_MINUTE:
        needed = math.ceil(_RULE_OF_THREE * 60 * goal.frames_per_second / goal.value)
        if frames < needed:
            raise InputError(
                f"to tell {goal.text} at {goal.frames_per_second:g} frames/s takes {needed} frames, there are "
                f"{frames}; add frames or clips, or allow more false detections"
            )


def _best_f1(sweep: Sweep, goal: Goal) -> int:
    quiet = np.flatnonzero(~(sweep.specificity < goal.value))  # all of them where there are no such frames
    if not quiet.size:
        best = int(sweep.specificity.argmax())
        raise InputError(
            f"no threshold leaves {goal.value:.0%} of the frames without polyp quiet; best: "
            f"{sweep.specificity[best]:.1%} at {sweep.thresholds[best]:g}"
        )
    return int(quiet[sweep.f1[quiet].argmax()])


def _highest_with_sensitivity(sweep: Sweep, goal: Goal) -> int:
    enough = np.flatnonzero(sweep.sensitivity >= goal.value)
    if not enough.size:
        raise InputError(
            f"target {goal.text} is out of reach: the best is {sweep.sensitivity[0]:.3f}, with "
            f"{sweep.false_positives[0]:.2f} false detections a frame"
        )
    return int(enough[-1])


def _lowest_with_specificity(sweep: Sweep, goal: Goal) -> int:
    # Specificity rises with the threshold; above the last threshold that finds a polyp nothing is left to choose.
    quiet = np.flatnonzero((sweep.specificity >= goal.value) & ~(sweep.sensitivity == 0))
    if not quiet.size:
        best = float(sweep.specificity[~(sweep.sensitivity == 0)].max(initial=0.0))
        raise InputError(f"target {goal.text} is out of reach while any polyp is found: the best is {best:.3f}")
    return int(quiet[0])


def _lowest_with_rate(sweep: Sweep, goal: Goal) -> int:
    rate = sweep.false_positives * 60 * goal.frames_per_second
    few = np.flatnonzero((rate <= goal.value) & ~(sweep.sensitivity == 0))
    if not few.size:
        best = float(rate[~(sweep.sensitivity == 0)].min(initial=math.inf))
        raise InputError(f"target {goal.text} is out of reach while any polyp is found: the best is {best:.3g}")
    return int(few[0])


_CHOICES: dict[Aim, Callable[[Sweep, Goal], int]] = {
    Aim.F1: _best_f1,
    Aim.SENSITIVITY: _highest_with_sensitivity,
    Aim.SPECIFICITY: _lowest_with_specificity,
    Aim.FP_PER_MINUTE: _lowest_with_rate,
}
