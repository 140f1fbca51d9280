"""Scores that mean probabilities: the map that bundles carry, how it is fitted, and how far off it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.scores.probability import (
    LEAST_OF_EACH,
    CalibrationMethod,
    JudgedScores,
    calibrated,
    calibration_error,
    fit_calibration,
    fit_isotonic,
    fit_temperature,
    reliability_bins,
)
from engine.arrays import Float64s
from engine.errors import InputError
from engine.score_calibration import ScoreCalibration
from train.judging.stills import JudgedStill, StillsResult
from train.metrics.matching import FramePrediction, Ranking, Rule, match_frame, outcome_of, truth_of_mask


def _sigmoid(logits: Float64s) -> Float64s:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float64)


def _judged(count: int, *, temperature: float = 1.0, shift: float = 0.0, seed: int = 0) -> JudgedScores:
    """Detections whose chance to be right is known: the score's logit divided by a temperature, plus a shift."""
    random = np.random.default_rng(seed)
    logits = random.uniform(-4, 4, count)
    right = random.random(count) < _sigmoid(logits / temperature + shift)
    return JudgedScores(_sigmoid(logits), right, np.array([f"g{number // 10}" for number in range(count)]))


def test_temperature_is_found() -> None:
    calibration = fit_temperature(_judged(20_000, temperature=2.5))
    scores = np.array([0.05, 0.3, 0.5, 0.7, 0.95])
    expected = _sigmoid(np.log(scores / (1 - scores)) / 2.5)
    assert calibration(scores) == pytest.approx(expected, abs=0.02)


def test_isotonic_finds_what_no_temperature_can() -> None:
    judged = _judged(20_000, shift=2.0)
    scores = np.array([0.05, 0.2, 0.5, 0.8])
    truth = _sigmoid(np.log(scores / (1 - scores)) + 2.0)
    assert fit_isotonic(judged)(scores) == pytest.approx(truth, abs=0.06)
    assert np.abs(fit_temperature(judged)(scores) - truth).max() > 0.2
    fitted = fit_calibration(judged)
    assert fitted.method is CalibrationMethod.ISOTONIC
    assert fitted.compared["isotonic"].log_loss < fitted.compared["temperature"].log_loss
    assert fitted.compared["isotonic"].error < 0.02 < fitted.compared["none"].error


def test_scores_that_are_right_stay_nearly_as_they_are() -> None:
    judged = _judged(20_000)
    scores = np.linspace(0.05, 0.95, 19)
    for method in CalibrationMethod:
        assert fit_calibration(judged, method=method).calibration(scores) == pytest.approx(scores, abs=0.06)


def test_no_number_of_detections_proves_certainty() -> None:
    scores = np.concatenate([np.full(200, 0.1), np.full(200, 0.9)])
    fitted = fit_isotonic(JudgedScores(scores, scores > 0.5, np.full(400, "g")))
    low, high = fitted(np.array([0.1, 0.9]))
    assert 0 < low < 0.01 and 0.99 < high < 1


@given(st.integers(0, 2**32), st.integers(60, 400), st.sampled_from([fit_temperature, fit_isotonic]))
def test_calibrations_rise_and_can_be_undone(seed: int, count: int, fit: type) -> None:
    random = np.random.default_rng(seed)
    scores = random.beta(0.3, 1.0, count)
    calibration = fit(JudgedScores(scores, random.random(count) < 0.3, np.full(count, "g")))
    places = np.unique(random.random(50))
    probabilities = calibration(places)
    assert (np.diff(probabilities) > 0).all() and probabilities.min() >= 0 and probabilities.max() <= 1
    assert [calibration.score_of(p) for p in probabilities] == pytest.approx(places, abs=1e-5)
    assert ScoreCalibration.of_record(calibration.as_record()) == calibration


