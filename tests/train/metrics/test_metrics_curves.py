from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.metrics.curves import Confusion, auc, froc_curve, precision_recall_curve, roc_curve, sensitivity_at
from train.metrics.matching import Outcome


def _outcome() -> Outcome:
    """Four frames; three polyps, of which one is never found; two false detections."""
    return Outcome(
        polyp_scores=np.array([0.9, 0.6, -np.inf], np.float32),
        false_scores=np.array([0.8, 0.3], np.float32),
        frame_scores=np.array([0.9, 0.6, 0.8, -np.inf], np.float32),
        frame_has_polyp=np.array([True, True, True, False]),
    )


def test_froc_by_hand() -> None:
    curve = froc_curve(_outcome())
    assert curve.thresholds == pytest.approx([0.9, 0.8, 0.6, 0.3])
    assert curve.x == pytest.approx([0, 1 / 4, 1 / 4, 2 / 4])
    assert curve.y == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert sensitivity_at(curve, 0.1) == pytest.approx(1 / 3)
    assert sensitivity_at(curve, 0.25) == pytest.approx(2 / 3)


def test_precision_against_recall_by_hand() -> None:
    curve = precision_recall_curve(_outcome())
    assert curve.x == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert curve.y == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])


def test_curves_without_any_detection_are_empty() -> None:
    none = np.zeros(0, np.float32)
    nothing = Outcome(none, none, none, np.zeros(0, np.bool_))
    assert len(froc_curve(nothing).x) == 0 and sensitivity_at(froc_curve(nothing), 1.0) == 0.0


def test_a_thinned_curve_keeps_its_ends() -> None:
    scores = np.linspace(0.01, 0.99, 1000).astype(np.float32)
    whole = froc_curve(Outcome(scores, scores[::-1].copy(), scores, np.ones(1000, np.bool_)))
    thin = whole.thinned(50)
    assert len(thin.x) == 50
    assert (thin.x[0], thin.x[-1], thin.y[-1]) == (whole.x[0], whole.x[-1], whole.y[-1])


def test_auc_by_hand() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.1, -np.inf], np.float32)
    positive = np.array([True, True, False, False, True])
    # Pairs: 0.9 beats both; 0.5 ties and beats; -inf loses both.
    assert auc(scores, positive) == pytest.approx((2 + 1.5 + 0) / 6)
    assert math.isnan(auc(scores, np.ones(5, np.bool_)))


_frames = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans(), st.integers(0, 3)), min_size=1, max_size=20
)


@given(_frames)
def test_a_weight_counts_like_a_repetition_and_auc_is_the_area_of_the_roc(
    rows: list[tuple[float, bool, int]],
) -> None:
    scores = np.array([row[0] for row in rows], np.float32)
    positive = np.array([row[1] for row in rows], np.bool_)
    weights = np.array([row[2] for row in rows], np.int64)
    repeated = auc(np.repeat(scores, weights), np.repeat(positive, weights))
    assert auc(scores, positive, weights) == pytest.approx(repeated, nan_ok=True)
    if positive.any() and not positive.all():
        curve = roc_curve(scores, positive)
        area = float(((curve.x[1:] - curve.x[:-1]) * (curve.y[1:] + curve.y[:-1]) / 2).sum())
        assert auc(scores, positive) == pytest.approx(area)


def test_confusion_by_hand() -> None:
    scores = np.array([0.9, 0.4, 0.6, 0.1], np.float32)
    confusion = Confusion.at(0.5, scores, np.array([True, True, False, False]))
    assert confusion == Confusion(true_positives=1, false_positives=1, true_negatives=1, false_negatives=1)
    assert (confusion.accuracy, confusion.sensitivity, confusion.specificity) == (0.5, 0.5, 0.5)
    assert math.isnan(Confusion.at(0.5, scores[:2], np.array([True, True])).specificity)
