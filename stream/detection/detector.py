"""The detector: frames and their fields of view in, scored boxes in pixels of the frames out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.bundle import ModelBundle, Strategy, Task, load_bundle
from engine.checks import require_within
from engine.errors import InputError
from engine.pictures.picture import AnyPicture
from engine.processes.own_process import OwnProcess
from engine.runtime import AUTO, Runtime, RuntimeSettings
from engine.runtimes.opening import open_runtime
from stream.detection.strategies import strategy_of
from stream.frame import Detection, FieldOfView, check_field, picture_of
from stream.view.field_of_view import find_field_of_view


class Detector(OwnProcess):
    """Runs a bundle over frames. May be used from several threads at once, in the process that opened it.

    Example:
        >>> image = read_picture("frame.png")
        >>> with Detector.open("polyp") as detector:
        ...     polyps = detector.detect_picture(image)
        ...     batch = detector.detect([image, image], [find_field_of_view(image)] * 2)
        >>> batch == [polyps, polyps]
        True
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
        require_within("threshold", threshold, 0, 1)
        super().__init__()
        self.bundle, self.runtime, self.threshold = bundle, runtime, threshold
        self._strategy = strategy_of(bundle, runtime)

    @classmethod
    def open(
        cls,
        model: str | Path,
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

    def detect_picture(self, image: AnyPicture, field: FieldOfView | None = None) -> tuple[Detection, ...]:
        """Finds the polyps of one picture.

        Args:
            image: BGR uint8, shape (height, width, 3), or as it was decoded (`Frame.picture`).
            field: its field of view; found when None.

        Returns:
            Detections, best first, boxes in pixels of the picture, clipped to the field of view; none where the picture
            shows no endoscope's picture.

        Raises:
            InputError: the image is no BGR uint8 picture, or the field of view is not one of it.
            RunError: the runtime failed, or the detector belongs to another process.
        """
        if field is None:
            field = find_field_of_view(image)
        return self.detect([image], [field])[0]

    def detect(
        self, images: Sequence[AnyPicture], fields: Sequence[FieldOfView], *, floor: float | None = None
    ) -> list[tuple[Detection, ...]]:
        """Finds polyps.

        Args:
            images: frames, BGR uint8 of shape (height, width, 3) or as they were decoded, one batch.
            fields: field of view of each; without a picture there are no detections.
            floor: score down to which weaker candidates are given as well, 0 to the threshold; None for detections
                from the threshold on alone. Detections from the threshold on are the same with any floor.

        Returns:
            Detections of each frame, best first, boxes in pixels of the frame, clipped to the field of view.

        Raises:
            InputError: an image is no BGR uint8 picture, there is not one field of view of each, or the floor is
                outside 0 to the threshold.
            RunError: the runtime failed, or the detector belongs to another process.
        """
        self._check_process()
        if len(images) != len(fields):
            raise InputError(
                f"`detect` takes one field of view for each picture. Received: {len(images)} and {len(fields)}; give "
                "lists of equal length, or one picture to `detect_picture`"
            )
        pictures = [picture_of(image, f"images[{index}]") for index, image in enumerate(images)]
        for index, (picture, field) in enumerate(zip(pictures, fields, strict=True)):
            check_field(field, picture, f"fields[{index}]")
        floor = self.threshold if floor is None else floor
        require_within("floor", floor, 0, self.threshold, wanted=f"within 0 to the threshold {self.threshold}")
        found: list[tuple[Detection, ...]] = [()] * len(images)
        seen = [index for index, field in enumerate(fields) if field.has_picture and min(field.size_wh) > 0]
        if not seen:
            return found
        results = self._strategy([pictures[index] for index in seen], [fields[index] for index in seen], floor)
        for index, detections in zip(seen, results, strict=True):
            found[index] = detections
        return found

    def _release(self) -> None:
        self.runtime.close()
