"""A finished model as teacher: its answers to the very pictures of a batch are learnt beside the labels.

A mean of several detectors knows more of unseen hospitals than one of them, and costs as much as all of them. What it
answers, in degrees and between polyps, teaches a single detector more than labels alone (Hinton et al. 2015); teacher
and learner see the same varied picture (Beyer et al. 2022, "a good teacher is patient and consistent").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from engine.bundle import ModelBundle, load_bundle
from engine.errors import InputError, RuntimeUnavailableError
from engine.runtime import Runtime, RuntimeSettings
from engine.runtimes.opening import open_runtime
from train.dense.batches import Batch, Lesson
from train.dense.loss import LossWeights, generalised_iou, quality_focal_loss
from train.networks.dense import STRIDES
from train.networks.efficientnet_lite import EfficientNetLite

#: Score of the teacher under which its box is not learnt.
_SURE = 0.05


class Teacher:
    """A dense detector that answers batches as they are drawn, in a runtime of its own.

    Args:
        model: shipped name, or folder of a bundle; also one that `train --join` made.
        input_wh: width and height of the learner's input in pixels.

    Raises:
        InputError: as `teacher_bundle`.
        RuntimeUnavailableError: nothing on this machine runs it.
    """

    def __init__(self, model: Path, *, input_wh: tuple[int, int]) -> None:
        self._runtime = _opened(teacher_bundle(model, input_wh))

    def taught(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches with the teacher's lesson. Raises RunError when its runtime fails."""
        for batch in batches:
            answers = self._runtime.run(batch.pictures.numpy())
            scores = torch.from_numpy(answers["logits"]).sigmoid()
            yield batch._replace(lesson=Lesson(scores, torch.from_numpy(answers["distances"])))

    def close(self) -> None:
        """Releases the runtime."""
        self._runtime.close()


def teacher_bundle(model: Path, input_wh: tuple[int, int]) -> ModelBundle:
    """The bundle of a teacher for detectors with an input of that width and height.

    Raises:
        InputError: no such model, or one that takes or gives something else than the learner.
    """
    bundle = load_bundle(str(model))
    if bundle.grid is None or bundle.grid.strides != STRIDES:
        raise InputError(f"{bundle.name!r} cannot teach a dense detector: it is none with windows at strides {STRIDES}")
    theirs = (*bundle.input_wh, bundle.mean, bundle.std)
    ours = (*input_wh, EfficientNetLite.mean, EfficientNetLite.std)
    if theirs != ours:
        told = ["{}x{} pixels, less {:g}, by {:g}".format(*one) for one in (theirs, ours)]
        remedy = "polypstream train --join FILE --input WxH makes one of the same input"
        raise InputError(f"teacher {bundle.name!r} takes {told[0]}; the detector to be trained {told[1]}: {remedy}")
    return bundle


def imitation_loss(logits: Tensor, distances: Tensor, lesson: Lesson) -> Tensor:
    """How far a detector is from its teacher: losses of scores and boxes as the labels have them, by the same weights.

    Args:
        logits: (batch, positions), by which windows are judged.
        distances: (batch, positions, 4), in strides.
        lesson: what the teacher gives there.
    """
    loss = quality_focal_loss(logits, lesson.scores)
    sure = lesson.scores > _SURE
    if sure.any():
        overlap = generalised_iou(_around(distances[sure]), _around(lesson.distances[sure]))
        loss = loss + LossWeights().box * ((1 - overlap) * lesson.scores[sure]).sum()
    return loss / lesson.scores.sum().clamp(min=1.0)


def _around(distances: Tensor) -> Tensor:
    """Boxes `xyxy` with the position as origin; their overlap needs no other."""
    return torch.cat([-distances[..., :2], distances[..., 2:]], -1)


def _opened(bundle: ModelBundle) -> Runtime:
    """In bfloat16 where a processor has it, as the training itself."""
    if torch.cuda.is_available():
        return open_runtime(bundle)
    try:
        return open_runtime(bundle, settings=RuntimeSettings(precision="bf16"))
    except RuntimeUnavailableError:
        return open_runtime(bundle)
