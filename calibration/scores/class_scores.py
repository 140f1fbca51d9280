"""Class scores that mean probabilities, fitted on pictures that the network was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.arrays import Float64s, Labels
from engine.scores import softmax

_STEPS = 50
#: Keeps the shifts finite where classes are told apart without a fault.
_RIDGE = 1e-3
_LEAST_SLOPE = 0.02


@dataclass(frozen=True, slots=True)
class ClassCalibration:
    """From logits to probabilities: softmax((logits + shifts) / temperature).

    A temperature alone (Guo et al. 2017) cannot undo that a network was trained with weighted classes; with a shift for
    each class it can (bias-corrected temperature scaling, Alexandari et al. 2020).

    Attributes:
        temperature: divides the logits, positive.
        shifts: of each class, float64 (classes,), added to the logits.
    """

    temperature: float
    shifts: Float64s

    def probabilities(self, logits: npt.NDArray[np.floating]) -> Float64s:
        """Logits (n, classes) to probabilities float64 (n, classes)."""
        return softmax((logits + self.shifts) / self.temperature)


def fit_class_calibration(logits: npt.NDArray[np.floating], labels: Labels) -> ClassCalibration:
    """The calibration with the highest likelihood, by Newton's method (the problem is convex).

    Args:
        logits: (n, classes), of pictures that were not trained on.
        labels: int64 (n,), index of the true class.
    """
    values = logits.astype(np.float64)
    count, classes = values.shape
    truth = np.eye(classes)[labels]
    # Weights of each class's score: one for its logit, and one for each class's own shift.
    features = np.concatenate([values[:, :, None], np.broadcast_to(np.eye(classes), (count, classes, classes))], 2)
    start = np.append(1.0, np.zeros(classes))
    weights = start.copy()
    for _ in range(_STEPS):
        found = softmax(features @ weights)
        gradient = np.einsum("nk,nkf->f", found - truth, features) / count + _RIDGE * (weights - start)
        mean = np.einsum("nk,nkf->nf", found, features)
        curvature = np.einsum("nk,nkf,nkg->fg", found, features, features) - mean.T @ mean
        step = np.linalg.solve(curvature / count + _RIDGE * np.eye(classes + 1), gradient)
        weights -= step / max(1.0, float(np.abs(step).max()))
        weights[0] = max(weights[0], _LEAST_SLOPE)
        if np.abs(step).max() < 1e-9:
            break
    temperature = 1 / weights[0]
    shifts = weights[1:] * temperature
    return ClassCalibration(float(temperature), shifts - shifts.mean())


def best_threshold(scores: Float64s, positive: npt.NDArray[np.bool_]) -> float:
    """The score with the highest mean of sensitivity and specificity (Youden 1950), halfway to the next lower score.

    Args:
        scores: float64 (n,), probability of the positive class.
        positive: bool (n,); both sides are present.
    """
    levels = np.unique(scores)
    cuts = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    said = scores[None] >= cuts[:, None]
    balanced = said[:, positive].mean(1) + (~said[:, ~positive]).mean(1)
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    return float(cuts[best[len(best) // 2]])
