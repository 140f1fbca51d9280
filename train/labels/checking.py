"""A check of labels against their pictures before anything is written: sizes, boxes outside, outlines that are none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from engine.arrays import Bools
from engine.errors import InputError
from engine.reading.bounded import MALFORMED, reason_of
from stream.sources.opening import open_source
from stream.sources.picture_head import PictureHead, read_head
from train.data.boxes import within
from train.interchange.coco_masks import decode
from train.labels.label_set import Label, LabelledPicture


class RecordingSizes:
    """Width and height of the frames of recordings, each of which is opened once."""

    def __init__(self) -> None:
        """None is opened yet."""
        self._known: dict[Path, tuple[int, int]] = {}

    def of(self, path: Path) -> tuple[int, int]:
        """Raises SourceError where the recording cannot be opened."""
        if path not in self._known:
            with open_source(path) as source:
                self._known[path] = source.info.resolution_wh
        return self._known[path]


def fault_of(picture: LabelledPicture, recordings: RecordingSizes) -> str | None:
    """Why the labels of a picture cannot be used; None when they can."""
    try:
        head = read_head(picture.path) if picture.frame is None else PictureHead(recordings.of(picture.path))
        size = head.shown_wh
        if picture.size_wh is not None and picture.size_wh != size:
            return _other_size(picture.size_wh, head)
        # A mask of a picture with a rotation may lie on its stored pixels: the check of all masks tells.
        plain = head.orientation == 1
        if picture.mask is not None and plain and (mask := read_head(picture.mask).shown_wh) != size:
            return f"its mask is {mask[0]}x{mask[1]}, the picture is {size[0]}x{size[1]}"
        for label in picture.labels:
            if label.outline is not None:
                outline_of(label, (size[1], size[0]))
    except InputError as error:
        return str(error)
    return next(filter(None, (_fault_of_box(label, size) for label in picture.labels)), None)


def _fault_of_box(label: Label, size_wh: tuple[int, int]) -> str | None:
    if not all(map(math.isfinite, label.box_xyxy)):
        return f"box {_shown(label)} of {label.name!r} has sides that are no numbers"
    x1, y1, x2, y2 = label.box_xyxy
    if not (x1 < x2 and y1 < y2):
        return f"box {_shown(label)} of {label.name!r} has no area"
    if within(label.box_xyxy, size_wh) is None:
        return f"box {_shown(label)} of {label.name!r} lies outside of the picture, which is {size_wh[0]}x{size_wh[1]}"
    return None


def outline_of(label: Label, size_hw: tuple[int, int]) -> Bools:
    """The mask (height, width) of a label with an outline.

    Raises:
        InputError: the outline cannot be used.
    """
    try:
        return decode(label.outline, size_hw)
    except MALFORMED as error:
        raise InputError(f"an outline of {label.name!r} cannot be used: {reason_of(error)}") from error


def clipped(label: Label, size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box of a label that was checked, within the picture."""
    box = within(label.box_xyxy, size_wh)
    if box is None:
        raise InputError(f"box {_shown(label)} of {label.name!r} lies outside of the picture")
    return box


def has_area(mask: Bools) -> bool:
    """Whether an outline holds any pixel."""
    return bool(np.asarray(mask).any())


def _other_size(said: tuple[int, int], head: PictureHead) -> str:
    shown = head.shown_wh
    turned = "; they were drawn on the pixels before the picture's rotation (EXIF)" if said == head.stored_wh else ""
    return f"its labels are of a picture of {said[0]}x{said[1]}, the picture is {shown[0]}x{shown[1]}{turned}"


def _shown(label: Label) -> str:
    return "[" + ", ".join(f"{side:g}" for side in label.box_xyxy) + "]"
