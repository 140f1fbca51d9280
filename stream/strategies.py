"""The two strategies of a detector: one dense pass over the field of view, or many windows cut from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.bundle import ModelBundle
from engine.grid import WindowGrid
from engine.preprocess import Letterbox, lay_in, layout, normalise
from engine.runtime import FrameInput, FrameRuntime, Runtime, Tensors
from engine.sliding import SlidingGrid, cut_windows
from stream.frame import Boxes, Detection, FieldOfView, Image
from stream.merging import merge_boxes

#: Candidates below this score of the network are its noise; even `threshold=0` leaves them out.
SCORE_FLOOR = 0.01
#: Best candidates of a frame that are merged.
MOST_CANDIDATES = 300
#: Windows that run as one batch; 64 of 150 pixels take 17 MB as floats, whatever the number of frames.
_WINDOWS_AT_ONCE = 64
#: Windows are not refined and overlap by design: those of one polyp are joined sooner than dense candidates.
_WINDOW_IOU, _WINDOW_CONTAINMENT = 0.2, 0.5

Scores = npt.NDArray[np.float32]


class StrategyRunner(Protocol):
    """Frames with a field of view in, detections of each out, best first."""

    def __call__(self, images: Sequence[Image], fields: Sequence[FieldOfView]) -> list[tuple[Detection, ...]]: ...


class Dense:
    """Every window position is scored in one pass, its box refined."""

    def __init__(self, bundle: ModelBundle, grid: WindowGrid, runtime: Runtime, *, threshold: float) -> None:
        self.bundle, self.grid, self.runtime = bundle, grid, runtime
        self.floor = _floor(bundle, threshold)
        self._frame_runtime = runtime if isinstance(runtime, FrameRuntime) else None

    def __call__(self, images: Sequence[Image], fields: Sequence[FieldOfView]) -> list[tuple[Detection, ...]]:
        bundle = self.bundle
        outputs, letterboxes = self._outputs(images, fields)
        found: list[tuple[Detection, ...]] = []
        for row, (letterbox, field) in enumerate(zip(letterboxes, fields, strict=True)):
            logits = outputs["logits"][row].astype(np.float64) / bundle.temperature
            scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
            positions = _best(scores, self.floor)
            boxes = letterbox.to_frame(self.grid.boxes_xyxy(outputs["distances"][row][positions], positions))
            merged = merge_boxes(_clipped(boxes, field), scores[positions])
            found.append(tuple(_detections(bundle, *merged, label=bundle.classes[0])))
        return found

    def _outputs(self, images: Sequence[Image], fields: Sequence[FieldOfView]) -> tuple[Tensors, list[Letterbox]]:
        """The network's outputs, and how each field of view was laid into its input: by the runtime if it can."""
        bundle = self.bundle
        pairs = list(zip(images, fields, strict=True))
        if self._frame_runtime is not None:
            frames = [FrameInput(image, field.box_xyxy, field.mask) for image, field in pairs]
            letterboxes = [layout(field.box_xyxy, bundle.input_wh)[2] for field in fields]
            return self._frame_runtime.run_frames(frames), letterboxes
        laid = [lay_in(image, field.box_xyxy, bundle.input_wh, mask=field.mask) for image, field in pairs]
        outputs = self.runtime.run(normalise([picture for picture, _ in laid], bundle.mean, bundle.std))
        return outputs, [letterbox for _, letterbox in laid]


class Windows:
    """Each window is cut, resized and classified; the windows of all frames are one batch."""

    def __init__(self, bundle: ModelBundle, sliding: SlidingGrid, runtime: Runtime, *, threshold: float) -> None:
        self.bundle, self.sliding, self.runtime = bundle, sliding, runtime
        self.floor = _floor(bundle, threshold)

    def __call__(self, images: Sequence[Image], fields: Sequence[FieldOfView]) -> list[tuple[Detection, ...]]:
        windows = [self.sliding.windows_xyxy(field.box_xyxy, field.mask) for field in fields]
        pictures = [
            picture
            for image, field, boxes in zip(images, fields, windows, strict=True)
            for picture in cut_windows(image, field.box_xyxy, boxes, self.bundle.input_wh, mask=field.mask)
        ]
        probabilities = self._classified(pictures)
        found: list[tuple[Detection, ...]] = []
        start = 0
        for boxes in windows:
            rows = probabilities[start : start + len(boxes)]
            start += len(boxes)
            detections = [one for number in range(rows.shape[1]) for one in self._of_class(boxes, rows, number)]
            found.append(tuple(sorted(detections, key=lambda one: -one.score)))
        return found

    def _classified(self, pictures: Sequence[Image]) -> Scores:
        """Probability of each class, float32 (windows, classes)."""
        bundle = self.bundle
        parts = [np.zeros((0, len(bundle.classes)), np.float32)]
        for start in range(0, len(pictures), _WINDOWS_AT_ONCE):
            batch = normalise(pictures[start : start + _WINDOWS_AT_ONCE], bundle.mean, bundle.std)
            logits = self.runtime.run(batch)["logits"].astype(np.float64) / bundle.temperature
            powers = np.exp(logits - logits.max(1, keepdims=True))
            parts.append((powers / powers.sum(1, keepdims=True)).astype(np.float32))
        return np.concatenate(parts)

    def _of_class(self, windows: npt.NDArray[np.int32], probabilities: Scores, number: int) -> Iterator[Detection]:
        label = self.bundle.classes[number]
        if label == self.bundle.background:
            return iter(())
        scores = probabilities[:, number]
        positions = _best(scores, self.floor)
        merged = merge_boxes(
            windows[positions].astype(np.float32),
            scores[positions],
            iou_threshold=_WINDOW_IOU,
            containment_threshold=_WINDOW_CONTAINMENT,
        )
        return _detections(self.bundle, *merged, label=label)


def strategy_of(bundle: ModelBundle, runtime: Runtime, *, threshold: float) -> StrategyRunner:
    """The strategy that a bundle was made for; detections below `threshold`, a probability, are left out."""
    if bundle.sliding is not None:
        return Windows(bundle, bundle.sliding, runtime, threshold=threshold)
    if bundle.grid is None:
        raise ValueError(f"bundle {bundle.name!r} has neither a window grid nor sliding windows")
    return Dense(bundle, bundle.grid, runtime, threshold=threshold)


def _floor(bundle: ModelBundle, threshold: float) -> float:
    """The network's score from which candidates are merged, for a threshold in probabilities."""
    return max(bundle.calibration.score_of(threshold), SCORE_FLOOR)


def _best(scores: Scores, floor: float) -> npt.NDArray[np.intp]:
    positions = np.flatnonzero(scores >= floor)
    if len(positions) > MOST_CANDIDATES:
        positions = positions[np.argpartition(-scores[positions], MOST_CANDIDATES)[:MOST_CANDIDATES]]
    return positions


def _clipped(boxes: Boxes, field: FieldOfView) -> Boxes:
    x1, y1, x2, y2 = field.box_xyxy
    return np.clip(boxes, np.array([x1, y1, x1, y1]), np.array([x2, y2, x2, y2])).astype(np.float32)


def _detections(bundle: ModelBundle, boxes: Boxes, scores: Scores, *, label: str) -> Iterator[Detection]:
    """Merged boxes as detections. Only here scores become probabilities: merging goes by those of the network."""
    for box, score in zip(boxes.tolist(), bundle.calibration(scores).tolist(), strict=True):
        yield Detection((box[0], box[1], box[2], box[3]), score, label)
