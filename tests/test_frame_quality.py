"""Frames that show nothing useful are told from those that do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import InputError
from stream.frame import FieldOfView
from stream.sources.video import VideoSource
from stream.view.field_of_view import find_field_of_view
from stream.view.frame_quality import Flaw, QualitySettings, find_flaw
from tests.endoscope_pictures import octagon, on_margin, tissue

_CLIP = Path(__file__).resolve().parents[1] / "examples" / "colon.mp4"


def _blurred(image: Image) -> Image:
    """Far out of focus: what a twentieth of the width leaves of it."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (20, 20 * height // width), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture(scope="module")
def scene() -> Image:
    with VideoSource(_CLIP) as source:
        return next(iter(source)).image


@pytest.mark.parametrize("width", [320, 640, 1280, 1920])
def test_sharp_blurred_and_washed(scene: Image, width: int) -> None:
    image = np.asarray(cv2.resize(scene, (width, width * 3 // 4)), np.uint8)
    field = find_field_of_view(image)
    assert field.has_picture
    assert find_flaw(image, field) is None
    assert find_flaw(_blurred(image), field) is Flaw.BLUR
    washed = image.copy()
    washed[:, : width * 3 // 5] = 235
    assert find_flaw(washed, field) is Flaw.WASH
    lenient = QualitySettings(sharpness=0, white_share=1)
    assert find_flaw(_blurred(image), field, lenient) is None
    assert find_flaw(washed, field, lenient) is None


def test_no_picture() -> None:
    black = np.zeros((240, 320, 3), np.uint8)
    assert find_flaw(black, find_field_of_view(black)) is Flaw.NO_PICTURE


def test_the_edge_of_the_field_is_no_detail() -> None:
    wh, box = (640, 480), (100, 20, 620, 460)
    mask = octagon(wh, box)
    picture = _blurred(tissue(wh))
    frame = on_margin(picture, mask)
    assert find_flaw(frame, FieldOfView(box, mask)) is Flaw.BLUR


def test_a_tiny_field_is_no_reason_to_pause() -> None:
    image = np.full((64, 64, 3), 90, np.uint8)
    assert find_flaw(image, FieldOfView((10, 10, 18, 18))) is None


@pytest.mark.parametrize("wrong", [{"sharpness": -1.0}, {"sharpness": float("nan")}, {"white_share": 1.5}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        QualitySettings(**wrong)


@pytest.mark.data
@pytest.mark.parametrize("name", ["cvc-clinicdb", "kvasir-seg", "bkai-neopolyp", "polypgen"])
def test_frames_with_polyps_are_looked_at(data_dir: Path, name: str) -> None:
    paths = sorted((data_dir / name / "images").iterdir())[::20]
    flaws = []
    for path in paths:
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        field = find_field_of_view(image)
        if field.has_picture:
            flaws.append(find_flaw(image, field))
    assert len(flaws) > 20
    assert sum(flaw is not None for flaw in flaws) <= 0.04 * len(flaws)
