"""Colour conversion against the defining equations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.yuv import ColorTags, bgr_to_yuv420, yuv_to_bgr

WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
levels = st.integers(0, 255)


def exact_yuv(bgr: tuple[int, int, int], matrix: int, full_range: bool) -> npt.NDArray[np.float64]:
    """The equations of BT.601 and BT.709, unrounded."""
    red_weight, blue_weight = WEIGHTS[matrix]
    blue, green, red = bgr
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    cb, cr = (blue - luma) / (2 * (1 - blue_weight)), (red - luma) / (2 * (1 - red_weight))
    if full_range:
        return np.array([luma, cb + 128, cr + 128])
    return np.array([16 + luma * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255])


@given(bgr=st.tuples(levels, levels, levels), matrix=st.sampled_from(sorted(WEIGHTS)), full_range=st.booleans())
def test_a_colour_becomes_the_yuv_of_the_equations_and_comes_back(
    bgr: tuple[int, int, int], matrix: int, full_range: bool
) -> None:
    image = np.full((2, 4, 3), bgr, np.uint8)
    planes = bgr_to_yuv420(image, matrix=matrix, full_range=full_range)
    values = np.array([plane[0, 0] for plane in planes], float)
    assert np.abs(values - np.clip(exact_yuv(bgr, matrix, full_range), 0, 255)).max() <= 0.7
    back = yuv_to_bgr(*planes, matrix=matrix, full_range=full_range)
    assert back.shape == (2, 4, 3)
    # Half a level of each plane is worth up to 1.1 levels of a colour in limited range, before rounding.
    assert np.abs(back.astype(int) - bgr).max() <= 2


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full_range", [False, True])
def test_the_conversion_does_not_shift_the_brightness(matrix: int, full_range: bool) -> None:
    image = np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    back = yuv_to_bgr(*bgr_to_yuv420(image, matrix=matrix, full_range=full_range), matrix=matrix, full_range=full_range)
    assert np.abs((back.astype(float) - image).mean(axis=(0, 1))).max() < 0.2


@pytest.mark.parametrize("shape", [(5, 7), (6, 8), (97, 131)])
def test_each_chroma_value_covers_its_own_pixels(shape: tuple[int, int]) -> None:
    height, width = shape
    chroma = np.random.default_rng(1).integers(0, 256, (-(-height // 2), -(-width // 2)), np.uint8)
    luma, grey = np.full(shape, 128, np.uint8), np.full_like(chroma, 128)
    image = yuv_to_bgr(luma, chroma, grey, matrix=6, full_range=True)
    full = chroma.repeat(2, 0).repeat(2, 1)[:height, :width]
    expected = np.clip(128 + 1.772 * (full.astype(float) - 128), 0, 255)
    assert np.abs(image[:, :, 0] - expected).max() <= 1


def test_a_picture_nobody_drew_on_keeps_its_planes() -> None:
    rng = np.random.default_rng(2)
    luma = rng.integers(60, 190, (48, 64), np.uint8)
    blue, red = (rng.integers(118, 138, (24, 32), np.uint8) for _ in range(2))
    image = yuv_to_bgr(luma, blue, red, matrix=1, full_range=False)
    again = bgr_to_yuv420(image, matrix=1, full_range=False)
    for before, after in zip((luma, blue, red), again, strict=True):
        assert np.abs(before.astype(int) - after).max() <= 1


@pytest.mark.parametrize(
    ("tags", "size", "matrix"),
    [
        (ColorTags(), (720, 576), 6),  # untagged, standard definition
        (ColorTags(), (1280, 720), 1),  # untagged, high definition
        (ColorTags(), (930, 720), 1),
        (ColorTags(matrix=6), (1920, 1080), 6),  # what is tagged counts
        (ColorTags(matrix=1), (352, 240), 1),
        (ColorTags(matrix=0), (352, 240), 6),  # RGB has no YUV matrix
    ],
)
def test_the_matrix_follows_the_tag_then_the_size(tags: ColorTags, size: tuple[int, int], matrix: int) -> None:
    assert tags.matrix_for(size) == matrix
