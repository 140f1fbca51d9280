from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.metrics.matching import (
    UNKNOWN,
    FramePrediction,
    FrameTruth,
    Outcome,
    Ranking,
    Rule,
    average_precision,
    best_f_threshold,
    centroid_outcome,
    match_frame,
    match_frames,
    outcome_of,
    truth_of_mask,
)


def _truth(*boxes: tuple[int, int, int, int]) -> FrameTruth:
    mask = np.zeros((100, 120), np.uint8)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = 255
    return truth_of_mask(mask)


def _prediction(*boxes_and_scores: tuple[tuple[float, float, float, float], float]) -> FramePrediction:
    boxes = np.array([box for box, _ in boxes_and_scores], np.float32).reshape(-1, 4)
    return FramePrediction(boxes, np.array([score for _, score in boxes_and_scores], np.float32))


def test_pieces_of_a_mask_are_polyps_and_satellites_are_not() -> None:
    truth = _truth((10, 10, 30, 30), (50, 50, 52, 52), (80, 60, 100, 90))
    assert truth.boxes_xyxy.tolist() == [[10, 10, 30, 30], [80, 60, 100, 90]]
    assert truth.labels[51, 51] == 0 and truth.labels[61, 81] == 2


def test_centroid_rule_by_hand() -> None:
    truths = [_truth((10, 10, 30, 30), (60, 10, 90, 40)), _truth((10, 10, 30, 30)), _truth()]
    predictions = [
        # two on the first polyp count once; nothing on the second; one false
        _prediction(((10, 10, 30, 30), 0.9), ((12, 12, 26, 26), 0.8), ((40, 60, 60, 80), 0.7)),
        _prediction(((0, 0, 120, 100), 0.6)),  # its centre is beside the polyp
        _prediction(((5, 5, 15, 15), 0.3)),
    ]
    outcome = centroid_outcome(truths, predictions)
    counts = outcome.counts(0.5)
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (1, 2, 2)
    assert counts.precision == pytest.approx(1 / 3) and counts.recall == pytest.approx(1 / 3)
    assert counts.f_score() == pytest.approx(1 / 3)
    assert outcome.quiet_share(0.5) == 1.0 and outcome.quiet_share(0.2) == 0.0


def test_centre_outside_the_picture_is_false() -> None:
    outcome = centroid_outcome([_truth((0, 0, 30, 30))], [_prediction(((-40, -40, 10, 10), 0.9))])
    assert outcome.counts(0.5).false_positives == 1


def test_nothing_is_right_or_false_where_the_place_of_the_polyp_is_unknown() -> None:
    truths, predictions = [_truth((10, 10, 30, 30))], [_prediction(((10, 10, 30, 30), 0.8))]
    unknown = replace(_truth(), place_known=False)
    match = match_frame(unknown, _prediction(((10, 10, 30, 30), 0.9), ((50, 50, 70, 70), 0.3)))
    assert match.has_polyp and not match_frame(_truth(), predictions[0]).has_polyp
    assert all(match.owners(rule).tolist() == [UNKNOWN, UNKNOWN] for rule in Rule)
    known = match_frames(truths, predictions)
    outcome = outcome_of([*known, match], Rule.CENTROID)
    counts = outcome.counts(0.1)
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (1, 0, 0)
    assert outcome.frame_has_polyp.tolist() == [True, True] and outcome.frame_scores == pytest.approx([0.8, 0.9])
    # A better score there takes nothing from the precision of what can be judged.
    assert Ranking.of([*known, match], least_iou=0.5).average_precision() == pytest.approx(1.0)


def test_iou_rules_by_hand() -> None:
    truth = _truth((10, 10, 30, 30), (60, 10, 80, 30))
    match = match_frame(
        truth,
        _prediction(
            ((10, 10, 30, 30), 0.9),  # the first polyp
            ((12, 10, 32, 30), 0.8),  # the first again (IoU 0.82): false
            ((60, 10, 80, 42), 0.7),  # the second (IoU 0.625)
            ((70, 10, 90, 30), 0.6),  # a third of the second, which is taken
        ),
    )
    assert match.owners(Rule.IOU_50).tolist() == [0, -1, 1, -1]
    assert match.owners(Rule.IOU_25).tolist() == [0, -1, 1, -1]
    assert match.owners(Rule.CENTROID).tolist() == [0, 0, 1, -1]
    assert match.polyp_areas.tolist() == [400, 400]
    loose = match_frame(truth, _prediction(((70, 10, 90, 30), 0.6)))
    assert loose.owners(Rule.IOU_50).tolist() == [-1] and loose.owners(Rule.IOU_25).tolist() == [1]
    outcome = outcome_of([match], Rule.IOU_50)
    assert outcome.polyp_scores == pytest.approx([0.9, 0.7]) and outcome.false_scores == pytest.approx([0.8, 0.6])


