from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.windows.grid import WindowGrid
from engine.windows.preprocess import Letterbox, lay_in, normalise


def test_positions_of_a_small_grid() -> None:
    grid = WindowGrid((64, 32), strides=(16, 32))
    assert len(grid) == 4 * 2 + 2 * 1
    assert grid.centres_xy[0].tolist() == [8, 8]
    assert grid.centres_xy[3].tolist() == [56, 8]  # end of the first row
    assert grid.centres_xy[4].tolist() == [8, 24]  # second row
    assert grid.centres_xy[8].tolist() == [16, 16]  # second level
    assert grid.stride_of.tolist() == [16] * 8 + [32] * 2


def test_boxes_reach_by_their_distances() -> None:
    grid = WindowGrid((64, 32), strides=(16, 32))
    boxes = grid.boxes_xyxy(np.array([[0.5, 0.25, 1.0, 2.0]], np.float32), np.array([9]))
    assert boxes.tolist() == [[48 - 16, 16 - 8, 48 + 32, 16 + 64]]


@pytest.mark.parametrize("input_wh", [(0, 64), (60, 64), (64, 33), (-32, 32)])
def test_sizes_that_do_not_fit_the_strides(input_wh: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        WindowGrid(input_wh)


_coordinate = st.integers(0, 500)
_side = st.integers(1, 900)


@given(_coordinate, _coordinate, _side, _side)
def test_letterbox_goes_there_and_back(x: int, y: int, width: int, height: int) -> None:
    letterbox = Letterbox.fit((x, y, x + width, y + height), (288, 256))
    left, top, right, bottom = letterbox.inner_xyxy
    assert 0 <= left < right <= 288 and 0 <= top < bottom <= 256
    field = letterbox.to_frame(np.array([[left, top, right, bottom]], np.float32))[0]
    # The inner box is whole pixels of the input, so the way back is exact to one of them.
    assert np.abs(field - [x, y, x + width, y + height]).max() <= 1.01 / letterbox.scale


def test_empty_field_is_refused() -> None:
    with pytest.raises(ValueError, match="must have an area"):
        Letterbox.fit((5, 5, 5, 9), (64, 64))


def test_only_the_field_reaches_the_input() -> None:
    image = np.full((100, 120, 3), 255, np.uint8)
    image[20:80, 30:90] = (10, 20, 30)
    laid, letterbox = lay_in(image, (30, 20, 90, 80), (64, 32))
    assert letterbox.inner_xyxy == (16, 0, 48, 32)
    assert (laid[:, 16:48] == (10, 20, 30)).all()
    assert not laid[:, :16].any() and not laid[:, 48:].any()


def test_what_the_mask_leaves_out_is_black() -> None:
    image = np.full((64, 64, 3), 200, np.uint8)
    mask = np.zeros((64, 64), np.bool_)
    mask[:, 32:] = True
    laid, _ = lay_in(image, (0, 0, 64, 64), (64, 64), mask=mask)
    assert not laid[:, :32].any() and (laid[:, 32:] == 200).all()


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_large_fields_are_shrunk_by_their_mean(width: int, height: int) -> None:
    """Stripes finer than the input average out instead of leaving a pattern, and the way back stays exact."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, ::2] = 200
    laid, letterbox = lay_in(image, (0, 0, width, height), (96, 64))
    left, top, right, bottom = letterbox.inner_xyxy
    inner = laid[top:bottom, left:right]
    if letterbox.scale < 0.25 and min(width, height) >= 64:
        assert inner.min() >= 60 and inner.max() <= 140
    box = letterbox.to_frame(np.array([[left, top, right, bottom]], np.float32))[0]
    step = 1.01 / letterbox.scale
    assert np.abs(box - [0, 0, width, height]).max() <= 2 * step


def test_normalise_gives_rgb_planes() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[1, 2] = (255, 127, 0)  # blue, green, red
    planes = normalise([picture, picture], 127.0, 128.0)
    assert planes.shape == (2, 3, 4, 6) and planes.dtype == np.float32
    assert planes[1, :, 1, 2] == pytest.approx([-127 / 128, 0, 1])
