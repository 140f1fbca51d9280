"""Measures of detection on still frames.

The centroid rule (MICCAI 2015 challenge, Bernal et al. 2017): a detection is right when the centre of its box lies in
a polyp's mask; several on one polyp count once; all others are false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

#: Pieces of a mask under this share of the frame are satellites of a polyp, not polyps.
SMALLEST_POLYP_SHARE = 0.0005


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """What is to be found in one frame.

    Attributes:
        labels: int32 (height, width), 0 for normal, 1.. for each polyp.
        boxes_xyxy: float32 (polyps, 4), box of each polyp in pixels of the frame.
    """

    labels: npt.NDArray[np.int32]
    boxes_xyxy: Floats


@dataclass(frozen=True, slots=True)
class FramePrediction:
    """Detections of one frame: boxes float32 (n, 4) `xyxy`, scores float32 (n,)."""

    boxes_xyxy: Floats
    scores: Floats


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts at one threshold, and what follows from them."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of right detections; 1 when there is none."""
        found = self.true_positives + self.false_positives
        return self.true_positives / found if found else 1.0

    @property
    def recall(self) -> float:
        """Share of polyps found; 1 when there is none to find."""
        polyps = self.true_positives + self.false_negatives
        return self.true_positives / polyps if polyps else 1.0

    def f_score(self, beta: float = 1.0) -> float:
        """F-beta of precision and recall."""
        weighted = (1 + beta**2) * self.true_positives
        total = weighted + beta**2 * self.false_negatives + self.false_positives
        return weighted / total if total else 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A data set's detections, sorted into right and false at every threshold at once.

    Attributes:
        polyp_scores: float32 (polyps,), best score of a right detection on each polyp; -inf when there is none.
        false_scores: float32 (false detections,).
        frame_scores: float32 (frames,), best score of any detection in the frame; -inf when there is none.
        frame_has_polyp: bool (frames,).
    """

    polyp_scores: Floats
    false_scores: Floats
    frame_scores: Floats
    frame_has_polyp: npt.NDArray[np.bool_]

    def counts(self, threshold: float) -> Counts:
        """Counts with the detections whose score is at least `threshold`."""
        found = int((self.polyp_scores >= threshold).sum())
        return Counts(found, int((self.false_scores >= threshold).sum()), len(self.polyp_scores) - found)

    def quiet_share(self, threshold: float) -> float:
        """Share of the frames without polyp that have no detection (specificity by frame); nan without such frames."""
        negative = self.frame_scores[~self.frame_has_polyp]
        return float((negative < threshold).mean()) if negative.size else float("nan")


def truth_of_mask(mask: Mask, *, smallest_share: float = SMALLEST_POLYP_SHARE) -> FrameTruth:
    """Truth of a mask (height, width), 0 for normal: each connected piece of enough size is a polyp."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    truth = np.zeros(labels.shape, np.int32)
    boxes: list[tuple[int, int, int, int]] = []
    for number, (left, top, width, height, area) in enumerate(stats[1:], start=1):
        if area >= smallest_share * mask.size:
            boxes.append((left, top, left + width, top + height))
            truth[labels == number] = len(boxes)
    return FrameTruth(truth, np.array(boxes, np.float32).reshape(-1, 4))


def centroid_outcome(truths: Sequence[FrameTruth], predictions: Sequence[FramePrediction]) -> Outcome:
    """Sorts detections by the centroid rule."""
    polyp_scores: list[float] = []
    false_scores: list[float] = []
    frame_scores: list[float] = []
    for truth, prediction in zip(truths, predictions, strict=True):
        height, width = truth.labels.shape
        best = [-np.inf] * len(truth.boxes_xyxy)
        centres = (prediction.boxes_xyxy[:, :2] + prediction.boxes_xyxy[:, 2:]) / 2
        for (x, y), score in zip(centres, prediction.scores, strict=True):
            column, row = int(x), int(y)
            inside = 0 <= column < width and 0 <= row < height
            polyp = int(truth.labels[row, column]) if inside else 0
            if polyp:
                best[polyp - 1] = max(best[polyp - 1], float(score))
            else:
                false_scores.append(float(score))
        polyp_scores.extend(best)
        frame_scores.append(float(prediction.scores.max()) if prediction.scores.size else -np.inf)
    return Outcome(
        np.array(polyp_scores, np.float32),
        np.array(false_scores, np.float32),
        np.array(frame_scores, np.float32),
        np.array([len(truth.boxes_xyxy) > 0 for truth in truths], np.bool_),
    )


def average_precision(
    truths: Sequence[FrameTruth], predictions: Sequence[FramePrediction], *, iou_threshold: float = 0.5
) -> float:
    """Average precision as COCO computes it: 101 recall points, greedy matching by score within each frame."""
    scores: list[float] = []
    right: list[bool] = []
    polyps = 0
    for truth, prediction in zip(truths, predictions, strict=True):
        polyps += len(truth.boxes_xyxy)
        taken = np.zeros(len(truth.boxes_xyxy), np.bool_)
        overlaps = box_iou(prediction.boxes_xyxy, truth.boxes_xyxy)
        for index in np.argsort(-prediction.scores, kind="stable"):
            row = np.where(taken, -1.0, overlaps[index])
            match = int(row.argmax()) if row.size else -1
            hit = match >= 0 and row[match] >= iou_threshold
            if hit:
                taken[match] = True
            scores.append(float(prediction.scores[index]))
            right.append(bool(hit))
    if not polyps or not scores:
        return 0.0
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.array(right)[order]
    true, false = np.cumsum(hits), np.cumsum(~hits)
    recall, precision = true / polyps, true / (true + false)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(index, len(precision))].mean())


def box_iou(first: Floats, second: Floats) -> Floats:
    """IoU of boxes (n, 4) with boxes (m, 4): (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - common
    return np.asarray(common / np.maximum(union, 1e-9), np.float32)


def best_f_threshold(outcome: Outcome, *, beta: float = 1.0) -> float:
    """Threshold with the highest F-beta (the lowest of equals)."""
    candidates = np.unique(np.concatenate([outcome.polyp_scores, outcome.false_scores]))
    candidates = candidates[np.isfinite(candidates)]
    if not candidates.size:
        return 0.5
    polyps = len(outcome.polyp_scores)
    found = polyps - np.searchsorted(np.sort(outcome.polyp_scores), candidates, side="left")
    false = len(outcome.false_scores) - np.searchsorted(np.sort(outcome.false_scores), candidates, side="left")
    scores = (1 + beta**2) * found / ((1 + beta**2) * found + beta**2 * (polyps - found) + false)
    return float(candidates[int(scores.argmax())])
