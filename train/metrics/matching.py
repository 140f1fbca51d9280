"""Measures of detection on still frames: which detections are right, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s, Float64s, Int64s, Plane
from engine.boxes import pairwise_iou

#: Pieces of a mask under this share of the frame are satellites of a polyp, not polyps.
SMALLEST_POLYP_SHARE = 0.0005
_MOST_DETECTIONS = 100  # of a frame, for average precision
#: In the place of a polyp's number: a detection on none; one that nobody can judge, as the polyp's place is unknown.
FALSE, UNKNOWN = -1, -2


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """What is to be found in one frame.

    Attributes:
        labels: int32 (height, width), 0 for normal, 1.. for each polyp.
        boxes_xyxy: float32 (polyps, 4), box of each polyp in pixels of the frame.
        place_known: False for a frame that shows a polyp nobody outlined: it has neither labels nor boxes.
        outlined: False where polyps are known by their boxes only, which labels fill.
    """

    labels: npt.NDArray[np.int32]
    boxes_xyxy: Float32s
    place_known: bool = True
    outlined: bool = True


@dataclass(frozen=True, slots=True)
class FramePrediction:
    """Detections of one frame: boxes float32 (n, 4) `xyxy`, scores float32 (n,)."""

    boxes_xyxy: Float32s
    scores: Float32s


class Rule(str, Enum):
    """When a detection is right.

    Attributes:
        CENTROID: the centre of its box lies in a polyp's mask; several on one polyp count once (MICCAI 2015 challenge,
            Bernal et al. 2017).
        IOU_50: its box overlaps a polyp's box by an IoU of 0.5 or more; each polyp takes one detection, the best score
            first; others on it are false, as COCO counts.
        IOU_25: likewise, with an IoU of 0.25.
    """

    CENTROID = "centroid"
    IOU_50 = "iou50"
    IOU_25 = "iou25"


_LEAST_IOU = {Rule.IOU_50: 0.5, Rule.IOU_25: 0.25}


@dataclass(frozen=True, slots=True)
class FrameMatch:
    """Detections of one frame laid against its polyps: all that the measures need, without the mask.

    Attributes:
        boxes_xyxy: float32 (n, 4), of the detections, in pixels of the frame.
        scores: float32 (n,).
        under_centre: int64 (n,), polyp in which the detection's centre lies, from 0; `FALSE` for none, `UNKNOWN`.
        overlaps: float64 (n, m), IoU of each detection's box with each polyp's.
        polyp_boxes_xyxy: float32 (m, 4).
        polyp_areas: int64 (m,), pixels of each polyp's mask, or of its box where it is not outlined.
        place_known: as in `FrameTruth`.
        outlined: as in `FrameTruth`.
    """

    boxes_xyxy: Float32s
    scores: Float32s
    under_centre: Int64s
    overlaps: Float64s
    polyp_boxes_xyxy: Float32s
    polyp_areas: Int64s
    place_known: bool = True
    outlined: bool = True

    @property
    def has_polyp(self) -> bool:
        """True when the frame shows a polyp, outlined or not."""
        return len(self.polyp_areas) > 0 or not self.place_known

    def owners(self, rule: Rule) -> Int64s:
        """The polyp that each detection is right about, from 0, or `FALSE`, or `UNKNOWN`: int64 (n,)."""
        return self.under_centre if rule is Rule.CENTROID else self.owners_by_iou(_LEAST_IOU[rule])

    def owners_by_iou(self, least_iou: float) -> Int64s:
        """Likewise by overlap: from the best score down, each takes the free polyp that it overlaps most."""
        owners = np.full(len(self.scores), FALSE if self.place_known else UNKNOWN, np.int64)
        if not self.overlaps.size:
            return owners
        free = self.overlaps.copy()
        for index in np.argsort(-self.scores, kind="stable"):
            best = int(free[index].argmax())
            if free[index, best] >= least_iou:
                owners[index] = best
                free[:, best] = -1.0
        return owners


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
        unplaced: frames with a polyp that nobody outlined: nothing in them is right or false.
    """

    polyp_scores: Float32s
    false_scores: Float32s
    frame_scores: Float32s
    frame_has_polyp: npt.NDArray[np.bool_]
    unplaced: int = 0

    @property
    def judged_frames(self) -> int:
        """Frames in which a detection is right or false."""
        return len(self.frame_scores) - self.unplaced

    def counts(self, threshold: float) -> Counts:
        """Counts with the detections whose score is at least `threshold`."""
        found = int((self.polyp_scores >= threshold).sum())
        return Counts(found, int((self.false_scores >= threshold).sum()), len(self.polyp_scores) - found)

    def quiet_share(self, threshold: float) -> float:
        """Share of the frames without polyp that have no detection (specificity by frame); nan without such frames."""
        negative = self.frame_scores[~self.frame_has_polyp]
        return float((negative < threshold).mean()) if negative.size else float("nan")


