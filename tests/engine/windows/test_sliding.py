from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.windows.sliding import SlidingGrid, cut_windows, inside_shares

SHARES = st.floats(0.1, 1.0)


@given(
    left=st.integers(0, 50),
    top=st.integers(0, 50),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    sizes=st.lists(SHARES, min_size=1, max_size=3),
    stride=SHARES,
)
def test_windows_cover_the_field_in_steps_no_longer_than_asked(
    left: int, top: int, width: int, height: int, sizes: list[float], stride: float
) -> None:
    box = (left, top, left + width, top + height)
    windows = SlidingGrid(tuple(sizes), stride).windows_xyxy(box)
    assert windows.dtype == np.int32 and len(windows)
    assert (windows[:, :2] >= box[:2]).all() and (windows[:, 2:] <= box[2:]).all()
    sides = windows[:, 2:] - windows[:, :2]
    assert (sides[:, 0] == sides[:, 1]).all() and (sides > 0).all()
    assert set(sides[:, 0].tolist()) == {max(1, round(size * min(width, height))) for size in sizes}
    for side in set(sides[:, 0].tolist()):
        of_size = windows[sides[:, 0] == side]
        for axis, end in ((0, box[2]), (1, box[3])):
            starts = np.unique(of_size[:, axis])
            assert starts[0] == box[axis] and starts[-1] + side == end
            if len(starts) > 1:
                assert np.diff(starts).max() <= max(1.0, stride * side) + 1  # rounded to pixels


def test_windows_that_lie_outside_the_mask_are_left_out() -> None:
    mask = np.zeros((100, 200), np.bool_)
    mask[:, :100] = True
    grid = SlidingGrid((0.4,), 0.25, least_inside=0.5)
    windows = grid.windows_xyxy((0, 0, 200, 100), mask)
    every = grid.windows_xyxy((0, 0, 200, 100))
    assert 0 < len(windows) < len(every)
    assert (windows[:, 0] <= 80).all()  # at most half of 40 pixels beyond column 100
    kept = {tuple(row) for row in windows.tolist()}
    for row, share in zip(every.tolist(), inside_shares(every, mask).tolist(), strict=True):
        x1, y1, x2, y2 = row
        assert share == pytest.approx(mask[y1:y2, x1:x2].mean())
        assert (tuple(row) in kept) == (share >= 0.5)


def test_windows_fit_every_resolution() -> None:
    small = SlidingGrid().windows_xyxy((10, 20, 330, 260))
    large = SlidingGrid().windows_xyxy((40, 80, 1320, 1040))
    assert len(small) == len(large) > 50
    assert np.abs(small * 4 - large).max() <= 4


def test_a_field_without_area_has_no_windows() -> None:
    assert SlidingGrid().windows_xyxy((5, 5, 5, 90)).shape == (0, 4)


def test_cut_windows_show_their_place() -> None:
    # Smooth, so that one pixel of rounding changes little.
    x, y = np.meshgrid(np.linspace(0, 3, 240), np.linspace(0, 3, 180))
    image = np.stack([120 + 100 * np.sin(x + k) * np.cos(y) for k in range(3)], 2).astype(np.uint8)
    box = (20, 10, 220, 170)
    windows = SlidingGrid((0.3, 0.7), 0.5).windows_xyxy(box)
    for wh in ((32, 32), (120, 120)):  # shrunk and enlarged
        cut = cut_windows(image, box, windows, wh)
        assert len(cut) == len(windows)
        for picture, (x1, y1, x2, y2) in zip(cut, windows.tolist(), strict=True):
            assert picture.shape == (wh[1], wh[0], 3)
            assert np.abs(picture.mean((0, 1)) - image[y1:y2, x1:x2].mean((0, 1))).max() < 4
            corner = image[y1 : y1 + 4, x1 : x1 + 4].mean((0, 1))
            assert np.abs(picture[:2, :2].mean((0, 1)) - corner).max() < 12


def test_cut_windows_are_black_outside_the_mask() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    mask = np.ones((100, 100), np.bool_)
    mask[:, 50:] = False
    windows = np.array([[0, 0, 50, 50], [50, 0, 100, 50]], np.int32)
    inside, outside = cut_windows(image, (0, 0, 100, 100), windows, (50, 50), mask=mask)
    assert (inside == 200).all() and not outside.any()
    assert (image == 200).all()  # the frame itself is untouched


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": ()}, "sizes"),
        ({"sizes": (0.0,)}, "sizes"),
        ({"sizes": (1.2,)}, "sizes"),
        ({"stride": 0.0}, "stride"),
        ({"stride": float("nan")}, "stride"),
        ({"least_inside": 1.5}, "inside"),
    ],
)
def test_bad_grids_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlidingGrid(**arguments)  # type: ignore[arg-type]
