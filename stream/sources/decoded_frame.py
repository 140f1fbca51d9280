"""Frames as FFmpeg decodes them, made into pictures: exact colours, the right way up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from engine.arrays import Image
from stream.sources.yuv import RANGE_FULL, ColorTags, plane_rows, yuv_to_bgr

_PLANAR_8_BIT = frozenset(
    f"{kind}{sampling}p" for kind in ("yuv", "yuvj") for sampling in ("420", "422", "444", "440", "411", "410")
)
# swscale's numbers for bilinear, accurate rounding and full chroma: PyAV names the last two from version 18 on only.
_EXACT = 0x2 | 0x40000 | 0x2000


class PictureMaker:
    """Makes pictures of decoded frames; every frame may have another size and format."""

    def __init__(self) -> None:
        """Keeps FFmpeg's scaler from frame to frame, for formats that need it."""
        self._reformatter = VideoReformatter()

    def picture(self, frame: VideoFrame) -> Image:
        """The picture of a frame: BGR uint8, shape (height, width, 3), upright, contiguous."""
        tags = color_tags(frame)
        matrix = tags.matrix_for((frame.width, frame.height))
        if frame.format.name in _PLANAR_8_BIT and all(plane.line_size > 0 for plane in frame.planes):
            luma, blue, red = map(plane_rows, frame.planes)
            image = yuv_to_bgr(luma, blue, red, matrix=matrix, full_range=tags.full_range)
        else:
            converted = self._reformatter.reformat(
                frame, format="bgr24", src_colorspace=matrix, interpolation=_EXACT, threads=1
            )
            image = np.asarray(converted.to_ndarray(), np.uint8)
        return orientation(frame).apply(image)


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is brought upright: transposed first, then mirrored."""

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    def apply(self, image: Image) -> Image:
        """The picture upright, contiguous."""
        if self.transposed:
            image = image.transpose(1, 0, 2)
        image = image[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1]
        return np.ascontiguousarray(image)


def orientation(frame: VideoFrame) -> Orientation:
    """Read a frame's display matrix, taken to the nearest quarter turn."""
    try:
        data = cast(Mapping[Type, SideData], frame.side_data)[Type.DISPLAYMATRIX]
    except KeyError:
        return Orientation()
    # Shown at x' = a x + c y, y' = b x + d y (libavutil/display.h).
    a, b, _, c, d = np.frombuffer(bytes(memoryview(data)), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(mirrored_x=a < 0, mirrored_y=d < 0)
    return Orientation(transposed=True, mirrored_x=c < 0, mirrored_y=b < 0)


def color_tags(frame: VideoFrame) -> ColorTags:
    """What a frame says about its colours."""
    return ColorTags(
        color_range=RANGE_FULL if frame.format.name.startswith("yuvj") else int(frame.color_range),
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
    )
