"""Judges a detector on labelled still frames, the way it runs: field of view, network, merging, all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays import Image
from engine.console.output import progress_bar
from engine.errors import InputError
from stream.detection.detector import Detector
from stream.frame import Detection, FieldOfView
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from train.data.datasets import Sample, read_sample
from train.metrics.matching import (
    FrameMatch,
    FramePrediction,
    FrameTruth,
    Outcome,
    Ranking,
    Rule,
    match_frame,
    outcome_of,
    truth_of_boxes,
    truth_of_mask,
)


@dataclass(frozen=True, slots=True)
class Still:
    """One labelled frame, read when it is needed.

    Attributes:
        name: of the picture's file, without ending.
        path: of the picture.
        group: frames that are no independent evidence of each other, over all data sets.
        load: reads the picture, BGR uint8 (height, width, 3), and what is to be found in it.
        coco_id: number of the picture in the COCO file that it comes from; None when it comes from elsewhere.
        outlined: False for a frame that shows a polyp nobody outlined.
    """

    name: str
    path: Path
    group: str
    load: Callable[[], tuple[Image, FrameTruth]]
    coco_id: int | None = None
    outlined: bool = True


@dataclass(frozen=True, slots=True)
class JudgedStill:
    """One frame after it was judged.

    Attributes:
        name: of the picture's file, without ending.
        path: of the picture.
        group: as in `Still`.
        field_area: pixels of the field of view.
        match: detections laid against polyps.
    """

    name: str
    path: Path
    group: str
    field_area: int
    match: FrameMatch


#: Gives the detections of some frames: (stills, their pictures, fields of view of these) -> one prediction a frame.
Predictor = Callable[[Sequence[Still], Sequence[Image], Sequence[FieldOfView]], list[FramePrediction]]


@dataclass(frozen=True, slots=True)
class StillsResult:
    """What a detector did on labelled frames.

    Attributes:
        judged: every frame.
        outcome: detections sorted by the centroid rule, at every threshold.
        ap50: average precision at an IoU of 0.5.
    """

    judged: tuple[JudgedStill, ...]
    outcome: Outcome
    ap50: float

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.judged)

    @property
    def matches(self) -> list[FrameMatch]:
        """Detections and polyps of every frame."""
        return [still.match for still in self.judged]

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
    stills = [still_of_sample(sample) for sample in samples]
    return judge_stills(predictor_of(detector), stills, batch_size=batch_size)


def judge_stills(
    predictor: Predictor, stills: Sequence[Still], *, batch_size: int = 4, label: str = "evaluating"
) -> StillsResult:
    """Judges whatever finds polyps in frames; otherwise like `evaluate_stills`. `label` stands at the progress bar."""
    if not stills:
        raise InputError("there is no frame to evaluate on; give a data set with frames of the split asked for")
    judged: list[JudgedStill] = []
    with progress_bar(total=len(stills), what=label, unit="frame", leave=False) as bar:
        for start in range(0, len(stills), batch_size):
            part = stills[start : start + batch_size]
            loaded = [still.load() for still in part]
            images = [image for image, _ in loaded]
            fields = [find_field_of_view(image) for image in images]
            predictions = predictor(part, images, fields)
            for still, (_, truth), field, prediction in zip(part, loaded, fields, predictions, strict=True):
                match = match_frame(truth, prediction)
                judged.append(JudgedStill(still.name, still.path, still.group, _area(field), match))
            bar.update(len(part))
    matches = [still.match for still in judged]
    ap50 = Ranking.of(matches, least_iou=0.5).average_precision()
    return StillsResult(tuple(judged), outcome_of(matches, Rule.CENTROID), ap50)


def predictor_of(detector: Detector) -> Predictor:
    """The detector as a predictor."""

    def predict(
        stills: Sequence[Still], images: Sequence[Image], fields: Sequence[FieldOfView]
    ) -> list[FramePrediction]:
        return [prediction_of(found) for found in detector.detect(images, fields)]

    return predict


def prediction_of(found: Sequence[Detection]) -> FramePrediction:
    """Detections as arrays."""
    boxes = np.array([seen.box_xyxy for seen in found], np.float32).reshape(-1, 4)
    return FramePrediction(boxes, np.array([seen.score for seen in found], np.float32))


def still_of_sample(sample: Sample) -> Still:
    """A sample of a data set as a still."""

    def load() -> tuple[Image, FrameTruth]:
        image, mask = read_sample(sample)
        if sample.boxes_xyxy is None:
            return image, truth_of_mask(mask)
        return image, truth_of_boxes(np.array(sample.boxes_xyxy, np.float32), (image.shape[0], image.shape[1]))

    return Still(sample.image.stem, sample.image, f"{sample.dataset}/{sample.group}", load)


def still_of_polyp_frame(path: Path, group: str) -> Still:
    """A picture that shows a polyp nobody outlined as a still; `group` as in `Still`."""

    def load() -> tuple[Image, FrameTruth]:
        image = read_picture(path)
        nothing = np.zeros((0, 4), np.float32)
        return image, FrameTruth(np.zeros(image.shape[:2], np.int32), nothing, place_known=False)

    return Still(path.stem, path, group, load, outlined=False)


def _area(field: FieldOfView) -> int:
    width, height = field.size_wh
    return width * height if field.mask is None else int(field.mask.sum())
