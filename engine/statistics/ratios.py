"""Shares and counts that figures are made of: nan where there is nothing to count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.arrays import Float64s, Int64s


def ratio(part: float, whole: float) -> float:
    """Share of a part in a whole; nan where the whole is nothing."""
    return part / whole if whole else float("nan")


def ratios(part: Float64s, whole: Float64s) -> Float64s:
    """Shares of parts in wholes, float64 (n,), one by one; nan where the whole is nothing."""
    shares = np.full(len(part), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def rounded(value: float) -> float | None:
    """A figure for JSON: four decimals, None for what is no number."""
    return round(float(value), 4) if math.isfinite(value) else None


def count_at_least(scores: npt.NDArray[np.floating[Any]], thresholds: npt.NDArray[np.floating[Any]]) -> Float64s:
    """How many scores reach each threshold, float64 (thresholds,)."""
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")).astype(np.float64)


def confusion_matrix(labels: Int64s, named: Int64s, classes: int) -> Int64s:
    """How often each class was named as each other.

    Args:
        labels: true classes, (n,), from 0.
        named: classes that were named, (n,).
        classes: how many there are.

    Returns:
        int64 (classes, classes): rows the truth, columns what was named.
    """
    return np.bincount(labels * classes + named, minlength=classes * classes).reshape(classes, classes)
