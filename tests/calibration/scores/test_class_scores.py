"""Scores become probabilities, and a threshold is found, where the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from calibration.scores.class_scores import best_threshold, fit_class_calibration


@pytest.mark.parametrize("classes", [2, 4])
def test_temperature_and_shifts_are_found_again(classes: int) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, classes))
    truth = np.linspace(-0.7, 0.7, classes)
    chances = np.exp((logits + truth) / 2.5)
    chances /= chances.sum(1, keepdims=True)
    labels = (chances.cumsum(1) < rng.random((20_000, 1))).sum(1)
    found = fit_class_calibration(logits.astype(np.float32), labels)
    assert found.temperature == pytest.approx(2.5, rel=0.05)
    np.testing.assert_allclose(found.shifts, truth, atol=0.15)
    np.testing.assert_allclose(found.probabilities(logits), chances, atol=0.03)


def test_no_likelihood_is_higher() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 300)
    logits = 3 * np.eye(3)[labels] + rng.normal(0, 3, (300, 3)) + (1, 0, -1)
    found = fit_class_calibration(logits, labels)

    def loss(temperature: float, shifts: np.ndarray) -> float:
        scores = (logits + shifts) / temperature
        return float((np.log(np.exp(scores).sum(1)) - scores[range(300), labels]).mean())

    best = loss(found.temperature, found.shifts)
    for step in (-0.3, 0.3):
        assert best < loss(found.temperature * (1 + step), found.shifts)
        for number in range(3):
            assert best < loss(found.temperature, found.shifts + step * np.eye(3)[number])


def test_classes_that_are_told_apart_without_a_fault_stay_finite() -> None:
    labels = np.array([0] * 10 + [1] * 10)
    found = fit_class_calibration(20 * (np.eye(2)[labels] - 0.5), labels)
    assert 0.05 < found.temperature < 50 and np.isfinite(found.shifts).all()
    # The wrong way round: a temperature stays positive, and says that nothing is known.
    wrong = fit_class_calibration(-20 * (np.eye(2)[labels] - 0.5), labels)
    assert wrong.temperature > 1


@pytest.mark.parametrize(
    ("scores", "positive", "low", "high"),
    [
        ([0.1, 0.2, 0.6, 0.9], [False, False, True, True], 0.2, 0.6),
        ([0.1, 0.5, 0.4, 0.9], [False, False, True, True], 0.1, 0.9),  # one fault, wherever it is cut
        ([0.3, 0.3, 0.3, 0.3], [False, True, False, True], 0.0, 1.0),
    ],
)
def test_threshold(scores: list[float], positive: list[bool], low: float, high: float) -> None:
    found = best_threshold(np.array(scores), np.array(positive))
    assert low <= found <= high
    said = np.array(scores) >= found
    best = max(
        np.mean(np.array(scores)[positive] >= cut) + np.mean(np.array(scores)[~np.array(positive)] < cut)
        for cut in np.linspace(0, 1, 201)
    )
    assert said[positive].mean() + (~said[~np.array(positive)]).mean() == pytest.approx(best)
