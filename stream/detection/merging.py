"""From the many candidate boxes of one frame to one box for each polyp."""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from engine.arrays import Boxes, Scores
from engine.boxes import intersections
from engine.checks import require_within
from engine.errors import InputError

Sides = npt.NDArray[np.float32]  # boxes by column: (4, ...), so that arithmetic runs over contiguous memory

# Candidates are settled this many at a time: large enough for numpy to pay off, small enough for the caches.
_BLOCK = 128


class MergeMethod(str, Enum):
    """What becomes of the candidates that lose against a better one.

    Attributes:
        SUPPRESS: they vanish (greedy non-maximum suppression).
        AVERAGE: those that overlap their winner by IoU still pull its box, weighted by score. Steadier boxes from
            frame to frame, because many views of one edge are averaged; the winner's score stays.
    """

    SUPPRESS = "suppress"
    AVERAGE = "average"


def merge_boxes(
    boxes_xyxy: Boxes,
    scores: Scores,
    *,
    iou_threshold: float = 0.4,
    containment_threshold: float = 0.7,
    method: MergeMethod = MergeMethod.AVERAGE,
) -> tuple[Boxes, Scores]:
    """Keep the best candidate of each group that shows the same thing.

    From the best score down, a candidate is kept unless a kept one overlaps it by more than `iou_threshold`
    (intersection over union) or covers more than `containment_threshold` of its area: a part of a polyp that fired
    beside the whole polyp. The result depends on neither the order of the candidates nor on being merged already:
    merging it once more changes nothing.

    The defaults come from the masks of CVC-ClinicDB, Kvasir-SEG, BKAI-NeoPolyp and PolypGen (4,149 frames, 640 pairs
    of polyps that share a frame): one pair has an IoU above 0.4, and in three pairs more than 0.7 of the smaller box
    lies in the larger one.

    Args:
        boxes_xyxy: candidates, float32, shape (N, 4): left, top, right, bottom in pixels. Boxes without area are
            left out.
        scores: float32, shape (N,), 0 to 1.
        iou_threshold: 0 to 1; 1 switches this rule off.
        containment_threshold: 0 to 1; 1 switches this rule off.
        method: what becomes of the suppressed candidates.

    Returns:
        Boxes, float32, shape (M, 4), and scores, float32, shape (M,), best first.

    Raises:
        InputError: shapes that do not fit, a value that is not finite, or a threshold outside 0 to 1.
    """
    boxes_xyxy = np.asarray(boxes_xyxy, dtype=np.float32)
    scores = np.asarray(scores, dtype=np.float32)
    _check(boxes_xyxy, scores, iou_threshold=iou_threshold, containment_threshold=containment_threshold)

    boxes, scores = _best_first(boxes_xyxy, scores)
    winners = _winners(boxes, iou_threshold, containment_threshold)
    kept = np.flatnonzero(winners == np.arange(len(boxes)))
    if method is MergeMethod.SUPPRESS or len(kept) == len(boxes):
        return boxes[kept], scores[kept]

    # Averaging moves boxes, so that two winners may now overlap: one plain pass settles them.
    averaged = _averages(boxes, scores, winners, iou_threshold)[kept]
    return merge_boxes(
        averaged,
        scores[kept],
        iou_threshold=iou_threshold,
        containment_threshold=containment_threshold,
        method=MergeMethod.SUPPRESS,
    )


def _check(boxes: Boxes, scores: Scores, *, iou_threshold: float, containment_threshold: float) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise InputError(f"candidates need boxes of shape (N, 4) and N scores. Received: {boxes.shape}, {scores.shape}")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise InputError("candidates hold a box or score that is not finite; the model's output is broken")
    for name, value in (("iou_threshold", iou_threshold), ("containment_threshold", containment_threshold)):
        require_within(f"`{name}`", value, 0, 1)


def _best_first(boxes: Boxes, scores: Scores) -> tuple[Boxes, Scores]:
    """Drop boxes without area and sort by score; coordinates break ties, so that order of arrival never matters."""
    with_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores = boxes[with_area], scores[with_area]
    order = np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores))
    return boxes[order], scores[order]


def _winners(boxes: Boxes, iou_threshold: float, containment_threshold: float) -> npt.NDArray[np.intp]:
    """Index of the kept box that each box loses to; a kept box's winner is itself. `boxes` are sorted, best first."""
    sides = np.ascontiguousarray(boxes.T)
    winners = np.full(len(boxes), -1, dtype=np.intp)
    undecided = np.arange(len(boxes))  # best first
    while len(undecided):
        block, rest = undecided[:_BLOCK], undecided[_BLOCK:]
        within = _beats(sides[:, block], sides[:, block], iou_threshold, containment_threshold)
        waiting = np.ones(len(block), dtype=bool)
        for row, index in enumerate(block):
            if waiting[row]:
                waiting[row] = False
                winners[index] = index
                winners[block[waiting & within[row]]] = index
                waiting &= ~within[row]
        kept = block[winners[block] == block]
        beaten = _beats(sides[:, kept], sides[:, rest], iou_threshold, containment_threshold)
        lost = beaten.any(axis=0)
        winners[rest[lost]] = kept[beaten[:, lost].argmax(axis=0)]
        undecided = rest[~lost]
    return winners


def _averages(boxes: Boxes, scores: Scores, winners: npt.NDArray[np.intp], iou_threshold: float) -> Boxes:
    """Score-weighted mean box of each winner and of those that overlap it by IoU, at the winner's index.

    Boxes that lost by containment alone are parts: they would shrink the whole, and have no say.
    """
    intersection, areas, winner_areas = intersections(boxes.T, boxes[winners].T)
    voting = intersection > iou_threshold * (areas + winner_areas - intersection)
    voting |= winners == np.arange(len(boxes))
    # A floor on the weight keeps a group whose scores are all zero defined.
    weights = np.where(voting, np.maximum(scores, np.float32(1e-6)), 0).astype(np.float64)
    totals = np.bincount(winners, weights=weights, minlength=len(boxes))
    totals[totals == 0] = 1.0
    sums = [np.bincount(winners, weights=weights * boxes[:, i], minlength=len(boxes)) for i in range(4)]
    averaged = (np.stack(sums, axis=1) / totals[:, None]).astype(np.float32)
    alone = np.bincount(winners, weights=voting, minlength=len(boxes)) == 1
    averaged[alone] = boxes[alone]  # to the bit: weighting and dividing again rounds
    return averaged


def _beats(better: Sides, worse: Sides, iou_threshold: float, containment_threshold: float) -> npt.NDArray[np.bool_]:
    """Whether each of `better` (rows) would suppress each of `worse` (columns)."""
    intersection, area, worse_area = intersections(better[:, :, None], worse[:, None])
    # Products instead of quotients: no division by zero, and no pass over the matrix for it.
    by_overlap: npt.NDArray[np.bool_] = intersection > iou_threshold * (area + worse_area - intersection)
    by_containment: npt.NDArray[np.bool_] = intersection > containment_threshold * worse_area
    return by_overlap | by_containment
