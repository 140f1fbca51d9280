"""Folders of windows, one sub-folder a class, read into memory and drawn in batches."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.arrays import ImageStack, Labels
from engine.errors import InputError
from engine.reading.bounded import reason_of
from engine.reading.tables import read_table
from stream.sources.picture_files import pictures_in
from stream.sources.picture_reader import read_picture
from train.data.datasets import Split
from train.data.window_files import MANIFEST, NON_POLYP


@dataclass(frozen=True)
class WindowSet:
    """Labelled windows of one side of a split.

    Attributes:
        pictures: RGB uint8 (windows, side, side, 3).
        labels: int64 (windows,), index into `classes`.
        classes: names, the background `non_polyp` last.
        leaks: whether near-duplicates stand on two sides of the split; None when no manifest tells.
    """

    pictures: ImageStack
    labels: Labels
    classes: tuple[str, ...]
    leaks: bool | None

    def counts(self) -> dict[str, int]:
        """Number of windows of each class."""
        return {name: int((self.labels == number).sum()) for number, name in enumerate(self.classes)}

    def digest(self) -> str:
        """What tells these pictures, their labels and their order from others."""
        digest = hashlib.sha256(repr((self.classes, self.labels.tolist(), self.pictures.shape)).encode())
        for picture in self.pictures:
            digest.update(picture.tobytes())
        return digest.hexdigest()


def read_windows(folder: Path, split: Split, *, size: int) -> WindowSet:
    """Reads the windows of one side.

    Args:
        folder: holds `train`, `validation` and perhaps `test`, each with one sub-folder a class.
        split: side to read.
        size: side of the pictures in pixels; windows of another size are resized.

    Raises:
        InputError: the folder is missing, has fewer than two classes, or a class without any picture.
    """
    side = folder / split.value
    if not side.is_dir():
        raise InputError(f"{str(side)!r} does not exist; make the windows by `polypstream prepare patches`")
    classes = _classes(folder / Split.TRAIN.value)
    found = {path.name for path in side.iterdir() if path.is_dir()}
    if found - set(classes):
        raise InputError(f"class {sorted(found - set(classes))[0]!r} of {str(side)!r} is not among those of training")
    pictures: list[ImageStack] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        files = pictures_in(side / name) if name in found else []
        if not files:
            raise InputError(f"class folder {str(side / name)!r} holds no picture; add some or leave the class out")
        for path in files:
            pictures.append(_sized(read_picture(path), size))
            labels.append(number)
    return WindowSet(np.stack(pictures), np.array(labels, np.int64), classes, _leaks(folder))


def batches(
    windows: WindowSet, *, batch_size: int, epochs: Sequence[int], seed: int, vary: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches: every window once an epoch, in an order that depends on seed and epoch alone.

    Args:
        windows: to draw from.
        batch_size: windows a batch; the last one of an epoch may hold fewer, but never a single one.
        epochs: numbers of the epochs.
        seed: of order and variation.
        vary: flip, and change gain and white balance at random.

    Yields:
        Pictures float32 (batch, 3, side, side), 0 to 1, and labels (batch,).
    """
    for epoch in epochs:
        rng = np.random.default_rng([seed, epoch])
        for picked in epoch_order(len(windows.labels), batch_size, rng):
            pictures = windows.pictures[picked]
            if vary:
                pictures = np.stack([_varied(picture, rng) for picture in pictures])
            yield as_input(pictures), torch.from_numpy(windows.labels[picked])


def with_views(windows: WindowSet, views: int, *, seed: int) -> WindowSet:
    """A set in which every window stands several times: as it is, then flipped, shaded and zoomed into at random.

    What is frozen sees each view once only, so that a classifier on frozen blocks learns from variation too.

    Args:
        windows: to vary.
        views: how often each stands in the result, at least 1.
        seed: of the variation of a window; it depends on the window's content, not on its place.
    """
    sets = [windows.pictures]
    for view in range(1, views):
        rngs = (np.random.default_rng([seed, view, zlib.crc32(picture.tobytes())]) for picture in windows.pictures)
        varied = [_zoomed(_varied(picture, rng), rng) for picture, rng in zip(windows.pictures, rngs, strict=True)]
        sets.append(np.stack(varied))
    return replace(windows, pictures=np.concatenate(sets), labels=np.tile(windows.labels, views))


def epoch_order(count: int, batch_size: int, rng: np.random.Generator) -> list[npt.NDArray[np.intp]]:
    """Positions of the windows of each batch; a last batch of one window is left out (it has no statistics)."""
    order = rng.permutation(count)
    parts = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    return parts if len(parts[-1]) > 1 or len(parts) == 1 else parts[:-1]


def as_input(pictures: ImageStack) -> Tensor:
    """RGB uint8 (batch, side, side, 3) to float32 (batch, 3, side, side), 0 to 1, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def _varied(picture: ImageStack, rng: np.random.Generator) -> ImageStack:
    flips = rng.integers(2, size=3)
    if flips[0]:
        picture = picture[::-1]
    if flips[1]:
        picture = picture[:, ::-1]
    if flips[2]:
        picture = picture.transpose(1, 0, 2)
    gains = rng.uniform(0.85, 1.15) * np.exp(rng.uniform(-0.06, 0.06, 3))
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(picture), table.reshape(1, 256, 3)), np.uint8)


def _zoomed(picture: ImageStack, rng: np.random.Generator) -> ImageStack:
    """A square of 80 to 100 % of the picture's side, anywhere in it, at the picture's size."""
    side = len(picture)
    inner = round(side * rng.uniform(0.8, 1.0))
    x, y = rng.integers(0, side - inner + 1, 2).tolist()
    return np.asarray(
        cv2.resize(picture[y : y + inner, x : x + inner], (side, side), interpolation=cv2.INTER_LINEAR), np.uint8
    )


def _classes(folder: Path) -> tuple[str, ...]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if len(names) < 2:
        raise InputError(f"{str(folder)!r} needs a sub-folder for each of at least two classes. Found: {names}")
    if NON_POLYP in names:
        names = [name for name in names if name != NON_POLYP] + [NON_POLYP]
    return tuple(names)


def _sized(picture: npt.NDArray[np.uint8], size: int) -> ImageStack:
    if picture.shape[:2] != (size, size):
        method = cv2.INTER_AREA if min(picture.shape[:2]) > size else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, (size, size), interpolation=method), np.uint8)
    return np.ascontiguousarray(picture[:, :, ::-1])


def _leaks(folder: Path) -> bool | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return any(row["leaks"] == "true" for row in read_table(path, ("leaks",)))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be used: {reason_of(error)}; make the windows again") from error
