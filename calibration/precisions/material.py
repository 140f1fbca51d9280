"""What quicker networks are made on and judged by: frames for detectors, class folders for classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from calibration.precisions.gate import Quality
from calibration.precisions.half_precision import SeenFrames, network_pictures
from calibration.precisions.representative import choose_representative, frames_as_record, middles, picture_features
from engine.arrays import Float32s
from engine.bundle import ModelBundle, Task
from engine.console.output import progress
from engine.errors import InputError
from engine.runtime import Runtime
from engine.windows.preprocess import normalise
from stream.detection.detector import Detector
from stream.lesion.classifier import Classifier
from stream.view.field_of_view import find_field_of_view
from train.data.class_folders import ClassFolders, read_class_folders
from train.data.datasets import Sample, Split, read_sample, refuse_test_only
from train.data.folds import group_folds
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.masks.check import checked_samples
from train.judging.stills import Still, prediction_of, still_of_sample
from train.metrics.curves import auc
from train.metrics.matching import FrameMatch, Ranking, Rule, match_frame, outcome_of

#: A picture of a classifier gives one score where a frame gives hundreds.
_PICTURES_A_FRAME = 8


@dataclass(frozen=True, slots=True)
class Representative:
    """A few pictures that stand for all.

    Attributes:
        pictures: float32 (count, 3, height, width), normalised RGB, as the network takes them.
        record: which ones, in types that JSON knows.
    """

    pictures: Float32s
    record: Mapping[str, Any]


class PrecisionMaterial(Protocol):
    """Pictures to make networks on, and others to judge them by."""

    @property
    def judged(self) -> int:
        """How many pictures `qualities` looks at."""
        ...

    def representative(self, bundle: ModelBundle, count: int) -> Representative:
        """At most `count` pictures for the ranges of values. Raises InputError when there are none."""
        ...

    def compared(self, bundle: ModelBundle, count: int) -> Float32s:
        """Pictures of `count` others, as the network takes them, for the errors of single layers."""
        ...

    def qualities(self, bundle: ModelBundle, runtimes: Mapping[str, Runtime]) -> dict[str, Quality]:
        """Figures of the model by each runtime, picture by picture in turns; the runtimes stay open."""
        ...


def precision_material(
    bundle: ModelBundle, data: Sequence[Path], *, most_judged: int, labels: LabelReading = AS_USUAL
) -> PrecisionMaterial:
    """The material of a model's kind.

    Args:
        bundle: a model.
        data: data sets of frames for a detector, one folder of class folders for a classifier.
        most_judged: most pictures that figures are measured on.
        labels: what those of data sets mean.

    Raises:
        InputError: data that cannot be used, that is kept for testing, or that is of other classes.
    """
    if bundle.task is Task.DETECT:
        return FrameMaterial(checked_samples(data, labels), most_judged=most_judged)
    if len(data) != 1:
        raise InputError(f"a classifier takes one folder with a sub-folder for each class. Received: {len(data)}")
    return ClassMaterial(bundle, read_class_folders(data[0], size=bundle.input_wh[0]), most_judged=most_judged)


class FrameMaterial:
    """Training frames of data sets to make a detector's networks on; their validation frames to judge them by."""

    def __init__(self, samples: Sequence[Sample], *, most_judged: int) -> None:
        """Chooses the frames.

        Args:
            samples: labelled frames with their splits.
            most_judged: frames at most, evenly over all; polyps go first where not all can be had.

        Raises:
            InputError: frames of a test set, or none with a polyp to judge by.
        """
        refuse_test_only(samples)
        self._samples = samples
        self._stills = _spread([sample for sample in samples if sample.split is Split.VALIDATION], most_judged)
        if not any(sample.has_labels for sample in self._stills):
            raise InputError("there is no validation frame with a polyp to judge precisions on; add a data set")

    @property
    def judged(self) -> int:
        """See `PrecisionMaterial`."""
        return len(self._stills)

    def representative(self, bundle: ModelBundle, count: int) -> Representative:
        """See `PrecisionMaterial`."""
        frames = choose_representative(self._samples, count=count)
        seen = SeenFrames([one.image for one in frames], [one.field for one in frames])
        return Representative(network_pictures(bundle, seen, most=count), frames_as_record(frames))

    def compared(self, bundle: ModelBundle, count: int) -> Float32s:
        """See `PrecisionMaterial`; only where something scores can scores differ, so frames with a polyp."""
        chosen = _spread([one for one in self._stills if one.has_labels], count)
        loaded = [read_sample(sample)[0] for sample in chosen]
        fields = [find_field_of_view(image) for image in loaded]
        pairs = [(image, found) for image, found in zip(loaded, fields, strict=True) if found.has_picture]
        if not pairs:
            raise InputError("no validation frame shows a picture; check the data sets")
        seen = SeenFrames([one for one, _ in pairs], [one for _, one in pairs])
        return network_pictures(bundle, seen, most=count)

    def qualities(self, bundle: ModelBundle, runtimes: Mapping[str, Runtime]) -> dict[str, Quality]:
        """See `PrecisionMaterial`."""
        return judge_detectors(bundle, runtimes, [still_of_sample(sample) for sample in self._stills])


