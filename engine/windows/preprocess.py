"""From a field of view to the network's input, and from the input's pixels back to those of the frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s, Image
from engine.pictures.picture import AnyPicture, Picture
from engine.pictures.shrinking import shrunk


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a field of view was laid into the input: scaled evenly, centred, the rest black.

    Attributes:
        scale: input pixels a frame pixel.
        offset_xy: position of the frame's pixel (0, 0) in the input.
        inner_xyxy: integer pixels of the input that the field of view fills.
    """

    scale: float
    offset_xy: tuple[float, float]
    inner_xyxy: tuple[int, int, int, int]

    @staticmethod
    def fit(box_xyxy: tuple[int, int, int, int], input_wh: tuple[int, int]) -> Letterbox:
        """Lays the field of view `box_xyxy` (pixels of the frame) into an input of `input_wh` pixels."""
        x1, y1, x2, y2 = box_xyxy
        width, height = x2 - x1, y2 - y1
        if width <= 0 or height <= 0:
            raise ValueError(f"box_xyxy must have an area. Received: {box_xyxy}")
        scale = min(input_wh[0] / width, input_wh[1] / height)
        inner_w = min(max(1, round(width * scale)), input_wh[0])
        inner_h = min(max(1, round(height * scale)), input_wh[1])
        left, top = (input_wh[0] - inner_w) // 2, (input_wh[1] - inner_h) // 2
        offset = (left - x1 * scale, top - y1 * scale)
        return Letterbox(scale, offset, (left, top, left + inner_w, top + inner_h))

    def to_frame(self, boxes_xyxy: Float32s) -> Float32s:
        """Boxes in pixels of the input, float32 (boxes, 4), to pixels of the frame."""
        offset = np.array(self.offset_xy * 2, np.float32)
        return np.asarray((boxes_xyxy - offset) / self.scale, np.float32)


def lay_in(
    image: AnyPicture,
    box_xyxy: tuple[int, int, int, int],
    input_wh: tuple[int, int],
    *,
    mask: npt.NDArray[np.bool_] | None = None,
) -> tuple[Image, Letterbox]:
    """Crops the field of view and lays it into a black picture of the input's size.

    Args:
        image: the frame: BGR uint8 (height, width, 3), or as it was decoded.
        box_xyxy: field of view in pixels of the frame, right and bottom exclusive.
        input_wh: width and height of the input in pixels.
        mask: bool (height, width) of the frame; what is False becomes black.

    Returns:
        BGR uint8 (input height, input width, 3), and how it was laid in.
    """
    halvings, box_xyxy, letterbox = layout(box_xyxy, input_wh)
    x1, y1, x2, y2 = box_xyxy
    left, top, right, bottom = letterbox.inner_xyxy
    size = (right - left, bottom - top)
    inner = shrunk(Picture.of(image), box_xyxy, halvings, size)
    if mask is not None:
        inside = cv2.resize(mask[y1:y2, x1:x2].view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        inner = np.asarray(cv2.bitwise_and(inner, inner, mask=inside), np.uint8)
    if size == input_wh:
        return inner, letterbox
    canvas = np.zeros((input_wh[1], input_wh[0], 3), np.uint8)
    canvas[top:bottom, left:right] = inner
    return canvas, letterbox


def layout(
    box_xyxy: tuple[int, int, int, int], input_wh: tuple[int, int]
) -> tuple[int, tuple[int, int, int, int], Letterbox]:
    """How `lay_in` treats a field of view: how often it is halved, the part of it that is used, and where that lies."""
    halvings = _halvings(box_xyxy, input_wh)
    box_xyxy = _trimmed(box_xyxy, 1 << halvings)
    return halvings, box_xyxy, Letterbox.fit(box_xyxy, input_wh)


def _halvings(box_xyxy: tuple[int, int, int, int], input_wh: tuple[int, int]) -> int:
    """How often a field is halved by the mean of two by two pixels before the rest is interpolated.

    Until less than a factor of two is left, which interpolation bridges without leaving pixels out. Five times faster
    than averaging over the areas of odd factors, at 1380x1080.
    """
    x1, y1, x2, y2 = box_xyxy
    scale = Letterbox.fit(box_xyxy, input_wh).scale
    wanted = math.floor(-math.log2(scale)) if scale < 1 else 0
    return min(wanted, min(x2 - x1, y2 - y1).bit_length() - 1)


def _trimmed(box_xyxy: tuple[int, int, int, int], step: int) -> tuple[int, int, int, int]:
    """The box without the last few pixels that cannot be halved, so that the way back to the frame stays exact."""
    x1, y1, x2, y2 = box_xyxy
    return x1, y1, x2 - (x2 - x1) % step, y2 - (y2 - y1) % step


def normalise(pictures: Sequence[Image], mean: float, std: float) -> Float32s:
    """Makes the network's input of pictures.

    Args:
        pictures: BGR uint8 (height, width, 3) each, all of one size.
        mean: subtracted from each value of 0..255.
        std: divides what is left.

    Returns:
        RGB float32 (batch, 3, height, width).
    """
    return np.asarray(cv2.dnn.blobFromImages(pictures, 1 / std, mean=(mean, mean, mean), swapRB=True), np.float32)
