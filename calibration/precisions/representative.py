"""A few training frames that stand for all: spread over data sets, colours and brightness."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.bundle import sha256_of
from engine.checks import require_within
from engine.console.output import progress
from engine.errors import InputError
from stream.frame import FieldOfView
from stream.view.field_of_view import find_field_of_view
from train.data.datasets import Sample, Split, read_sample, refuse_test_only

#: Most frames that are chosen, and most of each data set that are looked at to choose from.
MOST_FRAMES = 512
_MOST_LOOKED_AT = 240


@dataclass(frozen=True, slots=True)
class RepresentativeFrame:
    """A frame that was chosen.

    Attributes:
        sample: which one.
        image: BGR uint8 (height, width, 3).
        field: its field of view, with a picture.
    """

    sample: Sample
    image: Image
    field: FieldOfView


def choose_representative(samples: Sequence[Sample], *, count: int = 256, seed: int = 0) -> list[RepresentativeFrame]:
    """Chooses training frames that cover what there is, each data set in equal shares.

    Of each data set, frames are grouped by brightness, contrast and colour (k-means), and of each group the one in its
    middle is taken; the rare kinds are so as likely to be in as the common ones.

    Args:
        samples: labelled frames; only those of the training split are looked at.
        count: frames to choose, 1 to 512.
        seed: of the grouping.

    Raises:
        InputError: a count out of range, no training frames, or a data set that is kept for testing.
    """
    require_within("representative frames", count, 1, MOST_FRAMES, wanted=f"1 to {MOST_FRAMES}")
    refuse_test_only(samples)
    pools: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.split is Split.TRAIN:
            pools[sample.dataset].append(sample)
    if not pools:
        raise InputError("there is no training frame to choose representative frames from; add a data set")
    chosen: list[RepresentativeFrame] = []
    names = sorted(pools, key=lambda name: len(pools[name]))  # what a small set leaves over goes to the larger ones
    for place, name in enumerate(names):
        share = (count - len(chosen)) // (len(names) - place)
        chosen += _of_one_set(pools[name], share, seed)
    if not chosen:
        raise InputError("no training frame shows a picture; check the data sets")
    return chosen


def frames_as_record(frames: Sequence[RepresentativeFrame]) -> dict[str, Any]:
    """The list of chosen frames in types that JSON knows: names by data set, and a fingerprint of their files."""
    by_set: dict[str, list[str]] = defaultdict(list)
    digest = hashlib.sha256()
    for frame in frames:
        by_set[frame.sample.dataset].append(frame.sample.image.name)
        digest.update(sha256_of(frame.sample.image).encode())
    return {"count": len(frames), "sha256": digest.hexdigest(), "frames": {key: sorted(by_set[key]) for key in by_set}}


def _of_one_set(samples: Sequence[Sample], count: int, seed: int) -> list[RepresentativeFrame]:
    looked_at = _spread(samples, max(_MOST_LOOKED_AT, count))
    frames: list[RepresentativeFrame] = []
    features: list[npt.NDArray[np.float32]] = []
    for sample in progress(looked_at, what=f"looking at {samples[0].dataset}", unit="frame", leave=False):
        image, _ = read_sample(sample)
        field = find_field_of_view(image)
        if field.has_picture:
            frames.append(RepresentativeFrame(sample, image, field))
            x1, y1, x2, y2 = field.box_xyxy
            features.append(picture_features(image[y1:y2, x1:x2]))
    if len(frames) <= count:
        return frames
    return [frames[index] for index in middles(np.stack(features), count, seed=seed)]


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Up to `count` samples, by the hash of their names: the same on every machine, and over all sequences."""
    order = sorted(samples, key=lambda one: hashlib.sha256(Path(one.image).name.encode()).digest())
    return order[:count]


def picture_features(image: Image) -> npt.NDArray[np.float32]:
    """Mean and spread of lightness and of the two colour axes (CIE L*a*b*), and dark and bright tails: float32 (8,).

    Args:
        image: BGR uint8 (height, width, 3), the field of view only.
    """
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float32)
    tails = np.percentile(lab[:, 0], (5, 95))
    return np.concatenate([lab.mean(0), lab.std(0), tails]).astype(np.float32)


def middles(features: npt.NDArray[np.float32], count: int, *, seed: int = 0) -> list[int]:
    """Indices of the rows nearest to the centres of `count` groups (k-means), so that rare kinds are in; sorted.

    Args:
        features: (rows, features), at least `count` rows.
        count: of groups; 0 gives none.
        seed: of the grouping.
    """
    if count == 0:
        return []
    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    cv2.setRNGSeed(seed)
    stop = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 30, 1e-3)
    start = np.zeros((len(scaled), 1), np.int32)
    _, labels, centres = cv2.kmeans(scaled, count, start, stop, 1, cv2.KMEANS_PP_CENTERS)
    found = []
    for group in range(count):
        members = np.flatnonzero(labels.reshape(-1) == group)
        if len(members):
            distances = np.square(scaled[members] - centres[group]).sum(1)
            found.append(int(members[distances.argmin()]))
    return sorted(found)
