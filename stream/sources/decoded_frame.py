"""Frames as FFmpeg decodes them, made into pictures: their own planes where that is possible, the right way up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from engine.arrays import SamplePlane
from engine.pictures.color import RANGE_FULL, ColorTags
from engine.pictures.picture import Picture
from stream.sources.pixel_formats import PIXEL_FORMATS

# swscale's numbers for bilinear, accurate rounding and full chroma: PyAV names the last two from version 18 on only.
_EXACT = 0x2 | 0x40000 | 0x2000


class PictureMaker:
    """Makes pictures of decoded frames; every frame may have another size and format."""

    def __init__(self) -> None:
        """Keeps FFmpeg's scaler from frame to frame, for formats that need it."""
        self._reformatter = VideoReformatter()
        self._rotation: int | None = None
        self._orientation = Orientation()

    def picture(self, frame: VideoFrame) -> Picture:
        """The picture of a frame, upright: its own planes where the format is a known one, else BGR.

        The planes are views of the frame's memory, which they keep.
        """
        tags = color_tags(frame)
        matrix = tags.matrix_for((frame.width, frame.height))
        turn = self._turn_of(frame)
        if turn.transposed:  # what is guessed by size goes by that of the stored picture
            tags = replace(tags, matrix=matrix)
        pixel_format = PIXEL_FORMATS.get(frame.format.name)
        if pixel_format is not None and all(plane.line_size > 0 for plane in frame.planes):
            bits, shift = pixel_format.bits, pixel_format.shift
            picture = Picture(pixel_format.planes_of(frame), color=tags, bits=bits, shift=shift)
            if turn == Orientation():
                return picture
            if _has_whole_blocks(picture):
                return Picture([turn.apply(plane) for plane in picture.planes], color=tags, bits=bits, shift=shift)
            return Picture([turn.apply(picture.to_bgr())], color=tags)
        converted = self._reformatter.reformat(
            frame, format="bgr24", src_colorspace=matrix, interpolation=_EXACT, threads=1
        )
        return Picture([turn.apply(np.asarray(converted.to_ndarray(), np.uint8))], color=tags)

    def _turn_of(self, frame: VideoFrame) -> Orientation:
        """How a frame is brought upright: read anew where its rotation is another one than that of the frame before.

        PyAV's frame and its side data hold each other: each frame whose matrix was read stays in memory, with its
        planes, until Python's collector of cycles comes by.
        """
        if frame.rotation != self._rotation:
            self._rotation, self._orientation = frame.rotation, orientation(frame)
        return self._orientation


def _has_whole_blocks(picture: Picture) -> bool:
    """Whether each value of chroma covers as much luma as the others: a block that is cut short cannot be mirrored."""
    (across, down), (width, height) = picture.step_xy, picture.resolution_wh
    return width % across == 0 and height % down == 0


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is brought upright: transposed first, then mirrored."""

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    def apply(self, pixels: SamplePlane) -> SamplePlane:
        """Pixels or values of a plane upright, contiguous."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return np.ascontiguousarray(pixels[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1])


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
    """What a frame says about its colours; grey has full range, as FFmpeg takes it."""
    full = frame.format.name.startswith(("yuvj", "gray"))
    return ColorTags(
        color_range=RANGE_FULL if full else int(frame.color_range),
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
    )
