"""The page's JPEGs: straight from planes, in the colours that the picture has."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Image
from engine.errors import RunError
from engine.pictures.picture import Picture
from stream.live.page.jpeg import encode_jpeg
from tests.kit.planes import formats, soft_image


def decoded(jpeg: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_browser_sees_the_colours_of_the_picture(data: st.DataObject) -> None:
    size_wh = data.draw(st.integers(96, 300)), data.draw(st.integers(96, 300))
    image = soft_image(size_wh, data.draw(st.integers(0, 99)))
    picture = data.draw(formats(image) | st.just(Picture.of(image)))
    max_width = data.draw(st.sampled_from([1280, 100, 75]))
    found = decoded(encode_jpeg(picture, quality=95, max_width=max_width))
    width = min(size_wh[0], max_width)
    assert found.shape[:2] == (round(size_wh[1] * width / size_wh[0]), width)
    expected = cv2.resize(picture.image, found.shape[1::-1], interpolation=cv2.INTER_AREA)
    # Means of the quarters: JPEG and another way of scaling change single pixels.
    for part in np.ndindex(2, 2):
        rows, columns = (
            slice(half * (side // 2), (half + 1) * (side // 2))
            for half, side in zip(part, found.shape[:2], strict=True)
        )
        difference = found[rows, columns].mean(axis=(0, 1)) - expected[rows, columns].mean(axis=(0, 1))
        assert np.abs(difference).max() <= 3


def test_a_picture_without_area_is_refused() -> None:
    with pytest.raises(RunError, match="cannot be encoded for the page"):
        encode_jpeg(np.zeros((0, 5, 3), np.uint8), quality=80, max_width=1280)
