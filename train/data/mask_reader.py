"""Read masks: of polyps, and of classes whose numbers are the values of the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.arrays import Pixels
from engine.errors import InputError
from stream.sources.picture_depth import Values
from stream.sources.picture_reader import JPEG_MAGIC, read_values

_HALF = 128  # where the soft edges of masks of 0 to 255 are cut
_NOISE = 16  # JPEG can leave so much in a mask that is empty


def read_mask(path: Path) -> Pixels:
    """Reads a polyp mask, of any format, depth and colour layout: the brightest channel counts.

    Args:
        path: a picture file.

    Returns:
        uint8 (height, width), 1 = polyp. Masks with soft edges (JPEG) are cut at one half; masks of 0 and 1 are taken
        as they are, and in masks of 16 bits 255 and 1 are polyp as well as 65535.

    Raises:
        InputError: the file cannot be read, or its highest value says neither polyp nor background.
    """
    level: Values = read_values(path).max(axis=2)
    if level.dtype == np.uint16 and level.max() >= _HALF << 8:
        level = (level >> 8).astype(np.uint8)
    highest = int(level.max())
    if highest <= 1:
        return level.astype(np.uint8)
    if highest <= _NOISE and path.read_bytes().startswith(JPEG_MAGIC):
        return np.zeros(level.shape, np.uint8)
    if not _HALF <= highest <= 255:
        raise InputError(
            f"the highest value of mask {str(path)!r} is {highest}, which says neither polyp nor background; "
            "write 255 (or 1) for polyp and 0 for background"
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
