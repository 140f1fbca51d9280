"""Real files of every pixel format: planes as FFmpeg decodes them, and colours as its own exact conversion has them."""

from __future__ import annotations

import gc
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from engine.arrays import Image
from engine.pictures.color import RANGE_FULL, RANGE_LIMITED, ColorTags
from stream.sources.decoded_frame import PictureMaker
from stream.sources.opening import open_source
from stream.sources.pixel_formats import PIXEL_FORMATS
from tests.kit.media import make_video

_EXACT = 0x2 | 0x40000 | 0x2000
_SIZE = (130, 98)


def patches() -> Image:
    """Even patches of 16x14 pixels: repeated and interpolated chroma are the same in their middles."""
    colours = np.random.default_rng(4).integers(40, 215, (7, 8, 3), np.uint8)
    return np.asarray(cv2.resize(colours, _SIZE, interpolation=cv2.INTER_NEAREST), np.uint8)


def middles(image: Image) -> Image:
    """The middle pixel of each patch."""
    return image[7:98:14, 8:130:16].astype(np.int16)


def encoded_as(name: str, color: ColorTags) -> av.VideoFrame:
    frame = VideoReformatter().reformat(
        av.VideoFrame.from_ndarray(patches(), "bgr24"),
        format=name,
        dst_colorspace=color.matrix,
        dst_color_range=color.color_range,
        interpolation=_EXACT,
    )
    frame.colorspace, frame.color_range = color.matrix, color.color_range
    return frame


@pytest.mark.parametrize("name", sorted(PIXEL_FORMATS))
def test_colours_are_those_of_ffmpegs_own_conversion(name: str) -> None:
    for matrix in (1, 6, 9):
        for color_range in (RANGE_LIMITED, RANGE_FULL):
            frame = encoded_as(name, ColorTags(color_range, matrix))
            picture = PictureMaker().picture(frame)
            assert not picture.is_bgr
            assert picture.step_xy == PIXEL_FORMATS[name].step_xy
            exact = VideoReformatter().reformat(
                frame, format="bgr24", src_colorspace=matrix, src_color_range=color_range, interpolation=_EXACT
            )
            expected = middles(np.asarray(exact.to_ndarray(), np.uint8))
            assert np.abs(middles(picture.image) - expected).max() <= 1, (matrix, color_range)


@pytest.mark.parametrize("name", ["bgr24", "rgb24", "rgba", "gbrp", "yuv420p10be", "pal8"])
def test_other_formats_become_bgr(name: str) -> None:
    if name == "pal8":
        frame = av.VideoFrame(64, 48, name)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        assert PictureMaker().picture(frame).shape == (48, 64, 3)
        return
    picture = PictureMaker().picture(encoded_as(name, ColorTags(RANGE_LIMITED, 1)))
    assert picture.is_bgr
    assert np.abs(middles(picture.image) - middles(patches())).max() <= 2


@pytest.mark.parametrize(
    ("codec", "ending", "name", "kept"),
    [
        ("libx264", ".mp4", "yuv420p", "yuv420p"),
        ("libx264", ".mkv", "yuvj420p", "yuvj420p"),
        ("libx264", ".mkv", "yuv422p", "yuv422p"),
        ("libx264", ".mkv", "yuv444p", "yuv444p"),
        ("libx264", ".mkv", "yuv420p10le", "yuv420p10le"),
        ("libx264", ".mkv", "yuv422p10le", "yuv422p10le"),
        ("ffv1", ".mkv", "gray", "gray"),
        ("ffv1", ".mkv", "gray10le", "gray10le"),
        ("ffv1", ".mkv", "yuv411p", "yuv411p"),
        ("v210", ".mov", "yuv422p10le", "yuv422p10le"),  # 10 bits by SDI
        ("rawvideo", ".nut", "uyvy422", "uyvy422"),
        ("rawvideo", ".nut", "yuyv422", "yuyv422"),
        ("rawvideo", ".nut", "nv12", "nv12"),
    ],
)
def test_a_files_planes_are_those_that_ffmpeg_decodes(
    tmp_path: Path, codec: str, ending: str, name: str, kept: str
) -> None:
    path = tmp_path / f"film{ending}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.codec_context.width, stream.codec_context.height = _SIZE
        stream.codec_context.pix_fmt = name
        for number in range(3):
            frame = encoded_as(name, ColorTags(RANGE_LIMITED, 1))
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    with open_source(path) as source:
        read = list(source)
    assert [frame.format.name for frame in decoded] == [kept] * 3
    assert len(read) == 3
    pixel_format = PIXEL_FORMATS[kept]
    for one, own in zip(read, decoded, strict=True):
        coding = one.picture.coding
        assert (coding.bits, coding.shift) == (pixel_format.bits, pixel_format.shift)
        for plane, expected in zip(one.picture.planes, pixel_format.planes_of(own), strict=True):
            np.testing.assert_array_equal(plane, expected)


def test_frames_that_are_done_with_leave_memory_at_once(tmp_path: Path) -> None:
    """Not with the collector of cycles: until it comes by, dozens of large frames would lie there."""
    path = make_video(tmp_path / "film.mp4", frames=60)
    gc.collect()
    gc.disable()
    try:
        with open_source(path) as source:
            for frame in source:
                assert frame.picture.shape == (96, 128, 3)
            waiting = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
    finally:
        gc.enable()
    assert waiting <= 10
