"""From the logits of a network to the scores that its bundle means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.bundle import ModelBundle


def scores_of(bundle: ModelBundle, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Scores of each position of the window grid, or probabilities of each class, 0 to 1.

    Args:
        bundle: whose temperature divides the logits.
        logits: (batch, positions) with a window grid, else (batch, classes).
    """
    scaled = logits.astype(np.float64) / bundle.temperature
    return np.asarray(1 / (1 + np.exp(-scaled)) if bundle.grid is not None else softmax(scaled))


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities, each row of which sums to 1, of logits (batch, classes)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
