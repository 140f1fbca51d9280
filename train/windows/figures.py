"""Figures of window classifiers: accuracy, balanced accuracy, AUC, confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.statistics.ratios import confusion_matrix
from train.metrics.curves import auc


def window_figures(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Figures of classified windows.

    Args:
        probabilities: float32 (windows, classes).
        labels: (windows,), index of the true class.
        classes: names.

    Returns:
        `accuracy`; `balanced_accuracy` (mean of the classes' sensitivities, so that the share of the classes does not
        matter); `majority_share` (the accuracy of always naming the largest class); `auc` (two classes only: that a
        window of the first class scores above one of the second; ties count one half); `confusion`, rows the truth.
    """
    named = probabilities.argmax(1)
    count = len(classes)
    confusion = confusion_matrix(labels, named, count)
    present = confusion.sum(1) > 0
    figures: dict[str, Any] = {
        "accuracy": float((named == labels).mean()),
        "balanced_accuracy": float((confusion.diagonal()[present] / confusion.sum(1)[present]).mean()),
        "majority_share": float(confusion.sum(1).max() / confusion.sum()),
        "confusion": confusion.tolist(),
    }
    if count == 2:
        figures["auc"] = auc(probabilities[:, 0], labels == 0)
    return figures
