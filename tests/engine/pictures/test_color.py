"""Colour conversion against the defining equations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pictures.color import ColorTags, YuvCoding, bgr_to_planes, planes_to_bgr, recoded

WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
levels = st.integers(0, 255)
codings = st.builds(
    YuvCoding, st.sampled_from(sorted(WEIGHTS)), st.booleans(), st.sampled_from([8, 10, 12, 16]), st.just(0)
) | st.builds(YuvCoding, st.sampled_from(sorted(WEIGHTS)), st.booleans(), st.just(10), st.just(6))


def exact_yuv(bgr: tuple[int, int, int], coding: YuvCoding) -> npt.NDArray[np.float64]:
    """The equations of BT.601, BT.709 and BT.2020, unrounded."""
    red_weight, blue_weight = WEIGHTS[coding.matrix]
    blue, green, red = bgr
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    cb, cr = (blue - luma) / (2 * (1 - blue_weight)), (red - luma) / (2 * (1 - red_weight))
    place = 2.0**coding.shift
    if coding.full_range:
        gain, middle = (2**coding.bits - 1) / 255, 2.0 ** (coding.bits - 1)
        return np.array([luma * gain, cb * gain + middle, cr * gain + middle]) * place
    unit = 2.0 ** (coding.bits - 8)
    return np.array([16 + luma * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255]) * unit * place


@given(bgr=st.tuples(levels, levels, levels), coding=codings)
def test_a_colour_becomes_the_yuv_of_the_equations_and_comes_back(bgr: tuple[int, int, int], coding: YuvCoding) -> None:
    image = np.full((2, 4, 3), bgr, np.uint8)
    planes = bgr_to_planes(image, coding, step_xy=(2, 2))
    assert all(plane.dtype == coding.dtype for plane in planes)
    values = np.array([plane[0, 0] for plane in planes], float)
    largest = (2**coding.bits - 1) * 2**coding.shift
    # Half a value of rounding, and what single precision loses of the largest ones.
    room = 0.7 + largest * 2e-6
    assert np.abs(values - np.clip(exact_yuv(bgr, coding), 0, largest)).max() <= room
    back = planes_to_bgr(planes, coding, step_xy=(2, 2))
    assert back.shape == (2, 4, 3)
    # Half a level of each plane is worth up to 1.1 levels of a colour in limited range, before rounding.
    assert np.abs(back.astype(int) - bgr).max() <= (2 if coding.bits == 8 else 1)


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full_range", [False, True])
def test_the_conversion_does_not_shift_the_brightness(matrix: int, full_range: bool) -> None:
    coding = YuvCoding(matrix, full_range)
    image = np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    back = planes_to_bgr(bgr_to_planes(image, coding, step_xy=(2, 2)), coding, step_xy=(2, 2))
    assert np.abs((back.astype(float) - image).mean(axis=(0, 1))).max() < 0.2


@pytest.mark.parametrize("shape", [(5, 7), (6, 8), (97, 131)])
@pytest.mark.parametrize("step_xy", [(2, 2), (2, 1), (1, 2), (4, 1), (4, 4)])
def test_each_chroma_value_covers_its_own_pixels(shape: tuple[int, int], step_xy: tuple[int, int]) -> None:
    (height, width), (across, down) = shape, step_xy
    chroma = np.random.default_rng(1).integers(0, 256, (-(-height // down), -(-width // across)), np.uint8)
    luma, grey = np.full(shape, 128, np.uint8), np.full_like(chroma, 128)
    image = planes_to_bgr([luma, chroma, grey], YuvCoding(6, full_range=True), step_xy=step_xy)
    full = chroma.repeat(down, 0).repeat(across, 1)[:height, :width]
    expected = np.clip(128 + 1.772 * (full.astype(float) - 128), 0, 255)
    assert np.abs(image[:, :, 0] - expected).max() <= 1


def test_a_picture_nobody_drew_on_keeps_its_planes() -> None:
    rng = np.random.default_rng(2)
    luma = rng.integers(60, 190, (48, 64), np.uint8)
    blue, red = (rng.integers(118, 138, (24, 32), np.uint8) for _ in range(2))
    coding = YuvCoding(1, full_range=False)
    again = bgr_to_planes(planes_to_bgr([luma, blue, red], coding, step_xy=(2, 2)), coding, step_xy=(2, 2))
    for before, after in zip((luma, blue, red), again, strict=True):
        assert np.abs(before.astype(int) - after).max() <= 1


@pytest.mark.parametrize(("full_range", "black", "white"), [(True, 0, 1023), (False, 64, 940)])
def test_grey_reaches_from_black_to_white(full_range: bool, black: int, white: int) -> None:
    luma = np.array([[black, white]], np.uint16)
    assert planes_to_bgr([luma], YuvCoding(1, full_range, bits=10)).tolist() == [[[0, 0, 0], [255, 255, 255]]]


@given(bgr=st.tuples(*[st.integers(30, 225)] * 3), coding=codings, wanted=codings)
def test_planes_come_to_mean_something_else_as_over_colours(
    bgr: tuple[int, int, int], coding: YuvCoding, wanted: YuvCoding
) -> None:
    wanted = replace(wanted, bits=8, shift=0)
    planes = bgr_to_planes(np.full((4, 6, 3), bgr, np.uint8), coding, step_xy=(2, 2))
    made = recoded(planes, coding, wanted, step_xy=(2, 2))
    assert [plane.dtype for plane in made] == [np.uint8] * 3
    assert [plane.shape for plane in made] == [(4, 6), (2, 3), (2, 3)]
    # The values that are given were rounded before, and these are.
    found = np.array([plane[0, 0] for plane in made], float)
    assert np.abs(found - exact_yuv(bgr, wanted)).max() <= (2 if coding.bits == 8 else 1.2)
    (grey,) = recoded([planes[0]], coding, wanted)
    expected = bgr_to_planes(planes_to_bgr([planes[0]], coding), wanted)[0]
    assert np.abs(grey.astype(int) - expected).max() <= 1


def test_planes_that_mean_what_is_wanted_stay_as_they_are() -> None:
    planes = [np.random.default_rng(3).integers(0, 256, shape, np.uint8) for shape in ((8, 8), (4, 4), (4, 4))]
    for before, after in zip(planes, recoded(planes, YuvCoding(1, False), YuvCoding(1, False)), strict=True):
        np.testing.assert_array_equal(before, after)


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
