"""How a lesion is shown to a classifier: a square around its box with some of its surroundings."""

from __future__ import annotations

import math

import cv2
import numpy as np

from engine.arrays import Image
from engine.pictures.picture import AnyPicture, Picture
from stream.frame import FieldOfView

Box = tuple[float, float, float, float]


def lesion_square(box_xyxy: Box, context: float) -> tuple[int, int, int, int]:
    """The square around a box, in whole pixels of the frame; it may reach beyond the frame.

    Args:
        box_xyxy: of the lesion, pixels of the frame.
        context: side of the square as a multiple of the box's longer side.
    """
    x1, y1, x2, y2 = box_xyxy
    side = max(2, round(max(x2 - x1, y2 - y1) * context))
    left, top = math.floor((x1 + x2 - side) / 2 + 0.5), math.floor((y1 + y2 - side) / 2 + 0.5)
    return left, top, left + side, top + side


def cut_lesion(image: AnyPicture, box_xyxy: Box, field: FieldOfView, *, context: float, side: int) -> Image:
    """Cuts a lesion with its surroundings; what lies outside the field of view is black.

    Args:
        image: the frame: BGR uint8 (height, width, 3), or as it was decoded.
        box_xyxy: of the lesion, pixels of the frame.
        field: of view of the frame.
        context: side of the square as a multiple of the box's longer side.
        side: of the result in pixels.

    Returns:
        BGR uint8 (side, side, 3).
    """
    left, top, right, bottom = lesion_square(box_xyxy, context)
    picture = Picture.of(image)
    width, height = picture.resolution_wh
    fx1, fy1, fx2, fy2 = field.box_xyxy if min(field.size_wh) > 0 else (0, 0, width, height)
    x1, y1, x2, y2 = max(left, fx1, 0), max(top, fy1, 0), min(right, fx2, width), min(bottom, fy2, height)
    square = np.zeros((bottom - top, right - left, 3), np.uint8)
    if x2 > x1 and y2 > y1:
        square[y1 - top : y2 - top, x1 - left : x2 - left] = picture.cut((x1, y1, x2, y2), field.mask)
    method = cv2.INTER_AREA if right - left > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side, side), interpolation=method), np.uint8)
