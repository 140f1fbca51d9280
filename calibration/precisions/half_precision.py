"""FP16 safety of a model: its FP16 network made on real frames, and the gate that a quicker runtime has to pass."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.precisions.emulated_runtime import EmulatedRuntime
from calibration.precisions.gate import FP32
from engine.arrays import Image
from engine.bundle import ModelBundle, Task
from engine.conversion.fp16 import FP16, HalfNetwork, fp16_network
from engine.conversion.onnx_graph import read_network
from engine.conversion.parity import DetectionParity, Found, OutputParity, compare_detections, compare_outputs
from engine.errors import InputError, RunError, RuntimeUnavailableError
from engine.runtime import Runtime, RuntimeSettings
from engine.runtimes.opening import open_runtime
from engine.windows.preprocess import lay_in, normalise
from engine.windows.sliding import cut_windows
from stream.detection.detector import Detector
from stream.frame import Detection, FieldOfView
from stream.lesion.classifier import Classifier
from stream.sources.opening import open_source
from stream.view.field_of_view import find_field_of_view

log = logging.getLogger(__name__)

#: Frames and pictures that are looked at, spread over what is given: more take longer and find little else.
_MOST = 48


@dataclass(frozen=True, slots=True)
class ParityGate:
    """What a quicker runtime may change.

    Attributes:
        score: largest difference of a score.
        changed: detections, or named classes, that may differ at the model's threshold.
    """

    score: float = 5e-3
    changed: int = 0


#: With every convolution in FP32, and only pictures and what lies between rounded, probabilities of the shipped
#: classifier still move by up to 0.006.
PARITY: Mapping[Task, ParityGate] = {Task.DETECT: ParityGate(), Task.CLASSIFY: ParityGate(score=1e-2)}


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What the gate found.

    Attributes:
        candidate: name and library of the runtime that was judged.
        frames: how many.
        outputs: differences of the network's outputs.
        detections: differences of the final detections; of a classifier, of the classes that pictures are named.
        gate: what is accepted.
    """

    candidate: str
    frames: int
    outputs: OutputParity
    detections: DetectionParity
    gate: ParityGate

    @property
    def passed(self) -> bool:
        """Whether the gate is passed."""
        return self.outputs.score <= self.gate.score and self.detections.changed <= self.gate.changed

    def as_json(self) -> dict[str, Any]:
        """The report in types that JSON knows."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True, slots=True)
class SeenFrames:
    """Frames with a picture, and the field of view of each."""

    images: Sequence[Image]
    fields: Sequence[FieldOfView]


def read_frames(source: str | Path) -> SeenFrames:
    """Up to 48 frames with a picture, spread over a video or folder.

    Raises:
        InputError: no frame of it shows a picture.
    """
    images: list[Image] = []
    step = 1
    with open_source(source) as frames:
        for frame in frames:
            if frame.index % step == 0:
                images.append(frame.image)
            if len(images) == 2 * _MOST:  # the length is not always known: thin out while reading
                images, step = images[::2], 2 * step
    images = images[:: max(1, -(-len(images) // _MOST))]
    fields = [find_field_of_view(image) for image in images]
    seen = [(image, field) for image, field in zip(images, fields, strict=True) if field.has_picture]
    if not seen:
        raise InputError(f"no frame of {str(source)!r} shows a picture; give frames of the kind the model is for")
    return SeenFrames([image for image, _ in seen], [field for _, field in seen])


def network_pictures(bundle: ModelBundle, frames: SeenFrames, *, most: int = _MOST) -> npt.NDArray[np.float32]:
    """What the network gets of frames: float32 (pictures, 3, height, width); at most `most`, spread."""
    pictures: list[npt.NDArray[np.uint8]] = []
    for image, field in zip(frames.images, frames.fields, strict=True):
        if bundle.sliding is None:
            pictures.append(lay_in(image, field.box_xyxy, bundle.input_wh, mask=field.mask)[0])
        else:
            windows = bundle.sliding.windows_xyxy(field.box_xyxy, field.mask)
            few = windows[:: max(1, len(windows) * len(frames.images) // most)]
            pictures += cut_windows(image, field.box_xyxy, few, bundle.input_wh, mask=field.mask)
    return normalise(pictures[:: max(1, -(-len(pictures) // most))], bundle.mean, bundle.std)


def make_fp16(bundle: ModelBundle, frames: SeenFrames) -> HalfNetwork:
    """The FP16 network of a bundle, accepted on these frames; the bundle stays as it is.

    Raises:
        InputError: a package is missing.
        RunError: the FP16 network is not accepted.
    """
    source = bundle.networks[FP32].path
    return fp16_network(read_network(source), network_pictures(bundle, frames), name=source.name)


def open_candidate(bundle: ModelBundle) -> Runtime:
    """The TensorRT engine; where it cannot run, its network on the processor, rounded likewise, stands for it."""
    try:
        return open_runtime(bundle, "tensorrt", RuntimeSettings(precision=FP16))
    except RuntimeUnavailableError as error:
        log.warning("the FP16 network on the processor stands for the engine (%s)", error)
        return EmulatedRuntime(bundle, FP16, "stands for the engine")


def verify(
    bundle: ModelBundle, candidate: Runtime, frames: SeenFrames, *, gate: ParityGate | None = None
) -> ParityReport:
    """Compares a runtime with FP32 on the processor: network outputs on the same pictures, detections on the frames.

    The gate is that of the model's kind unless another is given.

    Raises:
        RunError: a runtime failed.
    """
    with open_runtime(bundle, "onnxruntime", RuntimeSettings(precision=FP32)) as reference:
        outputs = compare_outputs(bundle, reference, candidate, network_pictures(bundle, frames))
        detections = _compare_answers(bundle, reference, candidate, frames)
    used = candidate.description
    name = f"{used.name} {used.precision} ({used.library}, {used.device})"
    return ParityReport(name, len(frames.images), outputs, detections, gate or PARITY[bundle.task])


def require_parity(report: ParityReport) -> None:
    """Raises when a report does not pass.

    Raises:
        RunError: with what was found and what is accepted.
    """
    if not report.passed:
        gate = report.gate
        raise RunError(
            f"{report.candidate} is too far from FP32: scores differ by {report.outputs.score:.2g} "
            f"(accepted {gate.score:.2g}), {report.detections.changed} detections changed (accepted {gate.changed}); "
            "use another runtime for this model"
        )


def _compare_answers(
    bundle: ModelBundle, reference: Runtime, candidate: Runtime, frames: SeenFrames
) -> DetectionParity:
    """Differences of what users see: detections on the frames, or the class that each frame is named."""
    if bundle.task is not Task.CLASSIFY:
        return compare_detections(_found(bundle, reference, frames), _found(bundle, candidate, frames))
    pictures = [
        lay_in(image, field.box_xyxy, bundle.input_wh, mask=field.mask)[0]
        for image, field in zip(frames.images, frames.fields, strict=True)
    ]
    # Not closed: the runtimes are the caller's.
    ones, others = (Classifier(bundle, runtime).classify(pictures) for runtime in (reference, candidate))
    changed = sum(one.named != other.named for one, other in zip(ones, others, strict=True))
    differences = [
        abs(share - other.probabilities[name])
        for one, other in zip(ones, others, strict=True)
        for name, share in one.probabilities.items()
    ]
    return DetectionParity(len(pictures), changed, max(differences, default=0.0), 0.0)


def _found(bundle: ModelBundle, runtime: Runtime, frames: SeenFrames) -> list[Found]:
    detector = Detector(bundle, runtime)  # not closed: the runtime is the caller's
    return [
        _table(detector.detect([image], [field])[0]) for image, field in zip(frames.images, frames.fields, strict=True)
    ]


def _table(detections: Sequence[Detection]) -> Found:
    boxes = np.array([detection.box_xyxy for detection in detections], np.float32).reshape(-1, 4)
    return Found(boxes, np.array([detection.score for detection in detections], np.float32))
