"""What the encoder is given: planes as they were decoded where it takes them, else what their colours say."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Plane
from engine.pictures.color import RANGE_LIMITED, ColorTags, YuvCoding, planes_to_bgr
from engine.pictures.picture import Picture
from stream.record.encoder_frames import encoder_frame
from tests.kit.planes import formats, picture_of_format, soft_image

CODING = YuvCoding(1, full_range=False)


def planes_of(frame: av.VideoFrame) -> list[Plane]:
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes
    ]


@pytest.mark.parametrize("size_wh", [(64, 48), (67, 49)])
def test_planes_that_the_encoder_takes_are_given_as_they_are(size_wh: tuple[int, int]) -> None:
    picture = picture_of_format(soft_image(size_wh, 1), (2, 2), color=ColorTags(RANGE_LIMITED, 1))
    luma, blue, red = planes_of(encoder_frame(picture, CODING))
    np.testing.assert_array_equal(luma[: size_wh[1], : size_wh[0]], picture.planes[0])
    np.testing.assert_array_equal(blue, picture.planes[1])
    np.testing.assert_array_equal(red, picture.planes[2])
    if size_wh[0] % 2:
        np.testing.assert_array_equal(luma[:-1, -1], picture.planes[0][:, -1])
        np.testing.assert_array_equal(luma[-1, :-1], picture.planes[0][-1])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_every_format_keeps_its_colours(data: st.DataObject) -> None:
    size_wh = data.draw(st.integers(16, 90)), data.draw(st.integers(16, 90))
    image = soft_image(size_wh, data.draw(st.integers(0, 99)))
    picture = data.draw(formats(image) | st.just(Picture.of(image)))
    planes = planes_of(encoder_frame(picture, CODING))
    made = planes_to_bgr(planes, CODING, step_xy=(2, 2)).astype(int)[: size_wh[1], : size_wh[0]]
    expected = picture.image.astype(int)
    # Chroma is averaged: compared in blocks.
    across, down = size_wh[0] // 4 * 4, size_wh[1] // 4 * 4

    def blocks(
        pixels: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        cut = pixels[:down, :across].reshape(down // 4, 4, across // 4, 4, 3)
        return np.asarray(cut.mean(axis=(1, 3)), np.float64)

    assert np.abs(blocks(made) - blocks(expected)).max() <= 2.5