def truth_of_mask(mask: Plane, *, smallest_share: float = SMALLEST_POLYP_SHARE) -> FrameTruth:
    """Truth of a mask (height, width), 0 for normal: each connected piece of enough size is a polyp."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    truth = np.zeros(labels.shape, np.int32)
    boxes: list[tuple[int, int, int, int]] = []
    for number, (left, top, width, height, area) in enumerate(stats[1:], start=1):
        if area >= smallest_share * mask.size:
            boxes.append((left, top, left + width, top + height))
            truth[labels == number] = len(boxes)
    return FrameTruth(truth, np.array(boxes, np.float32).reshape(-1, 4))


def truth_of_boxes(boxes_xyxy: Float32s, size_hw: tuple[int, int]) -> FrameTruth:
    """Truth of a frame (height, width) whose polyps are known by their boxes only; smaller boxes lie on larger ones."""
    truth = np.zeros(size_hw, np.int32)
    ordered = sorted(boxes_xyxy.tolist(), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), reverse=True)
    for number, box in enumerate(ordered, start=1):
        left, top, right, bottom = (max(round(side), 0) for side in box)
        truth[top : max(bottom, top + 1), left : max(right, left + 1)] = number
    return FrameTruth(truth, np.array(ordered, np.float32).reshape(-1, 4), outlined=False)


def match_frame(truth: FrameTruth, prediction: FramePrediction) -> FrameMatch:
    """Lays the detections of a frame against its polyps."""
    height, width = truth.labels.shape
    centres = (prediction.boxes_xyxy[:, :2] + prediction.boxes_xyxy[:, 2:]) / 2
    columns, rows = np.floor(centres).astype(np.int64).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    under = np.full(len(centres), FALSE if truth.place_known else UNKNOWN, np.int64)
    if truth.place_known:
        under[inside] = truth.labels[rows[inside], columns[inside]] - 1
    polyps = len(truth.boxes_xyxy)
    return FrameMatch(
        boxes_xyxy=prediction.boxes_xyxy,
        scores=prediction.scores,
        under_centre=under,
        overlaps=pairwise_iou(prediction.boxes_xyxy, truth.boxes_xyxy),
        polyp_boxes_xyxy=truth.boxes_xyxy,
        polyp_areas=np.bincount(truth.labels.ravel(), minlength=polyps + 1)[1 : polyps + 1].astype(np.int64),
        place_known=truth.place_known,
        outlined=truth.outlined,
    )


def outcome_of(matches: Sequence[FrameMatch], rule: Rule) -> Outcome:
    """Sorts the detections of many frames by a rule."""
    polyp_scores: list[Float32s] = []
    false_scores: list[Float32s] = []
    for match in matches:
        owners = match.owners(rule)
        best = np.full(len(match.polyp_areas), -np.inf, np.float32)
        np.maximum.at(best, owners[owners >= 0], match.scores[owners >= 0])
        polyp_scores.append(best)
        false_scores.append(match.scores[owners == FALSE])
    nothing = [np.zeros(0, np.float32)]
    return Outcome(
        np.concatenate(polyp_scores or nothing).astype(np.float32),
        np.concatenate(false_scores or nothing).astype(np.float32),
        np.array([match.scores.max(initial=-np.inf) for match in matches], np.float32),
        np.array([match.has_polyp for match in matches], np.bool_),
        sum(not match.place_known for match in matches),
    )


def centroid_outcome(truths: Sequence[FrameTruth], predictions: Sequence[FramePrediction]) -> Outcome:
    """Sorts detections by the centroid rule."""
    return outcome_of(match_frames(truths, predictions), Rule.CENTROID)


def match_frames(truths: Sequence[FrameTruth], predictions: Sequence[FramePrediction]) -> list[FrameMatch]:
    """Lays the detections of each frame against its polyps."""
    return [match_frame(truth, prediction) for truth, prediction in zip(truths, predictions, strict=True)]


def average_precision(
    truths: Sequence[FrameTruth], predictions: Sequence[FramePrediction], *, iou_threshold: float = 0.5
) -> float:
    """Average precision as COCO computes it: 101 recall points, greedy matching by score within each frame."""
    return Ranking.of(match_frames(truths, predictions), least_iou=iou_threshold).average_precision()


@dataclass(frozen=True, slots=True)
class Ranking:
    """All detections of a data set, best first, judged at one IoU.

    Attributes:
        right: bool (n,).
        frames: int64 (n,), frame of each detection.
        polyps: int64 (frames,), polyps of each frame.
    """

    right: npt.NDArray[np.bool_]
    frames: Int64s
    polyps: Int64s

    @classmethod
    def of(cls, matches: Sequence[FrameMatch], *, least_iou: float) -> Ranking:
        """Ranks the detections; each frame gives its best 100, as with COCO."""
        scores, right, frames = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)], [np.zeros(0, np.int64)]
        for number, match in enumerate(matches):
            owners = match.owners_by_iou(least_iou)
            best = np.argsort(-match.scores, kind="stable")[:_MOST_DETECTIONS]
            best = best[owners[best] != UNKNOWN]
            scores.append(match.scores[best])
            right.append(owners[best] >= 0)
            frames.append(np.full(len(best), number, np.int64))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        # What comes after the last right detection changes no precision at any recall that is reached.
        hits = np.concatenate(right)[order]
        order = order[: int(hits.nonzero()[0].max(initial=-1)) + 1]
        polyps = np.array([len(match.polyp_areas) for match in matches], np.int64)
        return cls(hits[: len(order)], np.concatenate(frames)[order], polyps)

    def average_precision(self, weights: Int64s | None = None) -> float:
        """COCO's average precision, 0 to 1; 0 without polyps.

        Args:
            weights: how often each frame counts, int64 (frames,); each once when None.
        """
        weights = np.ones(len(self.polyps), np.int64) if weights is None else weights
        polyps = int(weights @ self.polyps)
        counted = weights[self.frames]
        # Precision is highest right at a hit, so the other places need not be looked at.
        true, shown = np.cumsum(counted[self.right]), np.cumsum(counted)[self.right]
        if not polyps or not len(true) or not true[-1]:
            return 0.0
        recall, precision = true / polyps, true / np.maximum(shown, 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        index = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        return float(np.append(precision, 0.0)[np.minimum(index, len(precision))].mean())


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
