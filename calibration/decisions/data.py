"""Held-out frames and clips to calibrate on; frames that the model was trained on, or that are kept for testing, are
refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.bundle import ModelBundle, sha256_of
from engine.errors import InputError
from engine.files import write_text
from engine.reading.bounded import DATA_BYTES, MALFORMED, read_json_bounded, reason_of
from engine.vouching.manifest import seal
from train.data.datasets import TEST_ONLY, Sample, Split, is_dataset, kept_for_testing, read_dataset
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.video_truth import ClipTruth
from train.evaluation.data import read_judging_sets
from train.judging.stills import Still

#: File of a bundle that lists what its network was trained on.
TRAINING_FRAMES = "training_frames.json"
#: Hexadecimal digits of a sha256 that are kept: enough that no two frames share them by chance.
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """What is calibrated on.

    Attributes:
        stills: labelled frames, at least one.
        clips: with their truth; may be none.
        notes: what the reader of figures has to know.
        masks: what the masks of each data set hold, by its name.
    """

    stills: tuple[Still, ...]
    clips: tuple[ClipTruth, ...]
    notes: tuple[str, ...] = ()
    masks: Mapping[str, Any] = field(default_factory=dict)


def read_calibration_data(
    bundle: ModelBundle, paths: Sequence[Path], *, split: str, labels: LabelReading = AS_USUAL
) -> CalibrationData:
    """Opens data sets to calibrate a model on.

    Args:
        bundle: the model.
        paths: folders of frames, COCO files, clips, or lists of clips, as `evaluate` takes them.
        split: validation, test or all.
        labels: what they mean.

    Raises:
        InputError: no frames, a set that is kept for testing, or frames that the model was trained on.
    """
    for path in paths:
        if path.resolve().name in TEST_ONLY:
            raise InputError(f"data set {path.name!r} is kept for testing; leave it out of training and calibration")
    sets = read_judging_sets(paths, split=split, labels=labels)
    stills = tuple(still for one in sets for still in one.stills)
    if not stills:
        raise InputError("calibrating takes labelled frames, also beside clips; give a folder or a COCO file as well")
    for path in paths:
        if path.is_dir() and split not in (Split.VALIDATION.value, Split.TEST.value):
            _refuse_training_split(bundle, path)
        if path.is_dir() and split != Split.VALIDATION.value:
            _refuse_test_groups(path)
    _refuse_training_frames(bundle, stills)
    clips = tuple(clip for one in sets for clip in one.clips)
    notes = tuple(f"{one.name}: {note}" for one in sets if one.masks for note in one.masks.notes())
    masks = {one.name: one.masks.as_json() for one in sets if one.masks is not None}
    return CalibrationData(stills, clips, notes, masks)


def write_training_frames(folder: Path, samples: Iterable[Sample]) -> None:
    """Lists in a bundle what its network was trained on: the beginning of the sha256 of each picture's file."""
    digests = sorted({_digest(sample.image) for sample in samples})
    text = json.dumps({"sha256_digits": _DIGITS, "frames": digests}, separators=(",", ":")) + "\n"
    write_text(folder / TRAINING_FRAMES, text)
    seal(folder)


def _refuse_training_split(bundle: ModelBundle, folder: Path) -> None:
    """By the recorded data sets: the split of a set is the same on every machine."""
    training = bundle.record.get("training")
    data = training.get("data") if isinstance(training, Mapping) else None
    name = folder.resolve().name
    if not isinstance(data, Mapping) or name not in data:
        return
    trained = [sample for sample in read_dataset(folder) if sample.split is Split.TRAIN]
    if trained:
        raise InputError(
            f"{len(trained)} frames of {str(folder)!r} trained the model {bundle.name!r}, the first is "
            f"{trained[0].image.name!r}; calibrate with --split validation"
        )


def _refuse_test_groups(folder: Path) -> None:
    kept = list(filter(kept_for_testing, read_dataset(folder))) if is_dataset(folder) else []
    if kept:
        raise InputError(
            f"{len(kept)} frames of {str(folder)!r} are kept for testing, the first is {kept[0].image.name!r}; "
            "calibrate with --split validation"
        )


def _refuse_training_frames(bundle: ModelBundle, stills: Sequence[Still]) -> None:
    """By the files themselves, whatever they are called and wherever they lie."""
    path = bundle.folder / TRAINING_FRAMES
    if not path.is_file():
        return
    try:
        trained = set(read_json_bounded(path, most_bytes=DATA_BYTES)["frames"])
    except (OSError, *MALFORMED) as error:
        raise InputError(f"{str(path)!r} cannot be read ({reason_of(error)}); install the model again") from error
    known = [still for still in stills if _digest(still.path) in trained]
    if known:
        raise InputError(
            f"{len(known)} of {len(stills)} frames trained the model {bundle.name!r}, the first is "
            f"{str(known[0].path)!r}; calibrate on frames that it has not seen"
        )


def _digest(path: Path) -> str:
    return sha256_of(path)[:_DIGITS]
