"""Pictures as an encoder takes them: 8-bit 4:2:0, planes as they are where the picture has the same."""

from __future__ import annotations

import av
import cv2
import numpy as np

from engine.arrays import Plane, SamplePlane
from engine.pictures.color import YuvCoding, bgr_to_planes, mean_of_blocks, recoded, repeated
from engine.pictures.picture import Picture

_STEP_XY = (2, 2)  # of 4:2:0


def encoder_frame(picture: Picture, coding: YuvCoding) -> av.VideoFrame:
    """A frame of FFmpeg's format yuv420p.

    Planes of 8-bit 4:2:0 that mean the same are taken as they are. Others lose what the format cannot hold: more bits
    are rounded, chroma is averaged.

    Args:
        picture: of any size; odd width or height gets one more column or row, a copy of the last.
        coding: what the frame's numbers are to mean, in 8 bits.

    Returns:
        The frame, without times and tags.
    """
    width, height = picture.resolution_wh
    frame = av.VideoFrame(width + width % 2, height + height % 2, "yuv420p")
    for target, values in zip(frame.planes, _planes(picture, coding), strict=True):
        rows = np.frombuffer(memoryview(target), np.uint8).reshape(target.height, -1)
        rows[: values.shape[0], : values.shape[1]] = values
        # What was added to an odd side; chroma covers it already.
        rows[values.shape[0] :, : values.shape[1]] = values[-1:]
        rows[:, values.shape[1] : target.width] = rows[:, values.shape[1] - 1 : values.shape[1]]
    return frame


def letterboxed(picture: Picture, size_wh: tuple[int, int]) -> Picture:
    """A picture scaled whole into another size, black beside it."""
    (width, height), image = size_wh, picture.to_bgr()
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=method)
    return Picture([canvas], color=picture.color)


def _planes(picture: Picture, coding: YuvCoding) -> list[Plane]:
    if picture.is_bgr:
        return [np.asarray(plane, np.uint8) for plane in bgr_to_planes(picture.to_bgr(), coding, step_xy=_STEP_XY)]
    luma, *chroma = picture.planes
    quartered = [_quartered(plane, picture) for plane in chroma]
    planes = list(recoded([luma, *quartered], picture.coding, coding, step_xy=_STEP_XY))
    if len(planes) == 1:  # grey
        width, height = picture.resolution_wh
        planes += [np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)] * 2
    return planes


def _quartered(chroma: SamplePlane, picture: Picture) -> SamplePlane:
    """Chroma of a picture, one value for two by two pixels."""
    (across, down), (wanted_across, wanted_down) = picture.step_xy, _STEP_XY
    if across > wanted_across or down > wanted_down:
        chroma, across, down = repeated(chroma, (across, down), picture.planes[0].shape), 1, 1
    return mean_of_blocks(chroma, (wanted_across // across, wanted_down // down))
