"""Numbers in pictures: written, coded, scaled, read."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Image
from stream.live.states.time_code import LARGEST, draw_time_code, read_time_code
from tests.kit.media import make_video

numbers = st.integers(0, LARGEST)


def picture(number: int, size_wh: tuple[int, int] = (640, 480), seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size_wh[1] // 8 + 1, size_wh[0] // 8 + 1, 3), np.uint8)
    image = np.ascontiguousarray(cv2.resize(noise, size_wh), np.uint8)
    draw_time_code(image, number)
    return image


@given(numbers, st.integers(102, 700), st.integers(90, 500))
@settings(max_examples=60)
def test_reads_what_was_written_at_any_size(number: int, width: int, height: int) -> None:
    assert read_time_code(picture(number, (width, height))) == number


@given(numbers, st.integers(25, 95))
@settings(max_examples=30)
def test_survives_jpeg(number: int, quality: int) -> None:
    data = cv2.imencode(".jpg", picture(number, seed=number), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    assert read_time_code(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)) == number


@given(numbers, st.floats(0.5, 2.0))
@settings(max_examples=30)
def test_survives_even_scaling(number: int, share: float) -> None:
    assert read_time_code(np.asarray(cv2.resize(picture(number), None, fx=share, fy=share), np.uint8)) == number


@given(numbers, st.floats(0.4, 1.0), st.integers(0, 60))
@settings(max_examples=30)
def test_survives_other_brightness_and_contrast(number: int, gain: float, lift: int) -> None:
    changed = cv2.convertScaleAbs(picture(number), alpha=gain, beta=lift)
    assert read_time_code(np.asarray(changed, np.uint8)) == number


@given(numbers, st.integers(0, 31))
@settings(max_examples=60)
def test_a_single_wrong_block_is_never_taken_for_a_number(number: int, bit: int) -> None:
    image = picture(number)
    row, column = divmod(bit + 2, 17)
    left, block = (640 - 17 * 16) // 2, 16
    part = image[row * block : (row + 1) * block, left + column * block : left + (column + 1) * block]
    part[:] = 251 - part  # black 16, white 235
    assert read_time_code(image) is None


@pytest.mark.parametrize("grey", [0, 16, 128, 235, 255])
def test_plain_pictures_hold_no_number(grey: int) -> None:
    assert read_time_code(np.full((480, 640, 3), grey, np.uint8)) is None


def test_blocks_that_went_dark_are_not_taken_for_number_0() -> None:
    image = picture(5)
    image[:32, :200] = image[:32, 216:] = 16  # beside the white block of reference
    image[16:32] = 16  # of all blocks only the white one of reference is left
    assert read_time_code(image) is None


def test_noise_holds_no_number() -> None:
    rng = np.random.default_rng(3)
    assert [read_time_code(rng.integers(0, 256, (480, 640, 3), np.uint8)) for _ in range(20)] == [None] * 20


def test_survives_low_rate_h264(tmp_path: Path) -> None:
    wanted = [0, 1, LARGEST, 0x555555, 0xAAAAAA, 12345, 54321, 99999]
    video = make_video(
        tmp_path / "x.mp4",
        frames=len(wanted),
        size=(640, 480),
        options={"crf": "40"},
        draw=lambda place, size: picture(wanted[place], size, place),
    )
    with av.open(str(video)) as container:
        read = [read_time_code(frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
    assert read == wanted


@pytest.mark.parametrize("number", [-1, LARGEST + 1])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"Received: {number}"):
        picture(number)


def test_pictures_without_room_are_refused_and_hold_nothing() -> None:
    image = np.zeros((80, 120, 3), np.uint8)
    with pytest.raises(ValueError, match="Received: 120x80"):
        draw_time_code(image, 1)
    assert read_time_code(image) is None
