"""Pictures made small: halved by the mean of two by two pixels while a factor of two is left, then interpolated.

Planes are shrunk first and become BGR in the size that is wanted. That gives the same to one grey level as the other
way round, and takes a fraction of its time.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import Image, SamplePlane
from engine.pictures.color import planes_to_bgr, repeated
from engine.pictures.picture import Box, Picture, rows_columns


def halved(pixels: SamplePlane, times: int) -> SamplePlane:
    """A plane or a BGR picture, halved some times by the mean of two by two; its sides are multiples of 2**times."""
    for _ in range(times):
        size = pixels.shape[1] // 2, pixels.shape[0] // 2
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), pixels.dtype)
    return pixels


def resized(pixels: SamplePlane, size_wh: tuple[int, int]) -> SamplePlane:
    """A plane or a BGR picture in another size: halved while it is twice as large or more, then interpolated."""
    while pixels.shape[1] >= 2 * size_wh[0] and pixels.shape[0] >= 2 * size_wh[1]:
        pixels = halved(pixels, 1)
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LINEAR), pixels.dtype)


def shrunk(picture: Picture, box_xyxy: Box, halvings: int, size_wh: tuple[int, int]) -> Image:
    """A part of a picture in another size.

    Args:
        picture: the picture.
        box_xyxy: whole pixels within it, right and bottom exclusive; its sides are multiples of 2**halvings.
        halvings: how often it is halved before the rest is interpolated.
        size_wh: width and height of the result in pixels.

    Returns:
        BGR uint8, shape (height, width, 3).
    """
    if picture.is_bgr:
        inner = halved(picture.to_bgr(box_xyxy), halvings)
        return np.asarray(cv2.resize(inner, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
    # Values are raised to 16 bits, as rounding to 8 would be seen in the colours. Those of luma are many: where more
    # halvings follow, and even its rounding out, the first is done before.
    finest = picture.coding.finest
    raised = finest.shift - picture.coding.shift
    luma, *chroma = picture.planes
    first = 1 if halvings > 1 else 0
    fine = [halved(_raised(halved(luma[rows_columns(box_xyxy)], first), raised), halvings - first)]
    fine += [_chroma_of(plane, box_xyxy, picture.step_xy, halvings, raised) for plane in chroma]
    planes = [np.asarray(cv2.resize(plane, size_wh, interpolation=cv2.INTER_LINEAR), np.uint16) for plane in fine]
    return planes_to_bgr(planes, finest)


def _chroma_of(chroma: SamplePlane, box_xyxy: Box, step_xy: tuple[int, int], halvings: int, raised: int) -> SamplePlane:
    """The chroma of a box, as if it had been repeated to all pixels and then halved as luma is; raised to 16 bits."""
    (x1, y1, x2, y2), (across, down) = box_xyxy, step_xy
    whole = chroma[y1 // down : -(-y2 // down), x1 // across : -(-x2 // across)]
    if halvings and max(step_xy) <= 2:
        fine = _halved_once(_raised(whole, raised), 1, across, x1)
        return halved(_halved_once(fine, 0, down, y1), halvings - 1)
    left, top = x1 % across, y1 % down
    full = repeated(whole, step_xy, (whole.shape[0] * down, whole.shape[1] * across))
    return halved(_raised(full[top : top + y2 - y1, left : left + x2 - x1], raised), halvings)


def _raised(plane: SamplePlane, by: int) -> SamplePlane:
    """Values moved to the upper bits."""
    return np.left_shift(plane, by, dtype=np.uint16)


def _halved_once(plane: SamplePlane, axis: int, step: int, start: int) -> SamplePlane:
    """Chroma for pairs of pixels along an axis, the first of which is at `start`; each value stands for `step` pixels.

    Where a pair lies within one value, that is its chroma; else it is the mean of two.
    """
    if step == 1:
        size = (plane.shape[1] // 2, plane.shape[0]) if axis else (plane.shape[1], plane.shape[0] // 2)
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint16)
    if start % 2:
        former, latter = (plane[:, :-1], plane[:, 1:]) if axis else (plane[:-1], plane[1:])
        return np.asarray(cv2.addWeighted(former, 0.5, latter, 0.5, 0), np.uint16)
    return plane