def test_the_better_score_takes_the_polyp_even_with_less_overlap() -> None:
    match = match_frame(_truth((10, 10, 30, 30)), _prediction(((12, 10, 32, 30), 0.9), ((10, 10, 30, 30), 0.8)))
    assert match.owners(Rule.IOU_50).tolist() == [0, -1]


def test_nothing_found_and_nothing_to_find() -> None:
    for match in (match_frame(_truth(), _prediction()), match_frame(_truth((10, 10, 30, 30)), _prediction())):
        assert all(match.owners(rule).tolist() == [] for rule in Rule)
    outcome = outcome_of([], Rule.IOU_50)
    assert len(outcome.polyp_scores) == len(outcome.false_scores) == len(outcome.frame_scores) == 0
    assert average_precision([], []) == 0.0


@given(st.lists(st.integers(0, 3), min_size=5, max_size=5), st.integers(0, 10_000))
def test_a_weighted_ranking_is_that_of_repeated_frames(weights: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    truths = [_truth((10, 10, 40, 40)), _truth((60, 50, 90, 90)), _truth(), _truth((5, 5, 25, 25)), _truth()]
    predictions: list[FramePrediction] = []
    for truth in truths:
        boxes = [truth.boxes_xyxy + random.normal(0, 4, truth.boxes_xyxy.shape), random.uniform(0, 90, (2, 4))]
        boxes[1][:, 2:] = boxes[1][:, :2] + 15
        joined = np.concatenate(boxes).astype(np.float32)
        # No two scores of the data set are equal: the order of equals is not what is tested.
        scores = 0.1 + random.permutation(len(joined)) / 10 + len(predictions) / 100
        predictions.append(FramePrediction(joined, scores.astype(np.float32)))
    matches = match_frames(truths, predictions)
    repeated = [match for match, weight in zip(matches, weights, strict=True) for _ in range(weight)]
    weighted = Ranking.of(matches, least_iou=0.5).average_precision(np.array(weights))
    assert weighted == pytest.approx(Ranking.of(repeated, least_iou=0.5).average_precision())


def test_f_scores_weigh_recall() -> None:
    outcome = Outcome(
        np.array([0.9, 0.9, -np.inf], np.float32),
        np.array([0.8], np.float32),
        np.array([0.9], np.float32),
        np.array([True]),
    )
    counts = outcome.counts(0.5)
    assert counts.f_score() == pytest.approx(2 / 3)
    assert counts.f_score(2.0) == pytest.approx(5 * 2 / (5 * 2 + 4 * 1 + 1))
    assert np.isnan(outcome.quiet_share(0.5))


_scores = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.8]), min_size=1, max_size=20)


@given(_scores, _scores, st.integers(0, 5))
def test_no_threshold_is_better_than_the_best(right: list[float], false: list[float], missed: int) -> None:
    polyps = np.array(right + [-np.inf] * missed, np.float32)
    outcome = Outcome(polyps, np.array(false, np.float32), np.array(right, np.float32), np.ones(len(right), np.bool_))
    best = outcome.counts(best_f_threshold(outcome)).f_score()
    assert best == pytest.approx(max(outcome.counts(t).f_score() for t in (0.1, 0.2, 0.3, 0.5, 0.8)))


def test_average_precision_by_hand() -> None:
    truths = [_truth((10, 10, 30, 30)), _truth((10, 10, 30, 30))]
    hit, miss = (10.0, 10.0, 30.0, 30.0), (50.0, 50.0, 60.0, 60.0)
    assert average_precision(truths, [_prediction((hit, 0.9)), _prediction((hit, 0.8))]) == pytest.approx(1.0)
    # Right, false, right: precision 1 up to recall 0.5 (51 of 101 points), then 2/3.
    found = average_precision(truths, [_prediction((hit, 0.9), (miss, 0.85)), _prediction((hit, 0.8))])
    assert found == pytest.approx((51 + 50 * 2 / 3) / 101)
    # The second detection on the same polyp is false.
    assert average_precision(truths[:1], [_prediction((hit, 0.9), (hit, 0.8))]) == pytest.approx(1.0)
    assert average_precision(truths, [_prediction(), _prediction()]) == 0.0
