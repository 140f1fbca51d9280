"""How far a quicker runtime is from the reference: scores, boxes, and the detections that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Float32s
from engine.boxes import pairwise_iou
from engine.bundle import ModelBundle
from engine.runtime import Runtime
from engine.scores import scores_of

#: Positions that score less in both answers have no box worth comparing.
_SCORE_FLOOR = 0.05
#: Least overlap of two boxes that are the same detection.
_SAME = 0.5


@dataclass(frozen=True, slots=True)
class OutputParity:
    """Differences of two runtimes on the same pictures.

    Attributes:
        pictures: how many.
        score: largest difference of a score.
        box_px: largest difference of a box's side in pixels of the input, among positions that score.
    """

    pictures: int
    score: float
    box_px: float


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of one frame: boxes float32 (n, 4) in pixels, scores float32 (n,)."""

    boxes_xyxy: Float32s
    scores: Float32s


@dataclass(frozen=True, slots=True)
class DetectionParity:
    """Differences of the final detections on the same frames.

    Attributes:
        detections: of the reference.
        changed: detections of either side without one on the other that overlaps by half.
        score: largest difference of a score among those in common.
        box_px: largest difference of a box's side, pixels of the frame, among those in common.
    """

    detections: int
    changed: int
    score: float
    box_px: float


def compare_outputs(bundle: ModelBundle, reference: Runtime, candidate: Runtime, pictures: Float32s) -> OutputParity:
    """Runs both on normalised pictures, float32 (count, 3, height, width), one at a time.

    Raises:
        RunError: a runtime failed.
    """
    score = box = 0.0
    for picture in pictures:
        one, two = (runtime.run(picture[None]) for runtime in (reference, candidate))
        scores, others = (scores_of(bundle, answer["logits"]).astype(np.float32) for answer in (one, two))
        score = max(score, _largest(scores - others))
        if bundle.grid is not None:
            seen = np.flatnonzero(np.maximum(scores, others)[0] >= _SCORE_FLOOR)
            boxes, moved = (bundle.grid.boxes_xyxy(outputs["distances"][0][seen], seen) for outputs in (one, two))
            box = max(box, _largest(boxes - moved))
    return OutputParity(len(pictures), score, box)


def compare_detections(reference: Sequence[Found], candidate: Sequence[Found]) -> DetectionParity:
    """Compares final detections, frame by frame; each matches at most one other, the best overlap first."""
    total = changed = 0
    score = box = 0.0
    for one, two in zip(reference, candidate, strict=True):
        total += len(one.scores)
        overlaps = pairwise_iou(one.boxes_xyxy, two.boxes_xyxy)
        pairs = 0
        while overlaps.size and overlaps.max() >= _SAME:
            row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
            overlaps[row, :] = overlaps[:, column] = -1
            pairs += 1
            score = max(score, abs(float(one.scores[row] - two.scores[column])))
            box = max(box, _largest(one.boxes_xyxy[row] - two.boxes_xyxy[column]))
        changed += len(one.scores) + len(two.scores) - 2 * pairs
    return DetectionParity(total, changed, score, box)


def _largest(differences: Float32s) -> float:
    """Largest size; infinite when a number is none, so that no gate lets it pass."""
    sizes = np.abs(differences)
    return float(sizes.max(initial=0.0)) if np.isfinite(sizes).all() else float("inf")
