"""Scores that mean probabilities: a calibration fitted on judged detections, and how far it is off.

The probability of a detection is the chance that it is right by the centroid rule (its centre lies in a polyp). Two
methods are known: temperature scaling (Guo et al. 2017), one number, and isotonic regression (Zadrozny and Elkan 2002)
by pooling adjacent violators. Which of them carries over to new groups of frames is found out by cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.arrays import Float64s
from engine.errors import InputError
from engine.score_calibration import ScoreCalibration
from train.judging.stills import StillsResult
from train.metrics.matching import Ranking, Rule, outcome_of

#: Detections that are pooled at least, so that no point of the calibration hangs on a handful of them.
_POOL = 20
_FOLDS = 5
#: Right and false detections that a calibration needs at least, each.
LEAST_OF_EACH = 50
#: Logits at which the curve of a temperature is drawn as a line.
_TEMPERATURE_LOGITS = np.linspace(-6, 6, 49)
_BINS = 15


class CalibrationMethod(str, Enum):
    """How scores become probabilities; NONE leaves them as they are."""

    NONE = "none"
    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"


@dataclass(frozen=True, slots=True)
class JudgedScores:
    """All detections of some frames.

    Attributes:
        scores: float64 (n,), of the network, 0 to 1.
        right: bool (n,), by the centroid rule.
        groups: str (n,), group of the frame of each.
    """

    scores: Float64s
    right: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.str_]

    @classmethod
    def of(cls, result: StillsResult) -> JudgedScores:
        """The detections of an evaluation; those that nobody can judge are left out."""
        stills = [still for still in result.judged if still.match.place_known]
        counts = [len(still.match.scores) for still in stills]
        nothing: list[npt.NDArray[np.float32]] = [np.zeros(0, np.float32)]
        right = [still.match.owners(Rule.CENTROID) >= 0 for still in stills]
        return cls(
            np.concatenate([*nothing, *(still.match.scores for still in stills)]).astype(np.float64),
            np.concatenate([np.zeros(0, np.bool_), *right]),
            np.repeat(np.array([still.group for still in stills], np.str_), counts),
        )

    def where(self, chosen: npt.NDArray[np.bool_]) -> JudgedScores:
        """Some of the detections; bool (n,)."""
        return JudgedScores(self.scores[chosen], self.right[chosen], self.groups[chosen])


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Detections of about the same probability: what was said of them, and what is true."""

    count: int
    probability: float
    right_share: float


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """What a method was worth on groups that it was not fitted on.

    Attributes:
        log_loss: mean negative log-likelihood, natural logarithm; smaller is better.
        brier: mean squared error; smaller is better.
        error: expected calibration error, bins of equal mass.
    """

    log_loss: float
    brier: float
    error: float


@dataclass(frozen=True, slots=True)
class FittedCalibration:
    """A calibration, and why it was taken.

    Attributes:
        method: the one with the smallest log loss on groups that it was not fitted on, or the one asked for.
        calibration: fitted by it on all detections.
        compared: figures of each method by cross-validation over groups.
    """

    method: CalibrationMethod
    calibration: ScoreCalibration
    compared: dict[str, MethodFigures]


