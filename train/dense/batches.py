"""Endless training batches of the dense detector, mixed from frames with and without polyps."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.errors import InputError
from engine.windows.preprocess import normalise
from train.augmentation.augment import Example, Variation, example, in_colours_of, mosaic, normal_crop
from train.augmentation.transplant import ERASED, TRANSPLANTED
from train.data.cache import CachedFrame

T = TypeVar("T")

#: Of the last epochs: pictures are nearly what the network will see.
CLOSING_VARIATION = Variation(zooms=(0.7, 1.4), degraded=0.3)

#: What rendered frames are called among those that no data set holds.
RENDERED = "rendered"

_POSITIVES, _NEGATIVES, _SYNTHETIC = range(3)  # kinds of frames, in the order of `FramePools`


class Lesson(NamedTuple):
    """What a teacher answers to a batch: scores (n, positions) after the sigmoid, distances (n, positions, 4)."""

    scores: Tensor
    distances: Tensor


class Batch(NamedTuple):
    """Tensors of one step: pictures (n, 3, height, width), boxes (n, most, 4), present (n, most), masks at stride 8.

    `outlined` (n) is False for pictures whose masks show roughly where polyps are. With a teacher also its lesson.
    """

    pictures: Tensor
    boxes: Tensor
    present: Tensor
    masks: Tensor
    outlined: Tensor
    lesson: Lesson | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        pictures, boxes, present, masks, outlined = (part.to(device) for part in self[:5])
        lesson = None if self.lesson is None else Lesson(*(part.to(device) for part in self.lesson))
        return Batch(pictures, boxes, present, masks, outlined, lesson)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Share of each kind of picture in a batch; the rest are frames with polyps.

    Attributes:
        normal_crops: mucosa beside the polyps of frames that have them.
        negatives: whole frames without polyp.
        synthetic: rendered frames, with and without polyps.
        mosaics: four frames in one picture, most of them with polyps.

    Raises:
        InputError: a share is negative, or they leave no room for frames with polyps.
    """

    normal_crops: float = 0.14
    negatives: float = 0.20
    synthetic: float = 0.06
    mosaics: float = 0.12

    def __post_init__(self) -> None:
        shares = (self.normal_crops, self.negatives, self.synthetic, self.mosaics)
        if min(shares) < 0 or sum(shares) >= 1:
            raise InputError(f"shares of a mixture must be at least 0 and together less than 1. Received: {shares}")


@dataclass(frozen=True)
class FramePools:
    """Frames to draw from, by kind; each data set within a pool is drawn with its weight, not its size."""

    positives: Sequence[CachedFrame]
    negatives: Sequence[CachedFrame]
    synthetic: Sequence[CachedFrame]

    def mixed_in(self) -> dict[str, int]:
        """Numbers of the frames that no data set holds, by how they were made."""
        return {
            RENDERED: len(self.synthetic),
            TRANSPLANTED: sum(frame.dataset.endswith(f"/{TRANSPLANTED}") for frame in self.positives),
            ERASED: sum(frame.dataset.endswith(f"/{ERASED}") for frame in self.negatives),
        }

    @cached_property
    def digest(self) -> str:
        """What tells these frames, their masks and their order from others, wherever they were read from.

        Computed once: it reads gigabytes, and the trials of a search share their frames.
        """
        digest = hashlib.sha256()
        for pool in (self.positives, self.negatives, self.synthetic):
            digest.update(len(pool).to_bytes(8, "big"))
            for frame in pool:
                digest.update(repr((frame.dataset, frame.group, frame.mask.shape)).encode())
                digest.update(frame.image.tobytes())
                digest.update(frame.mask.tobytes())
                if frame.boxes_xyxy is not None:
                    digest.update(frame.boxes_xyxy.tobytes())
        return digest.hexdigest()


