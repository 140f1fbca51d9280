"""Lesions cut from frames whose masks name classes: one sub-folder a class, for `polypstream train --task classify`.

The data set is a folder with `images/` and `classes/` (PNG of the same names; 0 background, 1, 2, ... the classes, as
grey levels or as places in a palette), as BKAI-IGH NeoPolyp comes once its masks' colours were turned into numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Pixels
from engine.checks import require_at_least, require_within
from engine.errors import InputError, WriteError
from engine.files import claim_folder, write_errors, write_text
from engine.files.claims import empty_folder
from stream.frame import FieldOfView
from stream.lesion.view import Box, cut_lesion
from stream.sources.picture_files import pictures_in
from stream.sources.picture_reader import read_picture
from stream.sources.tiff_pages import upright
from stream.view.field_of_view import find_field_of_view
from train.data.class_folders import RECORD
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.mask_reader import read_classes
from train.data.masks.check import class_mask_turns
from train.data.near_duplicates import hash_clusters, picture_hash
from train.run.output_folder import refuse_used

#: Satellites smaller than this share of the frame are slips of the pen.
_LEAST_SHARE = 0.0005
#: A number in a class mask from which on it is a grey level, and not a class that somebody forgot to name.
_GREY_LEVEL = 64
#: Mucosa is yellow-brown to green in processed colours (FICE and alike), pink in white light: the logarithms of green
#: to blue and of red to green fall into two clouds, which this line divides.
_RED_WEIGHT, _ENHANCED_FROM = 0.6, 0.15
WHITE_LIGHT, ENHANCED = "white light", "enhanced colour"


@dataclass(frozen=True, slots=True)
class LesionSettings:
    """How lesions are cut.

    Attributes:
        classes: names of the numbers 1, 2, ... in the class masks.
        context: side of the square as a multiple of the lesion's longer side, 1 or more.
        size: side of the pictures that are written, in pixels.
        bits: that near-duplicate frames may differ in (see `train.data.near_duplicates`); their lesions are one group.
        labels: on which pixels class masks were drawn.
    """

    classes: tuple[str, ...] = ("neoplastic", "non_neoplastic")
    context: float = 1.6
    size: int = 224
    bits: int = 20
    labels: LabelReading = AS_USUAL

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise InputError(f"two or more different classes are needed. Received: {', '.join(self.classes)}")
        require_within("the context", self.context, 1, 4, wanted="1 to 4 times the lesion")
        require_at_least("the pictures", self.size, 32, wanted="at least 32 pixels wide")


def prepare_lesions(data: Path, output: Path, settings: LesionSettings) -> dict[str, int]:
    """Cuts every lesion of a data set and writes it as a PNG, and `pictures.json`; a failure leaves nothing behind.

    Args:
        data: folder with `images/` and `classes/`.
        output: folder to write; must be new or empty.
        settings: how lesions are cut.

    Returns:
        Number of lesions of each class.

    Raises:
        InputError: the folder is no such data set, a class mask is missing, of another size or without numbers of
            classes, or no mask shows a lesion.
        OutputError: `output` holds something already or cannot be made.
        WriteError: the disk is full.
    """
    with claim_folder(output):
        refuse_used(output)
        frames = _frames(data)
        try:
            return _cut_all(frames, data, output, settings)
        except BaseException:  # an interrupt too: a part of the lesions would pass for all of them
            empty_folder(output)
            raise


def _cut_all(frames: list[tuple[Path, Path]], data: Path, output: Path, settings: LesionSettings) -> dict[str, int]:
    hashes, pictures = [], []
    turns = class_mask_turns(frames, str(data), settings.labels)
    counts = dict.fromkeys(settings.classes, 0)
    for (image_path, class_path), turn in zip(frames, turns, strict=True):
        image, classes = read_picture(image_path), upright(read_classes(class_path), turn)
        field = find_field_of_view(image)
        x1, y1, x2, y2 = field.box_xyxy if min(field.size_wh) > 0 else (0, 0, image.shape[1], image.shape[0])
        hashes.append(picture_hash(image[y1:y2, x1:x2]))
        subset = ENHANCED if is_enhanced(image, field) else WHITE_LIGHT
        for number, (label, box) in enumerate(lesions_of(classes, len(settings.classes), str(class_path))):
            name = f"{settings.classes[label]}/{image_path.stem}-{number}.png"
            _write(output / name, cut_lesion(image, box, field, context=settings.context, side=settings.size))
            counts[settings.classes[label]] += 1
            pictures.append((name, len(hashes) - 1, subset, box))
    if not pictures:
        raise InputError(f"no lesion found in {str(data)!r}; classes/ must hold 1, 2, ... where lesions are")
    groups = hash_clusters(hashes, bits=settings.bits)
    record = {
        "dataset": data.name,
        "frames": len(frames),
        "frame_groups": len(set(groups)),
        "near_duplicate_bits": settings.bits,
        "view": {"context": settings.context},
        "pictures": {
            name: {"group": str(groups[frame]), "subset": subset, "frame": frames[frame][0].name, "box_xyxy": list(box)}
            for name, frame, subset, box in pictures
        },
    }
    write_text(output / RECORD, json.dumps(record, indent=1) + "\n", remedy="free space")
    return counts


def lesions_of(classes: Pixels, count: int, name: str) -> Iterator[tuple[int, Box]]:
    """Connected regions of one class, as label from 0 and box (x1, y1, x2, y2), right and bottom exclusive.

    Args:
        classes: uint8 or uint16 (height, width), 0 background, 1 ... `count` the classes.
        count: of classes.
        name: of the mask, for the message.

    Raises:
        InputError: the mask holds another number.
    """
    highest = int(classes.max())
    if highest > count and highest >= _GREY_LEVEL:
        raise InputError(
            f"{name!r} holds {highest}, which is no class number; write 0 for background, 1 to {count} for the classes"
        )
    if highest > count:
        raise InputError(f"{name!r} holds class {highest}; name {highest} classes")
    for label in range(count):
        pieces, _, stats, _ = cv2.connectedComponentsWithStats((classes == label + 1).astype(np.uint8))
        for x, y, width, height, area in stats[1:pieces].tolist():
            if area >= _LEAST_SHARE * classes.size:
                yield label, (float(x), float(y), float(x + width), float(y + height))


def is_enhanced(image: Pixels, field: FieldOfView) -> bool:
    """Whether a frame was taken with processed colours (FICE and alike) and not in white light, by its colours alone.

    The line was drawn on the endoscopes of NeoPolyp. White light of others is yellower: a third of CVC-ClinicDB would
    be taken for enhanced.

    Args:
        image: BGR uint8 (height, width, 3).
        field: its field of view.
    """
    x1, y1, x2, y2 = field.box_xyxy
    inner = image[y1:y2, x1:x2].reshape(-1, 3)[::7].astype(np.float64)
    lit = inner[(inner.sum(1) > 60) & (inner.max(1) < 250)]
    if not len(lit):
        return False
    blue, green, red = np.maximum(np.median(lit / lit.sum(1, keepdims=True), axis=0), 1e-3).tolist()
    return math.log(green / blue) - _RED_WEIGHT * math.log(red / green) > _ENHANCED_FROM


def _frames(data: Path) -> list[tuple[Path, Path]]:
    images, masks = data / "images", data / "classes"
    if not (images.is_dir() and masks.is_dir()):
        raise InputError(f"{str(data)!r} needs images/ and classes/ (0 background, 1, 2, ... the classes)")
    found = {path.stem: path for path in pictures_in(masks)}
    frames = pictures_in(images)
    if not frames:
        raise InputError(f"{str(images)!r} holds no picture")
    for path in frames:
        if path.stem not in found:
            raise InputError(f"{str(path)!r} has no mask in classes/; add it or take the image out")
    return [(path, found[path.stem]) for path in frames]


def _write(path: Path, picture: npt.NDArray[Any]) -> None:
    done, code = cv2.imencode(path.suffix, picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise WriteError(f"lesion {str(path)!r} could not be encoded")
    with write_errors(path, what="lesion", remedy="free space"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code.tobytes())