class ClassMaterial:
    """Pictures of class folders: one half of their groups to make a classifier's networks on, the other to judge them.

    A classifier that ships has learnt from all of them, so its figures here say nothing of its worth; how far they
    fall does.
    """

    def __init__(self, bundle: ModelBundle, data: ClassFolders, *, most_judged: int) -> None:
        """Divides the pictures.

        Args:
            bundle: a classifier.
            data: pictures of its classes, squares of its input's size.
            most_judged: pictures at most, evenly over all.

        Raises:
            InputError: the folders are of other classes, or all pictures of one class are near-duplicates.
        """
        windows = data.windows
        if sorted(windows.classes) != sorted(bundle.classes):
            raise InputError(
                f"the folders are of the classes {', '.join(windows.classes)}, "
                f"model {bundle.name!r} of {', '.join(bundle.classes)}; give the folder that it was trained on"
            )
        side = group_folds(windows.labels, data.groups, folds=2)
        self._data = data
        self._labels = np.array([bundle.classes.index(name) for name in windows.classes])[windows.labels]
        self._made_on = np.flatnonzero(side == 0)
        self._judged = _evenly_of(np.flatnonzero(side == 1), most_judged)

    @property
    def judged(self) -> int:
        """See `PrecisionMaterial`."""
        return len(self._judged)

    def representative(self, bundle: ModelBundle, count: int) -> Representative:
        """See `PrecisionMaterial`; each class in equal shares."""
        labels = self._labels[self._made_on]
        chosen: list[int] = []
        for label in range(len(bundle.classes)):
            of_class = self._made_on[labels == label]
            features = np.stack([picture_features(self._picture(index)) for index in of_class])
            share = min(len(of_class), count // len(bundle.classes))
            chosen += of_class[middles(features, share)].tolist()
        files = sorted(self._data.files[index] for index in chosen)
        return Representative(self._normalised(bundle, chosen), {"count": len(files), "pictures": files})

    def compared(self, bundle: ModelBundle, count: int) -> Float32s:
        """See `PrecisionMaterial`."""
        return self._normalised(bundle, _evenly_of(self._judged, count * _PICTURES_A_FRAME).tolist())

    def qualities(self, bundle: ModelBundle, runtimes: Mapping[str, Runtime]) -> dict[str, Quality]:
        """See `PrecisionMaterial`."""
        labels = self._labels[self._judged]
        classifiers = {name: Classifier(bundle, runtime) for name, runtime in runtimes.items()}
        shares: dict[str, list[list[float]]] = {name: [] for name in runtimes}
        right = dict.fromkeys(runtimes, 0)
        for index, label in zip(self._judged, labels, strict=True):
            for name, classifier in classifiers.items():  # not closed: the runtimes are the caller's
                answer = classifier.classify([self._picture(index)])[0]
                shares[name].append(list(answer.probabilities.values()))
                right[name] += answer.named == bundle.classes[label]
        return {
            name: {"accuracy": right[name] / len(labels), "auc": _mean_auc(np.array(rows, np.float32), labels)}
            for name, rows in shares.items()
        }

    def _picture(self, index: int) -> npt.NDArray[np.uint8]:
        """BGR uint8 (side, side, 3)."""
        return np.ascontiguousarray(self._data.windows.pictures[index][:, :, ::-1])

    def _normalised(self, bundle: ModelBundle, indices: Sequence[int]) -> Float32s:
        return normalise([self._picture(index) for index in indices], bundle.mean, bundle.std)


def judge_detectors(
    bundle: ModelBundle, runtimes: Mapping[str, Runtime], stills: Sequence[Still]
) -> dict[str, Quality]:
    """Figures of a detector by each runtime, at its threshold: `centroid_f1`, `ap50`, `quiet_share`.

    Args:
        bundle: a detector.
        runtimes: by precision, opened for it; they stay open.
        stills: labelled frames, at least one.

    Raises:
        InputError: a picture that cannot be read.
        RunError: a runtime failed.
    """
    detectors = {name: Detector(bundle, runtime, threshold=0.0) for name, runtime in runtimes.items()}
    matches: dict[str, list[FrameMatch]] = {name: [] for name in detectors}
    for still in progress(stills, what="judging precisions", unit="frame", leave=False):
        image, truth = still.load()
        field = find_field_of_view(image)
        for name, detector in detectors.items():  # not closed: the runtimes are the caller's
            found = detector.detect([image], [field])[0]
            matches[name].append(match_frame(truth, prediction_of(found)))
    return {name: _quality(rows, bundle.threshold) for name, rows in matches.items()}


def _quality(matches: Sequence[FrameMatch], threshold: float) -> Quality:
    outcome = outcome_of(matches, Rule.CENTROID)
    polyps, quiet = len(outcome.polyp_scores) > 0, not outcome.frame_has_polyp.all()
    return {
        "centroid_f1": outcome.counts(threshold).f_score() if polyps else None,
        "ap50": Ranking.of(matches, least_iou=0.5).average_precision() if polyps else None,
        "quiet_share": outcome.quiet_share(threshold) if quiet else None,
    }


def _mean_auc(shares: Float32s, labels: npt.NDArray[np.int64]) -> float:
    """Area under the ROC curve: with two classes of the first, else the mean of each against the others."""
    classes = range(1 if shares.shape[1] == 2 else shares.shape[1])
    return float(np.mean([auc(shares[:, label], labels == label) for label in classes]))


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Up to `count` samples, evenly over all, those with a polyp first where not all can be had."""
    ordered = sorted(samples, key=lambda one: not one.has_labels)
    positives = sum(one.has_labels for one in samples)
    if len(ordered) <= count:
        return ordered
    wanted = min(positives, max(count * 3 // 4, count - (len(samples) - positives)))
    return [*_evenly(ordered[:positives], wanted), *_evenly(ordered[positives:], count - wanted)]


def _evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    return [samples[place * len(samples) // count] for place in range(min(count, len(samples)))]


def _evenly_of(indices: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    taken = min(count, len(indices))
    return indices[np.arange(taken) * len(indices) // max(taken, 1)]