class BatchStream:
    """Draws the batches of epochs `first_epoch` to `epochs`; an epoch's batches depend on seed and epoch alone.

    `colour_exchange` is the share of filmed frames that get the colours of another filmed frame. In the last
    `closing_epochs` pictures are varied as `CLOSING_VARIATION` says (`sized` and `dirty` stay), without mosaics.
    """

    def __init__(
        self,
        pools: FramePools,
        *,
        mixture: Mixture,
        input_wh: tuple[int, int],
        batch_size: int,
        steps_per_epoch: int,
        first_epoch: int,
        epochs: int,
        seed: int,
        mean: float,
        std: float,
        variation: Variation,
        closing_epochs: int = 0,
        colour_exchange: float = 0.0,
    ) -> None:
        self.pools, self.mixture = pools, mixture
        self.input_wh, self.batch_size, self.seed = input_wh, batch_size, seed
        self.steps_per_epoch, self.first_epoch, self.epochs = steps_per_epoch, first_epoch, epochs
        self.mean, self.std = mean, std
        self.variation, self.closing_epochs, self.colour_exchange = variation, closing_epochs, colour_exchange
        self._pools = (pools.positives, pools.negatives, pools.synthetic)
        self._shares = [_even_shares(pool) for pool in self._pools]

    def __iter__(self) -> Iterator[Batch]:
        for epoch in range(self.first_epoch, self.epochs):
            rng = np.random.default_rng([self.seed, epoch])
            mixture, variation = self.mixture, self.variation
            if epoch >= self.epochs - self.closing_epochs:
                mixture = replace(mixture, mosaics=0.0)
                variation = replace(CLOSING_VARIATION, sized=variation.sized, dirty=variation.dirty)
            for _ in range(self.steps_per_epoch):
                yield self._collate([self._draw(rng, mixture, variation) for _ in range(self.batch_size)])

    def _draw(self, rng: np.random.Generator, mixture: Mixture, variation: Variation) -> Example:
        draw, pools = rng.random(), self.pools
        if draw < mixture.normal_crops:
            for _ in range(8):  # a frame that is nearly all polyp leaves nothing beside it
                crop = normal_crop(self._filmed(_POSITIVES, rng), self.input_wh, rng, variation)
                if crop is not None:
                    return crop
        draw -= mixture.normal_crops
        if 0 <= draw < mixture.negatives and pools.negatives:
            frame = self._filmed(_NEGATIVES, rng)
            crop = normal_crop(frame, self.input_wh, rng, variation) if rng.random() < 0.3 else None
            return crop or example(frame, self.input_wh, rng, variation)
        draw -= mixture.negatives
        if 0 <= draw < mixture.synthetic and pools.synthetic:
            return example(self._pick(_SYNTHETIC, rng), self.input_wh, rng, variation)
        draw -= mixture.synthetic
        if 0 <= draw < mixture.mosaics:
            kinds = [_NEGATIVES if pools.negatives and rng.random() < 0.2 else _POSITIVES for _ in range(4)]
            return mosaic([self._filmed(kind, rng) for kind in kinds], self.input_wh, rng, variation)
        return example(self._filmed(_POSITIVES, rng), self.input_wh, rng, variation)

    def _filmed(self, kind: int, rng: np.random.Generator) -> CachedFrame:
        """A frame of a pool, now and then in the colours of another."""
        frame = self._pick(kind, rng)
        if rng.random() >= self.colour_exchange:
            return frame
        other = self._pick(_NEGATIVES if self.pools.negatives and rng.random() < 0.2 else _POSITIVES, rng)
        return in_colours_of(frame, other, strength=rng.uniform(0.4, 1.0))

    def _pick(self, kind: int, rng: np.random.Generator) -> CachedFrame:
        return self._pools[kind][int(np.searchsorted(self._shares[kind], rng.random(), side="right"))]

    def _collate(self, examples: Sequence[Example]) -> Batch:
        most = max(1, *(len(one.boxes_xyxy) for one in examples))
        boxes = np.zeros((len(examples), most, 4), np.float32)
        present = np.zeros((len(examples), most), np.bool_)
        for row, one in enumerate(examples):
            boxes[row, : len(one.boxes_xyxy)] = one.boxes_xyxy
            present[row, : len(one.boxes_xyxy)] = True
        pictures = normalise([one.image for one in examples], self.mean, self.std)
        width, height = self.input_wh
        coarse = [
            cv2.resize((one.mask > 0).astype(np.float32), (width // 8, height // 8), interpolation=cv2.INTER_AREA)
            for one in examples
        ]
        drawn, where, which, masks = map(torch.from_numpy, (pictures, boxes, present, np.stack(coarse)))
        return Batch(drawn, where, which, masks, torch.tensor([one.outlined for one in examples]))


def _even_shares(pool: Sequence[CachedFrame]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Cumulative chance of each frame: data sets count by the square root of their size, so that small ones matter.

    Within a data set groups do, by the same rule: neighbours that show nearly the same teach little.
    """
    sets = Counter(frame.dataset for frame in pool)
    groups = Counter((frame.dataset, frame.group) for frame in pool)
    whole: dict[str, float] = defaultdict(float)
    for (name, _), size in groups.items():
        whole[name] += size**0.5
    weights = np.array(
        [
            sets[frame.dataset] ** 0.5 / whole[frame.dataset] * groups[frame.dataset, frame.group] ** -0.5
            for frame in pool
        ]
    )
    cumulative = np.cumsum(weights / max(weights.sum(), 1e-12))
    if cumulative.size:
        cumulative[-1] = 1.0
    return cumulative


def prefetched(batches: Iterable[T], *, ahead: int = 4) -> Generator[T, None, None]:
    """Draws batches in a thread beside the training, `ahead` at most.

    A thread and no process: forking after OpenCV has started its threads hangs, and OpenCV works without the
    interpreter's lock anyway. An error while drawing is raised here.
    """
    waiting: queue.Queue[T | BaseException | None] = queue.Queue(ahead)
    ended = threading.Event()

    def draw() -> None:
        last: BaseException | None = None
        try:
            for batch in batches:
                waiting.put(batch)
                if ended.is_set():
                    return
        except BaseException as error:
            last = error
        waiting.put(last)

    thread = threading.Thread(target=draw, name="batches", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ended.set()
        while thread.is_alive():  # it may wait for room
            with contextlib.suppress(queue.Empty):
                waiting.get(timeout=0.05)
