"""Frames decoded once, cropped to their field of view, shrunk, and kept in memory and in one file.

JPEG decoding and shrinking of full frames costs more than the whole augmentation; done once it is paid once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.arrays import Float32s, Pixels
from engine.console.output import progress
from engine.errors import InputError
from engine.files import make_folder, replacing
from stream.view.field_of_view import find_field_of_view
from train.data.boxes import stand_in_mask
from train.data.datasets import Sample, read_sample

#: Raised when files hold other things than before, so that older ones are made anew.
_FORMAT = 3


@dataclass(frozen=True, slots=True)
class CachedFrame:
    """A frame ready for augmentation.

    Attributes:
        image: BGR uint8 (height, width, 3), the field of view only, long side at most that of the cache.
        mask: uint8 (height, width), 0 or 1; `stand_in_mask` where boxes are known only.
        dataset: data set it comes from.
        group: frames of the data set that show nearly the same.
        boxes_xyxy: float32 (polyps, 4), of a frame whose polyps nobody outlined; None otherwise.
    """

    image: Pixels
    mask: Pixels
    dataset: str
    group: str = ""
    boxes_xyxy: Float32s | None = None

    @property
    def outlined(self) -> bool:
        """True where the mask shows what is polyp, and not only where."""
        return self.boxes_xyxy is None

    @property
    def positive(self) -> bool:
        """True when a polyp is to be seen."""
        return bool(self.mask.any())


def cache_frames(samples: Sequence[Sample], folder: Path | None, *, long_side: int = 352) -> list[CachedFrame]:
    """Returns the frames of `samples`, from `folder` where they were cached before and no file has changed since.

    Args:
        samples: frames to read; a sample without mask is a frame without polyp.
        folder: where the cache file lives, made when missing; None to keep nothing.
        long_side: pixels of the longer side of the cropped frame at most.

    Raises:
        InputError: a picture cannot be read, or its mask has another size.
        OutputError: the folder cannot be made.
    """
    return kept_frames("frames", [long_side, file_facts(samples)], _read_all(samples, long_side), folder)


def file_facts(samples: Sequence[Sample]) -> list[list[Any]]:
    """What frames of `samples` depend on, as a key: names, sizes and times of their files, and how masks are read.

    Raises:
        InputError: a file is not there.
    """
    return [
        [
            _facts_of(sample.image),
            sample.mask and _facts_of(sample.mask),
            sample.reading.polyp,
            sample.mask_turn,
            *([] if sample.boxes_xyxy is None else [sample.boxes_xyxy]),
        ]
        for sample in samples
    ]


def kept_frames(kind: str, key: Any, made: Iterable[CachedFrame], folder: Path | None) -> list[CachedFrame]:
    """Frames from `folder`, where they were kept before; otherwise they are made, and kept.

    Args:
        kind: first part of the file's name.
        key: all that the frames depend on, as lists, texts and numbers.
        made: makes the frames; not touched where they were kept.
        folder: where the file lives, made when missing; None to keep nothing.

    Raises:
        OutputError: the folder cannot be made.
    """
    if folder is None:
        return list(made)
    path = folder / f"{kind}-{hashlib.sha256(json.dumps([_FORMAT, key]).encode()).hexdigest()[:16]}.npz"
    if path.is_file():
        return _load(path)
    frames = list(made)
    make_folder(folder)
    _save(path, frames)
    return frames


def _facts_of(path: Path) -> tuple[str, int, int]:
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path and its rights") from error
    return str(path.resolve()), facts.st_size, facts.st_mtime_ns


def _read_all(samples: Sequence[Sample], long_side: int) -> Iterator[CachedFrame]:
    for sample in progress(samples, what="caching frames", unit="frame", always=True):
        yield _read(sample, long_side)


def _read(sample: Sample, long_side: int) -> CachedFrame:
    image, mask = read_sample(sample)
    x1, y1, x2, y2 = find_field_of_view(image).box_xyxy
    if not (x2 > x1 and y2 > y1):
        x1, y1, x2, y2 = 0, 0, image.shape[1], image.shape[0]
    image, mask = image[y1:y2, x1:x2], mask[y1:y2, x1:x2]
    scale = min(1.0, long_side / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if sample.boxes_xyxy is None:
        small_mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        return CachedFrame(small, small_mask, sample.dataset, sample.group)
    boxes = (np.array(sample.boxes_xyxy, np.float32).reshape(-1, 4) - (x1, y1, x1, y1)) * scale
    boxes = boxes.clip(0, (*size, *size)).astype(np.float32)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(1) > 0]
    return CachedFrame(small, stand_in_mask(boxes, small.shape[:2]), sample.dataset, sample.group, boxes)


def _save(path: Path, frames: Sequence[CachedFrame]) -> None:
    sizes = np.array([frame.mask.shape for frame in frames], np.int32).reshape(-1, 2)
    no_pixel = np.zeros(0, np.uint8)
    arrays = {
        "sizes": sizes,
        "images": np.concatenate([no_pixel, *(frame.image.reshape(-1) for frame in frames)]),
        "masks": np.packbits(np.concatenate([no_pixel, *(frame.mask.reshape(-1) for frame in frames)])),
        # Of frames without outlines: which they are (-1: outlined), and how many boxes each has.
        "box_counts": np.array([-1 if one.boxes_xyxy is None else len(one.boxes_xyxy) for one in frames], np.int32),
        "boxes": np.concatenate(
            [np.zeros((0, 4), np.float32), *(one.boxes_xyxy for one in frames if one.boxes_xyxy is not None)]
        ),
        "datasets": np.array([frame.dataset for frame in frames], np.str_),
        "groups": np.array([frame.group for frame in frames], np.str_),
    }
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _load(path: Path) -> list[CachedFrame]:
    with np.load(path) as arrays:
        sizes, images, names, groups = (arrays[key] for key in ("sizes", "images", "datasets", "groups"))
        masks = np.unpackbits(arrays["masks"])
        box_counts, boxes = arrays["box_counts"].tolist(), arrays["boxes"]
    frames: list[CachedFrame] = []
    start = first = 0
    for (height, width), name, group, box_count in zip(sizes, names, groups, box_counts, strict=True):
        count = int(height) * int(width)
        image = images[3 * start : 3 * (start + count)].reshape(height, width, 3)
        mask = masks[start : start + count].reshape(height, width)
        own = None
        if box_count >= 0:
            own = boxes[first : first + box_count]
            first += box_count
            mask = stand_in_mask(own, mask.shape)
        frames.append(CachedFrame(image, mask, str(name), str(group), own))
        start += count
    return frames
