"""The threshold: what it is chosen for, what is expected of it, and when it cannot be chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.decisions.calibrating import CalibrationPlan, _possible
from calibration.decisions.operating_point import (
    Aim,
    Goal,
    Sweep,
    choose_operating_point,
    choose_threshold,
    equal_thresholds,
    expected_at,
    parse_goal,
)
from calibration.scores.probability import JudgedScores
from engine.errors import InputError
from train.judging.stills import JudgedStill, StillsResult
from train.metrics.matching import FramePrediction, Outcome, Rule, match_frame, outcome_of, truth_of_mask

_POLYP, _ELSEWHERE = (10, 10, 50, 50), (70, 60, 100, 90)


def _outcome() -> Outcome:
    return Outcome(
        polyp_scores=np.array([0.9, 0.8, 0.3, 0.2], np.float32),
        false_scores=np.array([0.25, 0.6], np.float32),
        frame_scores=np.array([0.9, 0.8, 0.3, 0.2, 0.25, 0.6, -np.inf, -np.inf], np.float32),
        frame_has_polyp=np.array([True] * 4 + [False] * 4),
    )


def _result(polyps: int, negatives: int, *, seed: int = 0) -> StillsResult:
    """Polyps found at scores that are spread evenly over 0..1, false detections over 0..0.5."""
    random = np.random.default_rng(seed)
    mask = np.zeros((96, 128), np.uint8)
    mask[10:50, 10:50] = 255
    stills = []
    for number in range(polyps + negatives):
        polyp = number < polyps
        box, score = (_POLYP, random.random()) if polyp else (_ELSEWHERE, random.random() / 2)
        truth = truth_of_mask(mask if polyp else np.zeros_like(mask))
        prediction = FramePrediction(np.array([box], np.float32), np.array([score], np.float32))
        match = match_frame(truth, prediction)
        stills.append(JudgedStill(str(number), Path("a.png"), f"g{number % 20}", 96 * 128, match))
    return StillsResult(tuple(stills), outcome_of([still.match for still in stills], Rule.CENTROID), 0.0)


def test_frames_whose_polyps_nobody_outlined_change_no_figure() -> None:
    result = _result(40, 40)
    box = FramePrediction(np.array([_ELSEWHERE], np.float32), np.array([0.9], np.float32))
    unknown = match_frame(replace(truth_of_mask(np.zeros((96, 128), np.uint8)), place_known=False), box)
    more = [JudgedStill(f"u{number}", Path("a.png"), "u", 96 * 128, unknown) for number in range(40)]
    judged = (*result.judged, *more)
    both = StillsResult(judged, outcome_of([still.match for still in judged], Rule.CENTROID), 0.0)
    assert {name: one.value for name, one in expected_at(both, 0.3).items()} == {
        name: one.value for name, one in expected_at(result, 0.3).items()
    }
    before, after = Sweep.of(result.outcome), Sweep.of(both.outcome)
    assert all((getattr(before, name) == getattr(after, name)).all() for name in Sweep.__slots__)
    scores, of_all = JudgedScores.of(result), JudgedScores.of(both)
    assert of_all.scores.tolist() == scores.scores.tolist() and of_all.groups.tolist() == scores.groups.tolist()


def test_highest_f1_that_keeps_frames_quiet() -> None:
    assert choose_threshold(_outcome(), Goal(value=0.5)) == pytest.approx(0.2)
    assert choose_threshold(_outcome(), Goal(value=0.9)) == pytest.approx(0.8)
    sweep = Sweep.of(_outcome())
    assert sweep.thresholds.tolist() == [0.2, 0.25, 0.3, 0.6, 0.8, 0.9]
    assert sweep.f1[4] == pytest.approx(2 * 2 / (2 * 2 + 2)) and sweep.specificity[4] == 1.0
    polyps_only = replace(_outcome(), frame_has_polyp=np.ones(8, np.bool_))
    with pytest.raises(InputError, match="frames with and frames without polyps"):
        choose_threshold(polyps_only, Goal())
    assert choose_threshold(polyps_only, Goal(value=0.0)) == pytest.approx(0.2)
    assert equal_thresholds(polyps_only, Goal(value=0.0), (0.1, 0.9)) == pytest.approx((0.1, 0.2))
    loud = replace(_outcome(), frame_scores=np.full(8, 0.95, np.float32))
    with pytest.raises(InputError, match=r"no threshold leaves 95% .* quiet; best: 0.0% at"):
        choose_threshold(loud, Goal())


def test_training_without_frames_without_polyp_still_gets_a_threshold(caplog: pytest.LogCaptureFixture) -> None:
    only_polyps = _result(40, 0)
    plan = _possible(CalibrationPlan(optional=True), only_polyps)
    assert "how often the model fires on normal mucosa is not known" in caplog.text
    assert choose_operating_point(only_polyps, plan.goal).expected["sensitivity"].value > 0.9
    assert _possible(CalibrationPlan(optional=True), _result(4, 1)).goal == Goal()
    assert "hardly anything keeps the threshold up: 1, where 20 are needed" in caplog.text
    caplog.clear()
    assert _possible(CalibrationPlan(), _result(4, 20)).goal == Goal() and not caplog.text
    with pytest.raises(InputError, match="frames with and frames without polyps"):
        choose_operating_point(only_polyps, _possible(CalibrationPlan(), only_polyps).goal)


@pytest.mark.parametrize(
    ("text", "reached"),
    [("sensitivity=0.9", "sensitivity"), ("specificity=0.8", "specificity"), ("fp-per-minute=300", "false")],
)
def test_targets_are_met_and_not_by_far(text: str, reached: str) -> None:
    result = _result(400, 400)
    goal = parse_goal(text)
    point = choose_operating_point(result, goal)
    expected = {name: figure.value for name, figure in point.expected.items()}
    if reached == "false":
        rate = expected["false_positives_per_frame"] * 60 * 25
        assert rate <= 300 and rate > 300 - 2 * 60 * 25 / 800
    else:
        assert goal.value <= expected[reached] <= goal.value + 0.01
    interval = point.expected["sensitivity"].interval
    assert interval is not None and interval.low <= expected["sensitivity"] <= interval.high
    assert (point.frames, point.polyps, point.frames_without_polyp, point.groups) == (800, 400, 400, 20)
    record = point.as_record()
    assert record["target"] == text and record["expected"]["f1"] == pytest.approx(expected["f1"], abs=1e-4)


def test_what_cannot_be_measured_is_left_out() -> None:
    point = choose_operating_point(_result(200, 0), parse_goal("sensitivity=0.5", tolerance=0.1))
    assert "specificity" not in point.expected and "precision" in point.expected
    point = choose_operating_point(_result(0, 200), parse_goal("specificity=0.5", tolerance=0.1))
    assert set(point.expected) == {"specificity", "false_positives_per_frame"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sensitivity=0.9", "takes 139 polyps, the frames show 40"),
        ("specificity=0.95", "takes 73 frames without polyp, there are 40"),
        ("fp-per-minute=1", "fp-per-minute=1 at 25 frames/s takes 4500 frames, there are 80"),
    ],
)
def test_too_few_frames_say_how_many_are_needed(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_threshold(_result(40, 40).outcome, parse_goal(text))


def test_goals_out_of_reach_name_the_best() -> None:
    missed = replace(_outcome(), polyp_scores=np.array([0.9, 0.8, 0.3, -np.inf], np.float32))
    with pytest.raises(InputError, match=r"sensitivity=0.9 is out of reach: the best is 0.750, with 0.25 false"):
        choose_threshold(missed, Goal(Aim.SENSITIVITY, 0.9, tolerance=0.5))
    loud = replace(_outcome(), false_scores=np.array([0.95, 0.96, 0.97, 0.99], np.float32))
    with pytest.raises(InputError, match=r"fp-per-minute=23 is out of reach .*: the best is 30"):
        choose_threshold(loud, Goal(Aim.FP_PER_MINUTE, 23, frames_per_second=1))
    loud = replace(_outcome(), frame_scores=np.array([0.9] * 4 + [0.95] * 4, np.float32))
    with pytest.raises(InputError, match=r"specificity=0.5 is out of reach .*: the best is 0.000"):
        choose_threshold(loud, Goal(Aim.SPECIFICITY, 0.5, tolerance=0.6))
    blind = Outcome(
        np.full(4, -np.inf, np.float32),
        np.zeros(0, np.float32),
        np.full(8, -np.inf, np.float32),
        _outcome().frame_has_polyp,
    )
    with pytest.raises(InputError, match="finds nothing on these frames"):
        choose_threshold(blind, Goal())


@pytest.mark.parametrize(
    "text", ["", "f1=0.9", "sensitivity", "sensitivity=", "sensitivity=x", "recall=0.9", "fp-per-minute"]
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(InputError, match="target must be like f1, sensitivity=0.9"):
        parse_goal(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sensitivity=1.5", "sensitivity takes a share between 0 and 1. Received: 1.5"),
        ("specificity=0", "specificity takes a share"),
        ("fp-per-minute=-1", "fp-per-minute takes a positive rate"),
        ("fp-per-minute=nan", "fp-per-minute takes a positive rate"),
    ],
)
def test_targets_outside_their_range(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_goal(text)
    with pytest.raises(InputError, match="tolerance must lie between 0 and 1"):
        parse_goal("f1", tolerance=0)
    with pytest.raises(InputError, match="frame rate must be positive"):
        parse_goal("f1", frames_per_second=0)
