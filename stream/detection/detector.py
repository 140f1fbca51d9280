"""The detector: frames and their fields of view in, scored boxes in pixels of the frames out."""

from __future__ import annotations

from collections.abc import Sequence

from engine.bundle import ModelBundle, Strategy, Task, load_bundle
from engine.closing import Closing
from engine.errors import InputError
from engine.runtime import AUTO, Runtime, RuntimeSettings
from engine.runtimes.opening import open_runtime
from stream.detection.strategies import strategy_of
from stream.frame import Detection, FieldOfView, Image


class Detector(Closing):
    """Runs a bundle over frames. `detect` may be called from several threads at once.

    Example:
        >>> with Detector.open("polyp") as detector:
        ...     fields = [find_field_of_view(image)]
        ...     detections = detector.detect([image], fields)[0]
    """

    def __init__(self, bundle: ModelBundle, runtime: Runtime, *, threshold: float | None = None) -> None:
        """Joins a bundle and a runtime that runs it.

        Args:
            bundle: a detector.
            runtime: opened for this bundle; closed with the detector.
            threshold: score from which a detection is given, 0 to 1; the bundle's own when None.

        Raises:
            InputError: the bundle is no detector, or the threshold is outside 0 to 1.
        """
        if bundle.task is not Task.DETECT:
            raise InputError(
                f"model {bundle.name!r} is no detector but a classifier; choose another, or run `polypstream classify`"
            )
        threshold = bundle.threshold if threshold is None else threshold
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold must be within 0 to 1. Received: {threshold}")
        self.bundle, self.runtime, self.threshold = bundle, runtime, threshold
        self._strategy = strategy_of(bundle, runtime)

    @classmethod
    def open(
        cls,
        model: str,
        *,
        runtime: str = AUTO,
        strategy: str | None = None,
        threshold: float | None = None,
        settings: RuntimeSettings | None = None,
    ) -> Detector:
        """Opens a shipped model by name, or a bundle by folder.

        Raises:
            InputError: the model has another strategy than the one asked for, or cannot be used.
        """
        bundle = load_bundle(model)
        if strategy is not None and bundle.strategy.value != strategy:
            known = ", ".join(kind.value for kind in Strategy)
            raise InputError(
                f"model {bundle.name!r} has the strategy {bundle.strategy.value!r}, not {strategy!r} (known: {known}); "
                "choose another model or leave the strategy out"
            )
        return cls(bundle, open_runtime(bundle, runtime, settings), threshold=threshold)

    def detect(
        self, images: Sequence[Image], fields: Sequence[FieldOfView], *, floor: float | None = None
    ) -> list[tuple[Detection, ...]]:
        """Finds polyps.

        Args:
            images: BGR uint8 frames, one batch.
            fields: field of view of each; without a picture there are no detections.
            floor: score down to which weaker candidates are given as well, 0 to the threshold; None for detections
                from the threshold on alone. Detections from the threshold on are the same with any floor.

        Returns:
            Detections of each frame, best first, boxes in pixels of the frame, clipped to the field of view.

        Raises:
            InputError: the floor is outside 0 to the threshold.
            RunError: the runtime failed.
        """
        floor = self.threshold if floor is None else floor
        if not 0 <= floor <= self.threshold:
            raise InputError(f"floor must be within 0 to the threshold {self.threshold}. Received: {floor}")
        found: list[tuple[Detection, ...]] = [()] * len(images)
        seen = [index for index, field in enumerate(fields) if field.has_picture and min(field.size_wh) > 0]
        if not seen:
            return found
        results = self._strategy([images[index] for index in seen], [fields[index] for index in seen], floor)
        for index, detections in zip(seen, results, strict=True):
            found[index] = detections
        return found

    def close(self) -> None:
        """Releases the runtime."""
        self.runtime.close()
