"""The two strategies of a detector: one dense pass over the field of view, or many windows cut from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.arrays import Boxes, Scores
from engine.bundle import ModelBundle
from engine.pictures.picture import AnyPicture
from engine.runtime import FrameInput, Runtime
from engine.runtimes.processor_frames import frames_of
from engine.scores import scores_of
from engine.windows.grid import WindowGrid
from engine.windows.preprocess import layout
from engine.windows.sliding import SlidingGrid
from stream.detection.merging import merge_boxes
from stream.frame import Detection, FieldOfView

#: Candidates below this score of the network are its noise; even a floor of 0 leaves them out.
SCORE_FLOOR = 0.01
#: Best candidates of a frame that are merged.
MOST_CANDIDATES = 300
#: Windows are not refined and overlap by design: those of one polyp are joined sooner than dense candidates.
_WINDOW_IOU, _WINDOW_CONTAINMENT = 0.2, 0.5


class StrategyRunner(Protocol):
    """Frames with a field of view in, detections of each out, best first, down to a floor in probabilities."""

    def __call__(
        self, images: Sequence[AnyPicture], fields: Sequence[FieldOfView], floor: float
    ) -> list[tuple[Detection, ...]]: ...


class Dense:
    """Every window position is scored in one pass, its box refined."""

    def __init__(self, bundle: ModelBundle, grid: WindowGrid, runtime: Runtime) -> None:
        self.bundle, self.grid, self.runtime = bundle, grid, frames_of(bundle, runtime)

    def __call__(
        self, images: Sequence[AnyPicture], fields: Sequence[FieldOfView], floor: float
    ) -> list[tuple[Detection, ...]]:
        bundle, least = self.bundle, _least_score(self.bundle, floor)
        outputs = self.runtime.run_frames(_frames(images, fields))
        scored = scores_of(bundle, outputs["logits"]).astype(np.float32)
        found: list[tuple[Detection, ...]] = []
        for row, field in enumerate(fields):
            letterbox = layout(field.box_xyxy, bundle.input_wh)[2]
            scores = scored[row]
            positions = _best(scores)
            boxes = letterbox.to_frame(self.grid.boxes_xyxy(outputs["distances"][row][positions], positions))
            merged = merge_boxes(_clipped(boxes, field), scores[positions])
            found.append(tuple(_detections(bundle, *merged, least=least, label=bundle.classes[0])))
        return found


class Windows:
    """Each window is cut, resized and classified; the windows of all frames are one batch."""

    def __init__(self, bundle: ModelBundle, sliding: SlidingGrid, runtime: Runtime) -> None:
        self.bundle, self.sliding, self.runtime = bundle, sliding, frames_of(bundle, runtime)

    def __call__(
        self, images: Sequence[AnyPicture], fields: Sequence[FieldOfView], floor: float
    ) -> list[tuple[Detection, ...]]:
        least = _least_score(self.bundle, floor)
        windows = [self.sliding.windows_xyxy(field.box_xyxy, field.mask) for field in fields]
        if not any(map(len, windows)):
            return [()] * len(images)
        logits = self.runtime.run_windows(_frames(images, fields), windows)["logits"]
        probabilities = scores_of(self.bundle, logits).astype(np.float32)
        found: list[tuple[Detection, ...]] = []
        start = 0
        for boxes in windows:
            rows = probabilities[start : start + len(boxes)]
            start += len(boxes)
            detections = [one for number in range(rows.shape[1]) for one in self._of_class(boxes, rows, number, least)]
            found.append(tuple(sorted(detections, key=lambda one: -one.score)))
        return found

    def _of_class(
        self, windows: npt.NDArray[np.int32], probabilities: Scores, number: int, least: float
    ) -> Iterator[Detection]:
        label = self.bundle.classes[number]
        if label == self.bundle.background:
            return iter(())
        scores = probabilities[:, number]
        positions = _best(scores)
        merged = merge_boxes(
            windows[positions].astype(np.float32),
            scores[positions],
            iou_threshold=_WINDOW_IOU,
            containment_threshold=_WINDOW_CONTAINMENT,
        )
        return _detections(self.bundle, *merged, least=least, label=label)


def strategy_of(bundle: ModelBundle, runtime: Runtime) -> StrategyRunner:
    """The strategy that a bundle was made for."""
    if bundle.sliding is not None:
        return Windows(bundle, bundle.sliding, runtime)
    if bundle.grid is None:
        raise ValueError(f"bundle {bundle.name!r} has neither a window grid nor sliding windows")
    return Dense(bundle, bundle.grid, runtime)


def _least_score(bundle: ModelBundle, floor: float) -> float:
    """The network's score from which detections are given, for a floor in probabilities."""
    return max(bundle.calibration.score_of(floor), SCORE_FLOOR)


def _frames(images: Sequence[AnyPicture], fields: Sequence[FieldOfView]) -> list[FrameInput]:
    return [FrameInput(image, field.box_xyxy, field.mask) for image, field in zip(images, fields, strict=True)]


def _best(scores: Scores) -> npt.NDArray[np.intp]:
    """Positions of the candidates to merge, whatever the floor: it only cuts the list, and moves no box."""
    positions = np.flatnonzero(scores >= SCORE_FLOOR)
    if len(positions) > MOST_CANDIDATES:
        positions = positions[np.argpartition(-scores[positions], MOST_CANDIDATES)[:MOST_CANDIDATES]]
    return positions


def _clipped(boxes: Boxes, field: FieldOfView) -> Boxes:
    x1, y1, x2, y2 = field.box_xyxy
    return np.clip(boxes, np.array([x1, y1, x1, y1]), np.array([x2, y2, x2, y2])).astype(np.float32)


def _detections(bundle: ModelBundle, boxes: Boxes, scores: Scores, *, least: float, label: str) -> Iterator[Detection]:
    """Merged boxes as detections. Only here scores become probabilities: merging goes by those of the network."""
    enough = scores >= least
    boxes, scores = boxes[enough], scores[enough]
    for box, score in zip(boxes.tolist(), bundle.calibration(scores).tolist(), strict=True):
        yield Detection((box[0], box[1], box[2], box[3]), score, label)
