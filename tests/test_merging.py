"""Merging of candidates: against a plain reference, and what must always hold."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import Boxes, Scores
from engine.errors import InputError
from stream.detection.merging import MergeMethod, merge_boxes

# Exact in binary, so that the reference and the code agree on which side of a threshold a pair of boxes lies.
THRESHOLDS = st.sampled_from([0.0, 0.125, 0.375, 0.5, 0.75, 1.0])
METHODS = st.sampled_from(list(MergeMethod))
POLYP = [10.0, 10.0, 50.0, 50.0]
Row = tuple[np.float32, ...]  # x1, y1, x2, y2, and often the score


@st.composite
def candidates(draw: st.DrawFn, max_size: int = 30) -> tuple[Boxes, Scores]:
    """Boxes on a small grid with few different scores: many overlaps, ties, duplicates, and some without area."""
    side = st.integers(0, 12)
    rows = draw(st.lists(st.tuples(side, side, side, side, st.integers(0, 6)), max_size=max_size))
    table = np.array(rows, dtype=np.float32).reshape(-1, 5)
    return table[:, :4].copy(), table[:, 4] / np.float32(8)


def beaten(better: Row, worse: Row, iou_threshold: float, containment_threshold: float) -> str | None:
    """The rule by which one box suppresses another, or None."""
    width = min(better[2], worse[2]) - max(better[0], worse[0])
    height = min(better[3], worse[3]) - max(better[1], worse[1])
    intersection = max(width, np.float32(0)) * max(height, np.float32(0))
    area, worse_area = ((box[2] - box[0]) * (box[3] - box[1]) for box in (better, worse))
    if intersection > iou_threshold * (area + worse_area - intersection):
        return "overlap"
    return "containment" if intersection > containment_threshold * worse_area else None


def reference(
    boxes: Boxes, scores: Scores, iou_threshold: float, containment_threshold: float, method: MergeMethod
) -> list[tuple[float, ...]]:
    """Merging as a list of groups, one candidate at a time: rows of x1, y1, x2, y2, score."""
    rows: list[Row] = [
        (*box, score) for box, score in zip(boxes, scores, strict=True) if box[2] > box[0] and box[3] > box[1]
    ]
    rows.sort(key=lambda row: (-row[4], *row[:4]))
    groups: list[list[Row]] = []
    for row in rows:
        for group in groups:
            rule = beaten(group[0], row, iou_threshold, containment_threshold)
            if rule == "overlap":
                group.append(row)
            if rule:
                break
        else:
            groups.append([row])
    if method is MergeMethod.SUPPRESS:
        return [tuple(map(float, group[0])) for group in groups]
    means = []
    for group in groups:
        weights = [max(float(row[4]), 1e-6) for row in group]
        mean = [
            np.float32(sum(w * float(r[i]) for w, r in zip(weights, group, strict=True)) / sum(weights))
            for i in range(4)
        ]
        means.append(mean if len(group) > 1 else list(group[0][:4]))
    merged = np.array(means, dtype=np.float32).reshape(-1, 4)
    best = np.array([group[0][4] for group in groups], dtype=np.float32)
    return reference(merged, best, iou_threshold, containment_threshold, MergeMethod.SUPPRESS)


@given(candidates(), THRESHOLDS, THRESHOLDS, METHODS)
def test_equals_the_reference(
    given_candidates: tuple[Boxes, Scores], iou: float, containment: float, method: MergeMethod
) -> None:
    boxes, scores = given_candidates
    merged, merged_scores = merge_boxes(
        boxes, scores, iou_threshold=iou, containment_threshold=containment, method=method
    )
    expected = np.array(reference(boxes, scores, iou, containment, method), dtype=np.float32).reshape(-1, 5)
    np.testing.assert_allclose(np.column_stack([merged, merged_scores]), expected, rtol=1e-6)
    assert merged.dtype == merged_scores.dtype == np.float32


@given(candidates(), st.randoms(use_true_random=False), METHODS)
def test_order_of_arrival_does_not_matter(
    given_candidates: tuple[Boxes, Scores], random: Random, method: MergeMethod
) -> None:
    boxes, scores = given_candidates
    order = list(range(len(boxes)))
    random.shuffle(order)
    one = merge_boxes(boxes, scores, method=method)
    other = merge_boxes(boxes[order], scores[order], method=method)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


@given(candidates(), METHODS)
def test_merging_again_changes_nothing(given_candidates: tuple[Boxes, Scores], method: MergeMethod) -> None:
    once = merge_boxes(*given_candidates, method=method)
    twice = merge_boxes(*once, method=method)
    np.testing.assert_array_equal(once[0], twice[0])
    np.testing.assert_array_equal(once[1], twice[1])


@given(candidates(), METHODS)
def test_result_is_sorted_and_within_the_candidates(
    given_candidates: tuple[Boxes, Scores], method: MergeMethod
) -> None:
    boxes, scores = given_candidates
    merged, merged_scores = merge_boxes(boxes, scores, method=method)
    assert (np.diff(merged_scores) <= 0).all()
    assert set(merged_scores.tolist()) <= set(scores.tolist())
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    assert len(merged) <= has_area.sum()
    assert (len(merged) > 0) == has_area.any()
    if len(merged):
        assert merged_scores[0] == scores[has_area].max()
        assert (merged.min(axis=0) >= boxes[has_area].min(axis=0) - 1e-5).all()
        assert (merged.max(axis=0) <= boxes[has_area].max(axis=0) + 1e-5).all()


@pytest.mark.parametrize("method", list(MergeMethod))
def test_many_candidates_equal_the_reference(method: MergeMethod) -> None:
    # More than one block of candidates, some settled by winners of an earlier block.
    random = np.random.default_rng(5)
    corners = random.integers(0, 200, (700, 2))
    boxes = np.concatenate([corners, corners + random.integers(4, 60, (700, 2))], axis=1).astype(np.float32)
    scores = random.permutation(700).astype(np.float32) / np.float32(700)
    merged, merged_scores = merge_boxes(boxes, scores, iou_threshold=0.375, containment_threshold=0.75, method=method)
    expected = np.array(reference(boxes, scores, 0.375, 0.75, method), dtype=np.float32)
    np.testing.assert_allclose(np.column_stack([merged, merged_scores]), expected, rtol=1e-6)
    assert 128 < len(merged) < 700


@pytest.mark.parametrize(
    ("other", "other_score", "kept"),
    [
        ([12.0, 12.0, 52.0, 52.0], 0.8, 1),  # the same polyp, a little off
        ([15.0, 15.0, 27.0, 27.0], 0.8, 1),  # a part of the polyp, worse than the whole
        ([15.0, 15.0, 27.0, 27.0], 0.95, 2),  # a part that is better than the whole: neither is dropped
        ([40.0, 40.0, 80.0, 80.0], 0.8, 2),  # a neighbour that touches
        ([90.0, 90.0, 99.0, 99.0], 0.8, 2),  # elsewhere
    ],
)
def test_two_candidates(other: list[float], other_score: float, kept: int) -> None:
    boxes = np.array([POLYP, other], dtype=np.float32)
    scores = np.array([0.9, other_score], dtype=np.float32)
    for method in MergeMethod:
        assert len(merge_boxes(boxes, scores, method=method)[0]) == kept


def test_average_weighs_by_score_and_ignores_parts() -> None:
    boxes = np.array([POLYP, [14, 10, 54, 50], [20, 20, 30, 30]], dtype=np.float32)
    scores = np.array([0.75, 0.25, 0.5], dtype=np.float32)
    merged, merged_scores = merge_boxes(boxes, scores, method=MergeMethod.AVERAGE)
    np.testing.assert_allclose(merged, [[11, 10, 51, 50]])
    np.testing.assert_array_equal(merged_scores, np.array([0.75], np.float32))


def test_nothing_comes_of_nothing() -> None:
    boxes, scores = merge_boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize(
    ("boxes", "scores", "options", "named"),
    [
        ([POLYP], [0.5, 0.5], {}, r"\(2,\)"),
        ([POLYP[:3]], [0.5], {}, r"\(1, 3\)"),
        ([[0, 0, np.nan, 1]], [0.5], {}, "not finite"),
        ([POLYP], [np.inf], {}, "not finite"),
        ([POLYP], [0.5], {"iou_threshold": 1.5}, "`iou_threshold`.*1.5"),
        ([POLYP], [0.5], {"containment_threshold": float("nan")}, "`containment_threshold`.*nan"),
    ],
)
def test_refuses(boxes: list[list[float]], scores: list[float], options: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        merge_boxes(np.array(boxes, np.float32), np.array(scores, np.float32), **options)  # type: ignore[arg-type]
