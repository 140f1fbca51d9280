"""What is taken for a picture and for its field of view."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest

from engine.errors import InputError
from stream.frame import FieldOfView, check_field, check_image

PICTURE = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize("picture", [PICTURE, PICTURE[:1, :1], PICTURE[:, ::-1], np.ones((3, 3, 3), np.uint8)])
def test_pictures_are_taken(picture: npt.NDArray[np.uint8]) -> None:
    check_image(picture)


@pytest.mark.parametrize(
    ("image", "received", "remedy"),
    [
        (PICTURE.astype(np.float32), "float32 (40, 60, 3)", "scale its values to 0..255"),
        (PICTURE.astype(np.float64), "float64 (40, 60, 3)", "scale its values to 0..255"),
        (PICTURE.astype(np.bool_), "bool (40, 60, 3)", "scale its values to 0..255"),
        (PICTURE.astype(np.uint16), "uint16 (40, 60, 3)", "keep the upper 8 bits"),
        (PICTURE[:, :, 0], "uint8 (40, 60)", "give grey pictures three equal channels"),
        (PICTURE[:, :, :1], "uint8 (40, 60, 1)", "give grey pictures three equal channels"),
        (np.zeros((40, 60, 4), np.uint8), "uint8 (40, 60, 4)", "leave the fourth channel out"),
        (np.zeros((3, 40, 60), np.uint8), "uint8 (3, 40, 60)", "put the channels last"),
        (PICTURE[None], "uint8 (1, 40, 60, 3)", "give the pictures of a batch one by one"),
        (PICTURE[:0], "uint8 (0, 60, 3)", "it is empty"),
        (np.zeros(7, np.uint8), "uint8 (7,)", "read files with `read_picture`"),
        (np.zeros((40, 60, 2), np.uint8), "uint8 (40, 60, 2)", "read files with `read_picture`"),
        (None, "NoneType", "read files with `read_picture`"),
        ("frame.png", "str", "read files with `read_picture`"),
        ([[0, 0, 0]], "list", "read files with `read_picture`"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_remedy(image: object, received: str, remedy: str) -> None:
    with pytest.raises(InputError, match=f"^the first must be .*BGR uint8 .*, not {re.escape(received)}; {remedy}"):
        check_image(image, "the first")


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        (FieldOfView((0, 0, 60, 40)), None),
        (FieldOfView((5, 5, 5, 5)), None),  # shows nothing
        (FieldOfView((0, 0, 0, 0), has_picture=False), None),
        (FieldOfView((0, 0, 60, 40), np.ones((40, 60), np.bool_)), None),
        (FieldOfView((-1, 0, 60, 40)), "must lie within its picture of 60x40 pixels"),
        (FieldOfView((0, 0, 61, 40)), "must lie within its picture of 60x40 pixels"),
        (FieldOfView((0, 0, 60, 41)), "must lie within its picture of 60x40 pixels"),
        (FieldOfView((0, 0, 60, 40), np.ones((60, 40), np.bool_)), r"mask of its picture's shape \(40, 60\)"),
    ],
)
def test_a_field_of_view_belongs_to_its_picture(field: FieldOfView, problem: str | None) -> None:
    if problem is None:
        check_field(field, PICTURE)
    else:
        with pytest.raises(InputError, match=problem):
            check_field(field, PICTURE)
