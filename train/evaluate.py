"""Judges a detector on labelled still frames, the way it runs: field of view, network, merging, all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from engine.errors import InputError
from stream.detector import Detector
from stream.field_of_view import find_field_of_view
from train.datasets import Sample, read_sample
from train.metrics import (
    FramePrediction,
    FrameTruth,
    Outcome,
    average_precision,
    centroid_outcome,
    truth_of_mask,
)


@dataclass(frozen=True, slots=True)
class StillsResult:
    """What a detector did on labelled frames.

    Attributes:
        outcome: detections sorted by the centroid rule, at every threshold.
        ap50: average precision at an IoU of 0.5.
        frames: number of frames.
    """

    outcome: Outcome
    ap50: float
    frames: int

    def figures(self, threshold: float) -> dict[str, Any]:
        """Figures at one threshold, ready for JSON; None where there is nothing to measure them on."""
        counts = self.outcome.counts(threshold)
        polyps = len(self.outcome.polyp_scores)
        negatives = int((~self.outcome.frame_has_polyp).sum())
        return {
            "frames": self.frames,
            "polyps": polyps,
            "frames_without_polyp": negatives,
            "threshold": round(threshold, 4),
            "centroid_true_positives": counts.true_positives,
            "centroid_false_positives": counts.false_positives,
            "centroid_false_negatives": counts.false_negatives,
            "centroid_precision": round(counts.precision, 4) if polyps else None,
            "centroid_recall": round(counts.recall, 4) if polyps else None,
            "centroid_f1": round(counts.f_score(), 4) if polyps else None,
            "centroid_f2": round(counts.f_score(2.0), 4) if polyps else None,
            "ap50": round(self.ap50, 4) if polyps else None,
            "quiet_share_of_frames_without_polyp": (
                round(self.outcome.quiet_share(threshold), 4) if negatives else None
            ),
        }


def evaluate_stills(detector: Detector, samples: Sequence[Sample], *, batch_size: int = 4) -> StillsResult:
    """Runs a detector over samples.

    Args:
        detector: opened with `threshold=0`, so that curves can be drawn from one pass.
        samples: labelled frames.
        batch_size: frames that go through the network together.

    Raises:
        InputError: no samples, a picture that cannot be read, or a mask of another size than its frame.
    """
    if not samples:
        raise InputError("there is no frame to evaluate on; give a data set with frames of the split asked for")
    truths: list[FrameTruth] = []
    predictions: list[FramePrediction] = []
    for start in tqdm(range(0, len(samples), batch_size), desc="evaluating", unit="batch", disable=None, leave=False):
        part = samples[start : start + batch_size]
        pairs = [read_sample(sample) for sample in part]
        images = [image for image, _ in pairs]
        fields = [find_field_of_view(image) for image in images]
        for (_, mask), found in zip(pairs, detector.detect(images, fields), strict=True):
            truths.append(truth_of_mask(mask))
            boxes = np.array([seen.box_xyxy for seen in found], np.float32).reshape(-1, 4)
            predictions.append(FramePrediction(boxes, np.array([seen.score for seen in found], np.float32)))
    ap50 = average_precision(truths, predictions)
    return StillsResult(centroid_outcome(truths, predictions), ap50, len(samples))
