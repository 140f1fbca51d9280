"""What the dense detector learns from and is judged by: frames as they are, varied ones, and rendered ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.console.output import progress
from engine.errors import InputError
from train.augmentation.synthetic import synthetic_frames
from train.augmentation.transplant import erased_frames, transplanted_frames
from train.data.cache import CachedFrame, cache_frames, file_facts, kept_frames
from train.data.datasets import Sample, Split, refuse_test_only, without_near_duplicates
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.masks.check import checked_samples
from train.dense.batches import FramePools

log = logging.getLogger(__name__)

#: Frames without polyp that get one, as a share of those painted over: most hosts should look like frames with polyps.
_NEGATIVE_HOSTS = 1 / 3
#: Raised when frames are made otherwise than before, so that kept ones are made anew.
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Material:
    """Frames to draw batches from, and frames to judge by."""

    pools: FramePools
    validation: list[CachedFrame]


def gather(
    data: Iterable[Path],
    cache: Path | None,
    *,
    synthetic: int,
    erased: bool,
    transplanted: int,
    seed: int = 1,
    labels: LabelReading = AS_USUAL,
) -> Material:
    """Reads the data sets and makes what is mixed in; all of it is kept for the next time.

    Args:
        data: folders of data sets.
        cache: folder in which frames are kept; None to keep none.
        synthetic: number of rendered frames.
        erased: frames with the polyp painted over are negatives too.
        transplanted: number of frames that are given another frame's polyp, which are positives too.
        seed: of what is painted over and transplanted.
        labels: what those of the data sets mean.

    Raises:
        InputError: data that cannot be used, that is kept for testing, or that has no polyp to learn or no validation.
        OutputError: the folder of the cache cannot be made.
    """
    training, validation = training_samples(data, labels)
    frames = cache_frames(training, cache)
    positives = [frame for frame in frames if frame.positive]
    outlined = [frame for frame in positives if frame.outlined]
    negatives = [frame for frame in frames if not frame.positive]
    if not positives:
        raise InputError("the data sets have no training frame with a polyp; check their masks")
    if len(outlined) < len(positives):
        log.warning(
            "%d of %d training frames with polyps have boxes only: nothing is learnt from them about masks, and none "
            "of their polyps is painted over or transplanted",
            *(len(positives) - len(outlined), len(positives)),
        )
    key = [_VERSION, seed, file_facts(training)]
    painted_over: list[CachedFrame] = []
    if erased:
        made = _shown(erased_frames(outlined, seed=seed), len(outlined), "painting polyps over")
        painted_over = kept_frames("erased", key, made, cache)
    hosts = [*painted_over, *_some(negatives, painted_over, seed)]
    transplants: list[CachedFrame] = []
    if transplanted and hosts and outlined:
        made = _shown(
            transplanted_frames(hosts, outlined, transplanted, seed=seed), transplanted, "transplanting polyps"
        )
        transplants = kept_frames("transplanted", [*key, erased, transplanted], made, cache)
    if len(transplants) < transplanted:
        log.warning(
            "%d frames of %d asked for got another frame's polyp: they take frames without polyp, or those whose polyp "
            "is painted over (erased)",
            *(len(transplants), transplanted),
        )
    made = _shown(synthetic_frames(synthetic, seed=10_000), synthetic, "rendering frames")
    rendered = kept_frames("synthetic", [_VERSION, synthetic], made, cache)
    log.info(
        "%d frames with polyps, %d without; %d painted over, %d transplanted, %d rendered",
        *map(len, (positives, negatives, painted_over, transplants, rendered)),
    )
    pools = FramePools([*positives, *transplants], [*negatives, *painted_over], rendered)
    return Material(pools, cache_frames(validation, cache))


def training_samples(data: Iterable[Path], labels: LabelReading = AS_USUAL) -> tuple[list[Sample], list[Sample]]:
    """Samples to learn from, and to validate on: none of these looks nearly like one that is learned from.

    Raises:
        InputError: data that cannot be used, that is kept for testing, or that has nothing to validate on.
    """
    samples = checked_samples(data, labels)
    training = [sample for sample in samples if sample.split is Split.TRAIN]
    validation = [sample for sample in samples if sample.split is Split.VALIDATION]
    refuse_test_only(samples)
    if not validation:
        raise InputError("the data sets have no validation frames; add a data set with more sequences")
    unknown = without_near_duplicates(validation, training)
    if not unknown:
        raise InputError("all validation frames look nearly like training frames; divide the data by sequence")
    if len(unknown) < len(validation):
        log.info(
            "%d validation frames are near-duplicates of training frames: left out", len(validation) - len(unknown)
        )
    return training, unknown


def _some(negatives: Sequence[CachedFrame], painted_over: Sequence[CachedFrame], seed: int) -> list[CachedFrame]:
    count = min(len(negatives), round(len(painted_over) * _NEGATIVE_HOSTS) if painted_over else len(negatives))
    picked = np.random.default_rng(seed).choice(len(negatives), count, replace=False)
    return [negatives[index] for index in picked]


def _shown(frames: Iterable[CachedFrame], total: int, what: str) -> Iterator[CachedFrame]:
    """With a progress bar, from the first frame on: none where frames were kept."""
    yield from progress(frames, total=total, what=what, unit="frame", always=True)
