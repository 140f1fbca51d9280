"""Pictures of which a part is black, in the format in which they were decoded: what is shown stays as it was."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from engine.arrays import Mask
from engine.pictures.picture import Box, Picture, rows_columns


def shown_mask(shown: Mask, covered: Iterable[Box]) -> Mask:
    """What is shown of a picture once some boxes are covered: bool, shape (height, width), made anew."""
    mask = shown.copy()
    for box in covered:
        mask[rows_columns(box)] = False
    return mask


def masked(picture: Picture, shown: Mask) -> Picture:
    """A copy of a picture that is black where nothing is shown.

    Where several pixels share a value of chroma, all of them are shown or none.

    Args:
        picture: stays as it is.
        shown: bool, shape (height, width).
    """
    if picture.is_bgr:
        return Picture([np.where(shown[:, :, None], picture.planes[0], 0)], color=picture.color)
    (across, down), coding = picture.step_xy, picture.coding
    height, width = shown.shape
    rows, columns = -(-height // down), -(-width // across)
    blocks = np.ones((rows * down, columns * across), np.bool_)
    blocks[:height, :width] = shown
    whole = blocks.reshape(rows, down, columns, across).all(axis=(1, 3))
    luma_shown = whole.repeat(down, axis=0).repeat(across, axis=1)[:height, :width]
    unit = 1 << (coding.bits - 8 + coding.shift)
    black, grey = (0 if coding.full_range else 16) * unit, 128 * unit
    luma, *chroma = picture.planes
    planes = [np.where(luma_shown, luma, luma.dtype.type(black))]
    planes += [np.where(whole, plane, plane.dtype.type(grey)) for plane in chroma]
    return Picture(planes, color=picture.color, bits=coding.bits, shift=coding.shift)
