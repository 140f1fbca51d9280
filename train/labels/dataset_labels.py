"""A data set as labels: its masks as outlines, its boxes, its frames without polyp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Pixels
from engine.console.output import progress
from engine.errors import InputError
from stream.sources.picture_head import read_head
from train.data.datasets import Sample, read_sample
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.masks.check import checked_dataset
from train.data.masks.facts import SPECK_SHARE
from train.labels.label_set import Label, LabelledPicture, box_around

_CLASS = "polyp"
_SEQUENCE = "sequence-"


def read_dataset_labels(folder: Path, reading: LabelReading = AS_USUAL) -> tuple[list[LabelledPicture], list[str]]:
    """The frames of a data set with their labels, and what people have to know.

    Raises:
        InputError: the folder is no data set, or its masks mean something else.
    """
    found = checked_dataset(folder, reading)
    bar = progress(found.samples, what="reading labels", unit="frame", leave=False, delay=1)
    return [_labelled(sample) for sample in bar], [note for note in found.masks.notes() if "boxes only" not in note]


def _labelled(sample: Sample) -> LabelledPicture:
    if sample.boxes_xyxy is not None:
        labels = tuple(Label(_CLASS, box) for box in sample.boxes_xyxy)
        size = read_head(sample.image).shown_wh
    elif sample.mask is not None:
        _, mask = read_sample(sample)
        labels, size = tuple(outlines_of(mask)), (mask.shape[1], mask.shape[0])
    else:
        labels, size = (), read_head(sample.image).shown_wh
    group = sample.group.removeprefix(_SEQUENCE) if sample.group.startswith(_SEQUENCE) else ""
    return LabelledPicture(sample.image.name, sample.image, None, size, labels, True, group, sample.split)


def outlines_of(mask: Pixels) -> Iterator[Label]:
    """The pieces of a mask as polygons around them, holes filled; specks that nothing counts are left out.

    Args:
        mask: uint8 (height, width), 0 or 1.
    """
    if mask.ndim != 2:
        raise InputError(f"a mask has two dimensions. Received: {mask.ndim}")
    outer, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in outer:
        points = contour.reshape(-1, 2)
        filled = cv2.drawContours(np.zeros_like(mask), [contour], -1, 1, cv2.FILLED)
        if np.count_nonzero(filled) < SPECK_SHARE * mask.size:
            continue
        flat = [float(value) for value in points.ravel()]
        x1, y1, x2, y2 = box_around(flat)
        # Points are pixels of the piece; its box ends after the last one.
        yield Label(_CLASS, (x1, y1, x2 + 1, y2 + 1), [flat] if len(points) > 2 else None)
