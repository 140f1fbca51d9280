"""What frames show: rendered mucosa, a room, nothing, the same picture again."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.examinations import room
from engine.arrays import Image
from stream.frame import PictureState
from stream.sources.opening import open_source
from stream.view.field_of_view import find_field_of_view
from stream.view.frame_quality import Flaw
from stream.view.picture_state import PictureWatch

_CLIP = Path(__file__).resolve().parents[3] / "examples" / "colon.mp4"


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    """Some frames of the sample clip."""
    found = []
    for frame in open_source(_CLIP):
        found.append(frame.image)
        if len(found) == 12:
            break
    return found


def _states(images: list[Image], *, steady: bool = True) -> list[PictureState]:
    watch = PictureWatch(steady=steady)
    return [watch.update(image, find_field_of_view(image))[1] for image in images]


def test_a_moving_picture_is_useful(frames: list[Image]) -> None:
    assert _states(frames) == [PictureState.USEFUL] * len(frames)


def test_a_picture_that_stays_is_still(frames: list[Image]) -> None:
    again = [frames[0], frames[0], frames[0], frames[6]]
    useful, still = PictureState.USEFUL, PictureState.STILL
    assert _states(again) == [useful, still, still, useful]
    assert _states(again, steady=False) == [useful] * 4


def test_flaws_are_told_beside_the_state(frames: list[Image]) -> None:
    blurred = np.asarray(cv2.GaussianBlur(frames[0], (0, 0), 25), np.uint8)
    field = find_field_of_view(frames[0])
    assert PictureWatch().update(blurred, field) == (Flaw.BLUR, PictureState.BLURRED)
    white = np.full_like(frames[0], 240)
    assert PictureWatch().update(white, field) == (Flaw.WASH, PictureState.WASHED_OUT)


def test_black_and_one_colour(frames: list[Image]) -> None:
    height, width = frames[0].shape[:2]
    assert _states([np.zeros((height, width, 3), np.uint8)]) == [PictureState.BLACK]
    wall = np.full((height, width, 3), (150, 140, 120), np.uint8)
    mucosa = np.full((height, width, 3), (40, 50, 160), np.uint8)
    assert _states([wall, mucosa]) == [PictureState.OUTSIDE, PictureState.BLURRED]


def test_a_room_is_outside() -> None:
    mask = np.full((240, 320), 255, np.uint8)
    states = [state for seed in range(5) for state in _states(list(room(seed, mask=mask, frames=8)))]
    assert states == [PictureState.OUTSIDE] * len(states)


@pytest.mark.data
def test_real_frames_of_the_inside_are_not_taken_for_a_room(data_dir: Path) -> None:
    pictures = sorted((data_dir / "cvc-clinicdb" / "images").iterdir())[::6]
    assert len(pictures) > 90
    read = [np.asarray(cv2.imread(str(path)), np.uint8) for path in pictures]
    states = _states(read, steady=False)
    assert not {PictureState.OUTSIDE, PictureState.BLACK} & set(states)