def fit_temperature(judged: JudgedScores) -> ScoreCalibration:
    """Logits divided by the one number under which the detections are likeliest, as a line through 51 points."""
    logits = _logits(judged.scores)
    sign = np.where(judged.right, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -sign * logits / np.exp(log_temperature)).mean())

    # The loss has one valley in the temperature: a golden section closes in on it.
    low, high, ratio = np.log(0.05), np.log(20.0), (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    temperature = float(np.exp((low + high) / 2))
    return _line(_sigmoid(_TEMPERATURE_LOGITS), _sigmoid(_TEMPERATURE_LOGITS / temperature))


def fit_isotonic(judged: JudgedScores) -> ScoreCalibration:
    """The rising steps that are nearest to the detections (least squares), joined by straight lines."""
    order = np.argsort(judged.scores, kind="stable")
    scores, right = judged.scores[order], judged.right[order].astype(np.float64)
    starts = np.arange(0, max(len(scores) - _POOL + 1, 1), _POOL)
    # Half a right detection below all and half a wrong one above: no number of detections proves certainty.
    weights = np.concatenate([[0.5], np.add.reduceat(np.ones(len(scores)), starts), [0.5]])
    sums = np.concatenate([[0.5], np.add.reduceat(right, starts), [0.0]])
    moments = np.concatenate([[0.5 * scores[0]], np.add.reduceat(scores, starts), [0.5 * scores[-1]]])
    pools: list[Float64s] = []
    for pool in np.stack([weights, sums, moments], axis=1):
        while pools and pools[-1][1] * pool[0] >= pool[1] * pools[-1][0]:
            pool = pool + pools.pop()
        pools.append(pool)
    table = np.array(pools)
    return _line(table[:, 2] / table[:, 0], table[:, 1] / table[:, 0])


FIT: dict[CalibrationMethod, Callable[[JudgedScores], ScoreCalibration]] = {
    CalibrationMethod.NONE: lambda judged: ScoreCalibration(),
    CalibrationMethod.TEMPERATURE: fit_temperature,
    CalibrationMethod.ISOTONIC: fit_isotonic,
}


def fit_calibration(judged: JudgedScores, *, method: CalibrationMethod | None = None) -> FittedCalibration:
    """Fits the method that does better on new groups, or the one asked for.

    Args:
        judged: detections with scores of the network, from frames that it was not trained on.
        method: None to choose by the log loss in five-fold cross-validation over groups; NONE to leave scores as they
            are, which needs no number of detections.

    Raises:
        InputError: there are too few right or too few false detections, or all are of one group.
    """
    if method is CalibrationMethod.NONE:
        return FittedCalibration(method, ScoreCalibration(), {})
    for kind, number in (("right", int(judged.right.sum())), ("false", int((~judged.right).sum()))):
        if number < LEAST_OF_EACH:
            raise InputError(
                f"calibrating needs {LEAST_OF_EACH} {kind} detections at least; the frames give {number}; add frames"
            )
    if len(np.unique(judged.groups)) < 2:
        raise InputError("calibrating needs frames of 2 sequences or patients at least; all are of one; add frames")
    compared = {one.value: _figures(_on_new_groups(judged, FIT[one]), judged.right) for one in CalibrationMethod}
    method = method or min(CalibrationMethod, key=lambda one: compared[one.value].log_loss)
    return FittedCalibration(method, FIT[method](judged), compared)


def reliability_bins(
    probabilities: Float64s, right: npt.NDArray[np.bool_], *, equal_mass: bool, bins: int = _BINS
) -> list[ReliabilityBin]:
    """Detections in bins of equal width, or with equally many in each; empty bins are left out.

    Args:
        probabilities: float (n,), 0 to 1.
        right: bool (n,).
        equal_mass: whether the bins hold equally many, not equal ranges of probability.
        bins: how many.
    """
    order = np.argsort(probabilities, kind="stable")
    values, hits = probabilities[order], right[order]
    if equal_mass:
        edges = np.linspace(0, len(values), bins + 1).round().astype(np.int64)
    else:
        edges = np.searchsorted(values, np.linspace(0, 1, bins + 1), side="left")
        edges[-1] = len(values)
    return [
        ReliabilityBin(int(end - start), float(values[start:end].mean()), float(hits[start:end].mean()))
        for start, end in pairwise(edges)
        if end > start
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error (Naeini et al. 2015): mean distance of what is said from what is true; nan if none."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.probability - one.right_share) for one in bins) / total if total else float("nan")


def calibrated(result: StillsResult, calibration: ScoreCalibration) -> StillsResult:
    """An evaluation by the network's scores as it had been with calibrated ones."""
    judged = tuple(
        replace(still, match=replace(still.match, scores=calibration(still.match.scores))) for still in result.judged
    )
    matches = [still.match for still in judged]
    ap50 = Ranking.of(matches, least_iou=0.5).average_precision()
    return StillsResult(judged, outcome_of(matches, Rule.CENTROID), ap50)


def _on_new_groups(judged: JudgedScores, fit: Callable[[JudgedScores], ScoreCalibration]) -> Float64s:
    """Probability of each detection by a calibration that was fitted without its group."""
    names, index = np.unique(judged.groups, return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(names))[index] % _FOLDS
    probabilities = np.empty_like(judged.scores)
    for number in range(_FOLDS):
        held_out = fold == number
        if held_out.any():
            probabilities[held_out] = fit(judged.where(~held_out))(judged.scores[held_out])
    return probabilities


def _figures(probabilities: Float64s, right: npt.NDArray[np.bool_]) -> MethodFigures:
    likely = np.clip(np.where(right, probabilities, 1 - probabilities), 1e-6, 1)
    return MethodFigures(
        log_loss=float(-np.log(likely).mean()),
        brier=float(((probabilities - right) ** 2).mean()),
        error=calibration_error(reliability_bins(probabilities, right, equal_mass=True)),
    )


def _line(scores: Float64s, probabilities: Float64s) -> ScoreCalibration:
    """A calibration through points that rise, rounded for the bundle's record, with both ends added."""
    points = [(0.0, 0.0)]
    for score, probability in zip(np.round(scores, 6).tolist(), np.round(probabilities, 6).tolist(), strict=True):
        if points[-1][0] < score < 1 and points[-1][1] < probability < 1:
            points.append((score, probability))
    points.append((1.0, 1.0))
    return ScoreCalibration(tuple(score for score, _ in points), tuple(probability for _, probability in points))


def _logits(scores: Float64s) -> Float64s:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)


def _sigmoid(logits: Float64s) -> Float64s:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float64)
