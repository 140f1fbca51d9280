"""Curves over all thresholds: sensitivity against false positives, precision against recall, ROC of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s, Float64s, Int64s
from engine.statistics.ratios import count_at_least, ratio
from train.metrics.matching import Outcome

#: False positives a frame at which the FROC curve is read off.
FROC_POINTS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve with their thresholds, which fall from the first point to the last.

    Attributes:
        thresholds: float64 (n,).
        x: float64 (n,).
        y: float64 (n,).
    """

    thresholds: Float64s
    x: Float64s
    y: Float64s

    def thinned(self, most: int = 200) -> Curve:
        """At most so many points, evenly over the curve, both ends kept."""
        if len(self.x) <= most:
            return self
        kept = np.unique(np.linspace(0, len(self.x) - 1, most).round().astype(np.int64))
        return Curve(self.thresholds[kept], self.x[kept], self.y[kept])


def froc_curve(outcome: Outcome) -> Curve:
    """Sensitivity (y, share of polyps found) against false detections a frame (x) (Chakraborty 1989)."""
    thresholds, found, false = _counts(outcome)
    frames, polyps = max(outcome.judged_frames, 1), max(len(outcome.polyp_scores), 1)
    return Curve(thresholds, false / frames, found / polyps)


def precision_recall_curve(outcome: Outcome) -> Curve:
    """Precision (y) against recall (x)."""
    thresholds, found, false = _counts(outcome)
    return Curve(thresholds, found / max(len(outcome.polyp_scores), 1), found / np.maximum(found + false, 1))


def sensitivity_at(curve: Curve, false_positives: float) -> float:
    """Highest sensitivity of a FROC curve at no more than so many false detections a frame."""
    return float(curve.y[curve.x <= false_positives].max(initial=0.0))


def roc_curve(scores: Float32s, positive: npt.NDArray[np.bool_]) -> Curve:
    """Sensitivity (y) against 1 - specificity (x) of frames or windows, from (0, 0) to (1, 1)."""
    thresholds = np.unique(scores)[::-1]
    hits = count_at_least(scores[positive], thresholds) / max(int(positive.sum()), 1)
    alarms = count_at_least(scores[~positive], thresholds) / max(int((~positive).sum()), 1)
    start = np.zeros(1)
    return Curve(np.append(np.inf, thresholds), np.append(start, alarms), np.append(start, hits))


def auc(scores: Float32s, positive: npt.NDArray[np.bool_], weights: Int64s | None = None) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting one half.

    Args:
        scores: (n,), of frames or windows; -inf is allowed.
        positive: bool (n,).
        weights: how often each counts, int64 (n,); each once when None.

    Returns:
        0 to 1; nan when one side is empty.
    """
    counted = np.ones(len(scores)) if weights is None else weights.astype(np.float64)
    _, place = np.unique(scores, return_inverse=True)
    places = int(place.max(initial=-1)) + 1
    on = np.bincount(place[positive], weights=counted[positive], minlength=places)
    off = np.bincount(place[~positive], weights=counted[~positive], minlength=places)
    pairs = float(on.sum() * off.sum())
    return float((on * (np.cumsum(off) - off / 2)).sum() / pairs) if pairs else float("nan")


@dataclass(frozen=True, slots=True)
class Confusion:
    """Frames or windows at one threshold, counted by what they are and what was said of them."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @classmethod
    def at(cls, threshold: float, scores: Float32s, positive: npt.NDArray[np.bool_]) -> Confusion:
        """Counts with `threshold` and above taken for a polyp."""
        said = scores >= threshold
        cells = (said & positive, said & ~positive, ~said & ~positive, ~said & positive)
        return cls(*(int(cell.sum()) for cell in cells))

    @property
    def accuracy(self) -> float:
        """Share that was named rightly; nan without any."""
        right = self.true_positives + self.true_negatives
        return ratio(right, right + self.false_positives + self.false_negatives)

    @property
    def sensitivity(self) -> float:
        """Share of the positives that was named; nan without any."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        """Share of the negatives that was left alone; nan without any."""
        return ratio(self.true_negatives, self.true_negatives + self.false_positives)


def _counts(outcome: Outcome) -> tuple[Float64s, Float64s, Float64s]:
    scores = np.concatenate([outcome.polyp_scores, outcome.false_scores])
    thresholds = np.unique(scores[np.isfinite(scores)])[::-1]
    found = count_at_least(outcome.polyp_scores, thresholds)
    return thresholds.astype(np.float64), found, count_at_least(outcome.false_scores, thresholds)
