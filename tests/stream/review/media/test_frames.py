"""Single frames by their index: the picture of this frame and of no other, whatever the file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import InputError
from stream.review.media.frames import Cut, FramePictures
from tests.kit.media import make_video, picture_number
from tests.kit.rates import material_of

_UNEVEN = [Fraction(i * 40 + 15 * (i % 3), 1000) for i in range(200)]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.mp4", {"options": {"g": "60", "bf": "3"}}),
        ("a.mpg", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.ts", {"options": {"g": "50"}}),
        ("uneven.mkv", {"pts": _UNEVEN, "options": {"g": "50"}}),
    ],
)
def test_every_frame_is_the_one_of_its_index(tmp_path: Path, name: str, make: dict[str, object]) -> None:
    material = material_of(make_video(tmp_path / name, **{"frames": 200, **make}))  # type: ignore[arg-type]
    order = [0, 199, *np.random.default_rng(1).integers(0, 200, 12).tolist(), 100, 101, 102, 99]
    with FramePictures() as pictures:
        found = [picture_number(_decoded(pictures.jpeg(material, index, Cut()))) for index in order]
    assert found == order


def test_frames_are_cut_and_made_smaller(tmp_path: Path) -> None:
    material = material_of(make_video(tmp_path / "a.mp4", frames=5))
    with FramePictures() as pictures:
        assert _decoded(pictures.jpeg(material, 2, Cut(width=64))).shape == (48, 64, 3)
        assert _decoded(pictures.jpeg(material, 2, Cut(box_xyxy=(10.5, -5, 40, 30)))).shape == (30, 30, 3)
        assert _decoded(pictures.jpeg(material, 2, Cut(width=9999))).shape == (96, 128, 3)
        with pytest.raises(InputError, match="beside the frame of 128x96"):
            pictures.jpeg(material, 2, Cut(box_xyxy=(200, 0, 300, 10)))
        with pytest.raises(InputError, match="there is no frame 5; the recording has 5"):
            pictures.jpeg(material, 5, Cut())
    with pytest.raises(InputError, match="width"):
        Cut(width=0)


def test_more_recordings_than_are_kept_open_give_their_own_frames(tmp_path: Path) -> None:
    paths = [make_video(tmp_path / f"{n}.mp4", frames=10 + n) for n in range(5)]
    materials = [material_of(path) for path in paths]
    with FramePictures() as pictures:
        for index in (3, 8, 1):
            for material in materials:
                assert picture_number(_decoded(pictures.jpeg(material, index, Cut()))) == index


def _decoded(jpeg: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)
