"""Read masks: of polyps, and of classes whose numbers are the values of the pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Pixels
from engine.errors import InputError
from stream.sources.opencv_log import opencv_silent
from stream.sources.picture_depth import Values
from stream.sources.picture_head import read_head
from stream.sources.picture_reader import JPEG_MAGIC, read_values
from stream.sources.tiff_pages import upright
from train.data.label_reading import ALPHA, AS_USUAL, DARK, LabelReading

_HALF = 128  # where the soft edges of masks of 0 to 255 are cut
_PNG_KIND = 25  # place of the byte that says grey, colour, palette, transparency
_NOISE = 16  # JPEG can leave so much in a mask that is empty


def read_mask(path: Path, reading: LabelReading = AS_USUAL) -> Pixels:
    """Reads a polyp mask, of any format, depth and colour layout: the brightest channel counts.

    Args:
        path: a picture file.
        reading: what is polyp in it.

    Returns:
        uint8 (height, width), 1 = polyp. Masks with soft edges (JPEG) are cut at one half; masks of 0 and 1 are taken
        as they are, and in masks of 16 bits 255 and 1 are polyp as well as 65535.

    Raises:
        InputError: the file cannot be read, its highest value says neither polyp nor background, or it has no
            transparency though that is to tell.
    """
    if reading.value is not None:
        numbers = stored_numbers(path)
        spread = _NOISE if is_lossy(path) else 0
        return (np.abs(numbers.astype(np.int64) - reading.value) <= spread).astype(np.uint8)
    if reading.polyp == ALPHA:
        alpha = read_alpha(path)
        if alpha is None:
            raise InputError(f"mask {str(path)!r} has no transparency; leave --mask-polyp alpha out")
        return (alpha >= _HALF).astype(np.uint8)
    mask = bright_mask(np.asarray(read_values(path).max(axis=2)), path)
    return 1 - mask if reading.polyp == DARK else mask


def stored_numbers(path: Path) -> Values:
    """The numbers of a mask as they are stored, (height, width): places in a palette, or the brightest channel."""
    return np.asarray(read_values(path, palette=False).max(axis=2))


def read_alpha(path: Path) -> Pixels | None:
    """The transparency of a picture, uint8 (height, width), 255 = opaque; None where it has none."""
    data = np.fromfile(path, np.uint8)
    with opencv_silent():
        try:
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        except cv2.error:
            image = None
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return None
    alpha = np.asarray(image[:, :, 3] // (257 if image.dtype == np.uint16 else 1), np.uint8)
    return np.asarray(upright(alpha, read_head(path).orientation), np.uint8)  # this way it is read as stored


def is_lossy(path: Path) -> bool:
    """True for a JPEG, whose values are near what was written."""
    with path.open("rb") as file:
        return file.read(len(JPEG_MAGIC)) == JPEG_MAGIC


def is_plain(path: Path) -> bool:
    """True for a JPEG, or a PNG without palette and transparency: its numbers are its levels."""
    with path.open("rb") as file:
        begin = file.read(_PNG_KIND + 1)
    return begin.startswith(JPEG_MAGIC) or (begin[1:4] == b"PNG" and begin[_PNG_KIND:] in (b"\0", b"\2"))


def bright_mask(level: Values, path: Path) -> Pixels:
    """The mask, uint8 (height, width), 1 = polyp, of levels (height, width) that were read from `path`.

    Raises:
        InputError: the highest of them says neither polyp nor background.
    """
    if level.dtype == np.uint16 and level.max() >= _HALF << 8:
        level = (level >> 8).astype(np.uint8)
    highest = int(level.max())
    if highest <= 1:
        return level.astype(np.uint8)
    if highest <= _NOISE and is_lossy(path):
        return np.zeros(level.shape, np.uint8)
    if not _HALF <= highest <= 255:
        raise InputError(
            f"the highest value of mask {str(path)!r} is {highest}, which says neither polyp nor background; "
            "write 255 (or 1) for polyp and 0 for background, or say what is polyp (--mask-polyp)"
        )
    return np.asarray(level >= _HALF, np.uint8)


def read_classes(path: Path) -> Values:
    """Reads a mask whose numbers are classes.

    Args:
        path: a grey picture of 8 or 16 bits, or one with a palette of colours: the places in the palette are the
            classes then.

    Returns:
        uint8 or uint16 (height, width), 0 = background.

    Raises:
        InputError: the file cannot be read, or holds colours and no numbers.
    """
    values = read_values(path, palette=False)
    if (values != values[:, :, :1]).any():
        raise InputError(
            f"class mask {str(path)!r} is in colour; write a grey PNG of numbers: 0 background, 1, 2, ... the classes"
        )
    return values[:, :, 0]
