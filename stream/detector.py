"""The detector: frames and their fields of view in, scored boxes in pixels of the frames out."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import numpy as np

from engine.bundle import ModelBundle, Strategy, Task, load_bundle
from engine.errors import InputError
from engine.preprocess import Letterbox, lay_in, normalise
from engine.runtime import AUTO, Runtime, RuntimeSettings, Tensors, open_runtime
from stream.frame import Detection, FieldOfView, Image
from stream.merging import merge_boxes

#: Candidates below this score are noise of the network; even `threshold=0` leaves them out.
SCORE_FLOOR = 0.01
#: Best candidates of a frame that are merged.
MOST_CANDIDATES = 300


class Detector:
    """Runs a bundle over frames. `detect` may be called from several threads at once.

    Example:
        >>> with Detector.open("polyp") as detector:
        ...     fields = [find_field_of_view(image)]
        ...     detections = detector.detect([image], fields)[0]
    """

    def __init__(self, bundle: ModelBundle, runtime: Runtime, *, threshold: float | None = None) -> None:
        """Joins a bundle and a runtime that runs it.

        Args:
            bundle: a detector with the strategy `dense`.
            runtime: opened for this bundle; closed with the detector.
            threshold: score from which a detection is given, 0 to 1; the bundle's own when None.

        Raises:
            InputError: the bundle is no dense detector, or the threshold is outside 0 to 1.
        """
        if bundle.task is not Task.DETECT or bundle.strategy is not Strategy.DENSE:
            raise InputError(f"model {bundle.name!r} is no dense detector ({bundle.task.value}); choose another")
        threshold = bundle.threshold if threshold is None else threshold
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold must be within 0 to 1. Received: {threshold}")
        self.bundle, self.runtime, self.threshold = bundle, runtime, threshold

    @classmethod
    def open(
        cls,
        model: str,
        *,
        runtime: str = AUTO,
        threshold: float | None = None,
        settings: RuntimeSettings | None = None,
    ) -> Detector:
        """Opens a shipped model by name, or a bundle by folder."""
        bundle = load_bundle(model)
        return cls(bundle, open_runtime(bundle, runtime, settings), threshold=threshold)

    def detect(self, images: Sequence[Image], fields: Sequence[FieldOfView]) -> list[tuple[Detection, ...]]:
        """Finds polyps.

        Args:
            images: BGR uint8 frames, one batch.
            fields: field of view of each; without a picture there are no detections.

        Returns:
            Detections of each frame, best first, boxes in pixels of the frame, clipped to the field of view.

        Raises:
            RunError: the runtime failed.
        """
        found: list[tuple[Detection, ...]] = [()] * len(images)
        seen = [index for index, field in enumerate(fields) if field.has_picture and min(field.size_wh) > 0]
        if not seen:
            return found
        laid = [
            lay_in(images[index], fields[index].box_xyxy, self.bundle.input_wh, mask=fields[index].mask)
            for index in seen
        ]
        pictures = normalise([picture for picture, _ in laid], self.bundle.mean, self.bundle.std)
        outputs = self.runtime.run(pictures)
        for row, (index, (_, letterbox)) in enumerate(zip(seen, laid, strict=True)):
            found[index] = self._detections(outputs, row, letterbox, fields[index])
        return found

    def _detections(
        self, outputs: Tensors, row: int, letterbox: Letterbox, field: FieldOfView
    ) -> tuple[Detection, ...]:
        logits = outputs["logits"][row].astype(np.float64) / self.bundle.temperature
        scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
        positions = np.flatnonzero(scores >= max(self.threshold, SCORE_FLOOR))
        if len(positions) > MOST_CANDIDATES:
            positions = positions[np.argpartition(-scores[positions], MOST_CANDIDATES)[:MOST_CANDIDATES]]
        boxes = letterbox.to_frame(self.bundle.grid.boxes_xyxy(outputs["distances"][row][positions], positions))
        x1, y1, x2, y2 = field.box_xyxy
        boxes = np.clip(boxes, np.array([x1, y1, x1, y1]), np.array([x2, y2, x2, y2])).astype(np.float32)
        merged, kept = merge_boxes(boxes, scores[positions])
        label = self.bundle.classes[0]
        return tuple(
            Detection((box[0], box[1], box[2], box[3]), score, label)
            for box, score in zip(merged.tolist(), kept.tolist(), strict=True)
        )

    def close(self) -> None:
        """Releases the runtime."""
        self.runtime.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
