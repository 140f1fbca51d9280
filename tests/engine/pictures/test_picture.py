"""Pictures as they were decoded: BGR of them, parts, samples, and the network's input straight from the planes."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.pictures.color import ColorTags
from engine.pictures.picture import Picture
from engine.windows.preprocess import lay_in
from tests.kit.planes import STEPS, formats, picture_of_format, soft_image


@st.composite
def pictures(draw: st.DrawFn, *, least: int = 16, most: int = 700) -> Picture:
    size_wh = draw(st.integers(least, most)), draw(st.integers(least, most))
    return draw(formats(soft_image(size_wh, draw(st.integers(0, 99)))))


@st.composite
def boxes(draw: st.DrawFn, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    x1, y1 = draw(st.integers(0, size_wh[0] - 8)), draw(st.integers(0, size_wh[1] - 8))
    return x1, y1, draw(st.integers(x1 + 8, size_wh[0])), draw(st.integers(y1 + 8, size_wh[1]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_part_is_that_part_of_the_whole(data: st.DataObject) -> None:
    picture = data.draw(pictures(most=90))
    x1, y1, x2, y2 = box = data.draw(boxes(picture.resolution_wh))
    # In more than 8 bits OpenCV rounds a half either way, by the place in a row.
    room = 0 if picture.coding.bits == 8 else 1
    part = picture.to_bgr(box).astype(int)
    assert np.abs(part - picture.image[y1:y2, x1:x2]).max() <= room
    size_wh = data.draw(st.integers(1, 50)), data.draw(st.integers(1, 50))
    expected = cv2.resize(picture.image[y1:y2, x1:x2], size_wh, interpolation=cv2.INTER_NEAREST)
    assert np.abs(picture.sampled(size_wh, box).astype(int) - expected).max() <= room


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_networks_input_is_that_of_the_bgr_picture_to_one_grey_level(data: st.DataObject) -> None:
    picture = data.draw(pictures())
    box = data.draw(boxes(picture.resolution_wh))
    mask = np.random.default_rng(0).random(picture.shape[:2]) < 0.9 if data.draw(st.booleans()) else None
    made, placed = lay_in(picture, box, (64, 48), mask=mask)
    expected, same_place = lay_in(picture.image, box, (64, 48), mask=mask)
    assert placed == same_place
    difference = np.abs(made.astype(int) - expected)
    # That of BGR was rounded after each step itself: where all its errors add up, two levels.
    assert difference.max() <= 2
    assert (difference > 1).mean() <= 0.001
    assert difference.mean() <= 0.5


@pytest.mark.parametrize("name", sorted(STEPS))
def test_steps_are_read_off_the_planes(name: str) -> None:
    for size_wh in ((64, 48), (67, 49)):
        assert picture_of_format(soft_image(size_wh, 1), STEPS[name], color=ColorTags()).step_xy == STEPS[name]


def test_bgr_is_made_once_by_whichever_thread_comes_first() -> None:
    picture = picture_of_format(soft_image((640, 480), 1), (2, 2), color=ColorTags())
    start = threading.Barrier(8)
    found: list[int] = []

    def ask() -> None:
        start.wait()
        found.append(id(picture.image))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [id(picture.image)] * 8


def test_a_picture_that_came_as_bgr_is_its_own_image() -> None:
    image = soft_image((64, 48), 1)
    picture = Picture.of(image)
    assert picture.is_bgr and picture.step_xy == (1, 1)
    assert np.shares_memory(picture.image, image)
    assert Picture.of(picture) is picture
    assert picture.nbytes == image.nbytes
