"""What the dense detector is worth after an epoch, on validation frames in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.windows.grid import WindowGrid
from engine.windows.preprocess import lay_in, normalise
from stream.detection.merging import merge_boxes
from train.data.cache import CachedFrame
from train.metrics.matching import (
    FramePrediction,
    FrameTruth,
    average_precision,
    best_f_threshold,
    centroid_outcome,
    truth_of_boxes,
    truth_of_mask,
)
from train.networks.dense import DenseDetector
from train.run.device import mixed_precision


@torch.no_grad()
def predict(
    network: DenseDetector, frames: Sequence[CachedFrame], input_wh: tuple[int, int], *, floor: float = 0.02
) -> list[FramePrediction]:
    """Merged detections of cached frames, in pixels of the cached frame."""
    network.eval()
    device = next(network.parameters()).device
    grid = WindowGrid(input_wh)
    predictions: list[FramePrediction] = []
    for start in range(0, len(frames), 16):
        laid = [
            lay_in(frame.image, (0, 0, frame.image.shape[1], frame.image.shape[0]), input_wh)
            for frame in frames[start : start + 16]
        ]
        pictures = normalise([picture for picture, _ in laid], network.trunk.mean, network.trunk.std)
        with mixed_precision(device):
            outputs = network(torch.from_numpy(pictures).to(device).contiguous(memory_format=torch.channels_last))
            logits = network.combined(outputs)
        scores = torch.sigmoid(logits.float()).cpu().numpy()
        distances = outputs.distances.float().cpu().numpy()
        for row, (_, letterbox) in enumerate(laid):
            picked = np.flatnonzero(scores[row] >= floor)
            boxes = letterbox.to_frame(grid.boxes_xyxy(distances[row, picked], picked))
            predictions.append(FramePrediction(*merge_boxes(boxes, scores[row, picked])))
    return predictions


def judge(network: DenseDetector, frames: Sequence[CachedFrame], input_wh: tuple[int, int]) -> dict[str, float]:
    """Figures on validation frames: AP50, best centroid F1 with its threshold, quiet share of normal frames there."""
    truths = [_truth_of(frame) for frame in frames]
    predictions = predict(network, frames, input_wh)
    outcome = centroid_outcome(truths, predictions)
    threshold = best_f_threshold(outcome)
    counts = outcome.counts(threshold)
    return {
        "ap50": average_precision(truths, predictions),
        "f1": counts.f_score(),
        "precision": counts.precision,
        "recall": counts.recall,
        "threshold": threshold,
        "quiet_share": outcome.quiet_share(threshold),
    }


def _truth_of(frame: CachedFrame) -> FrameTruth:
    if frame.boxes_xyxy is None:
        return truth_of_mask(frame.mask)
    return truth_of_boxes(frame.boxes_xyxy, (frame.mask.shape[0], frame.mask.shape[1]))
