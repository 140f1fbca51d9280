from __future__ import annotations

import math

import numpy as np
import pytest

from engine.statistics.ratios import confusion_matrix, count_at_least, ratio, ratios, rounded


@pytest.mark.parametrize(("part", "whole", "expected"), [(1, 4, 0.25), (0, 3, 0.0), (0, 0, None), (2, 0, None)])
def test_ratio(part: int, whole: int, expected: float | None) -> None:
    assert rounded(ratio(part, whole)) == expected
    [one] = ratios(np.array([part], np.float64), np.array([whole], np.float64))
    assert rounded(float(one)) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.123456, 0.1235), (1, 1.0), (math.nan, None), (math.inf, None), (-math.inf, None)]
)
def test_rounded(value: float, expected: float | None) -> None:
    assert rounded(value) == expected


@pytest.mark.parametrize(
    ("scores", "thresholds", "expected"),
    [
        ([0.1, 0.5, 0.5, 0.9], [0.0, 0.5, 0.6, 1.0], [4, 3, 1, 0]),
        ([], [0.5], [0]),
        ([0.5], [], []),
        ([-math.inf, 0.5], [0.0], [1]),  # a polyp that was never found
    ],
)
def test_scores_at_each_threshold(scores: list[float], thresholds: list[float], expected: list[int]) -> None:
    assert count_at_least(np.array(scores), np.array(thresholds)).tolist() == expected


@pytest.mark.parametrize(
    ("labels", "named", "expected"),
    [
        ([0, 0, 1, 2, 2], [0, 1, 1, 2, 0], [[1, 1, 0], [0, 1, 0], [1, 0, 1]]),
        ([], [], [[0, 0, 0]] * 3),
    ],
)
def test_confusion_matrix(labels: list[int], named: list[int], expected: list[list[int]]) -> None:
    assert confusion_matrix(np.array(labels, np.int64), np.array(named, np.int64), 3).tolist() == expected