def test_map_without_points_changes_nothing() -> None:
    scores = np.array([-np.inf, 0.0, 0.3, 1.0], np.float32)
    assert ScoreCalibration()(scores) is scores and ScoreCalibration().score_of(0.3) == 0.3
    assert ScoreCalibration.of_record(None).is_identity
    bent = ScoreCalibration((0.0, 0.5, 1.0), (0.0, 0.8, 1.0))(scores)
    assert bent.dtype == np.float32 and bent[0] == -np.inf
    assert bent[1:] == pytest.approx([0.0, 0.48, 1.0])


@pytest.mark.parametrize(
    ("scores", "probabilities", "message"),
    [
        ((0.0, 1.0), (0.0, 0.5, 1.0), "as many scores as probabilities"),
        ((0.0,), (0.0,), "must rise from 0 to 1"),
        ((0.0, 0.6, 0.4, 1.0), (0.0, 0.2, 0.4, 1.0), "scores of the calibration must rise"),
        ((0.0, 0.4, 0.6, 1.0), (0.0, 0.4, 0.4, 1.0), "probabilities of the calibration must rise"),
        ((0.1, 1.0), (0.0, 1.0), "must rise from 0 to 1"),
        ((0.0, 0.5, 1.0), (0.0, float("nan"), 1.0), "must rise from 0 to 1"),
    ],
)
def test_what_is_no_map(scores: tuple[float, ...], probabilities: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScoreCalibration(scores, probabilities)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([0.1, 0.1, 0.9, 0.9])
    right = np.array([False, True, True, True])
    bins = reliability_bins(probabilities, right, equal_mass=False, bins=2)
    assert [(one.count, one.right_share) for one in bins] == [(2, 0.5), (2, 1.0)]
    assert calibration_error(bins) == pytest.approx((2 * 0.4 + 2 * 0.1) / 4)
    by_mass = reliability_bins(np.array([0.0, 0.5, 1.0, 1.0]), right, equal_mass=True, bins=4)
    assert [one.count for one in by_mass] == [1, 1, 1, 1]
    assert reliability_bins(np.array([1.0]), np.array([True]), equal_mass=False)[0].count == 1
    assert np.isnan(calibration_error([]))


@pytest.mark.parametrize(("right", "message"), [(True, "50 false detections"), (False, "50 right detections")])
def test_too_few_detections(right: bool, message: str) -> None:
    few = JudgedScores(np.linspace(0.1, 0.9, 80), np.full(80, right), np.full(80, "g"))
    with pytest.raises(InputError, match=f"{message} at least; the frames give 0"):
        fit_calibration(few)
    assert LEAST_OF_EACH == 50
    assert fit_calibration(few, method=CalibrationMethod.NONE).calibration.is_identity


def test_detections_of_one_group_tell_nothing_of_others() -> None:
    right = np.arange(120) % 2 == 0
    with pytest.raises(InputError, match="frames of 2 sequences or patients at least; all are of one"):
        fit_calibration(JudgedScores(np.linspace(0.1, 0.9, 120), right, np.full(120, "g")))


def test_an_evaluation_with_calibrated_scores() -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[10:50, 10:50] = 255
    boxes = np.array([(10, 10, 50, 50), (12, 12, 48, 48), (70, 60, 100, 90)], np.float32)
    match = match_frame(truth_of_mask(mask), FramePrediction(boxes, np.array([0.5, 0.4, 0.2], np.float32)))
    still = JudgedStill("a", Path("a.png"), "set/group", 96 * 128, match)
    result = StillsResult(
        (still,), outcome_of([match], Rule.CENTROID), Ranking.of([match], least_iou=0.5).average_precision()
    )
    judged = JudgedScores.of(result)
    assert judged.right.tolist() == [True, True, False] and set(judged.groups) == {"set/group"}
    after = calibrated(result, ScoreCalibration((0.0, 0.5, 1.0), (0.0, 0.9, 1.0)))
    assert after.outcome.polyp_scores == pytest.approx([0.9]) and after.outcome.false_scores == pytest.approx([0.36])
    assert after.ap50 == result.ap50
