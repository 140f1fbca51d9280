"""Frames that show nothing useful: black, out of the body, blurred, washed out. Alarms pause on them.

Judged on a picture of 128 cells, so that the cost (a third of a millisecond) does not depend on the frame's size. The
limits were read off 1,000 frames with polyps of CVC-ClinicDB, Kvasir-SEG, NeoPolyp and PolypGen (250 each, at random):
one of them is taken for blurred, none for washed out, while half of them are taken for blurred once they are smeared by
a Gaussian of one hundredth of their width.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.checks import require_at_least, require_within
from stream.frame import FieldOfView

_CELLS = 128  # along the longer side of the field of view
_BORDER = 7  # cells at the field's edge that are not looked at: the edge itself is sharp
_LEAST_CELLS = 64  # fewer tell nothing


class Flaw(str, Enum):
    """Why a frame shows nothing useful."""

    NO_PICTURE = "no picture"
    BLUR = "blur"
    WASH = "wash"


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """What counts as useful.

    Attributes:
        sharpness: least 95th percentile of the Laplacian's size, in shares of the mean brightness; 0 takes every blur.
        white_share: largest share of the field of view, 0 to 1, that may be white (all three colours above 200); 1
            takes every wash.
    """

    sharpness: float = 0.2
    white_share: float = 0.4

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a negative sharpness, or a share outside 0 to 1.
        """
        require_at_least("sharpness", self.sharpness, 0)
        require_within("white_share", self.white_share, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class SmallPicture:
    """A field of view of 128 cells along its longer side.

    Attributes:
        cells: BGR uint8 (rows, columns, 3), each cell the mean of four pixels of the frame.
        inside: bool (rows, columns), the cells that lie well inside the field of view.
    """

    cells: Image
    inside: npt.NDArray[np.bool_]

    @property
    def tells(self) -> bool:
        """Whether there are enough cells to tell anything."""
        return int(np.count_nonzero(self.inside)) >= _LEAST_CELLS


def find_flaw(image: Image, field: FieldOfView, settings: QualitySettings | None = None) -> Flaw | None:
    """Say why a frame shows nothing useful; None for a frame worth looking at.

    Args:
        image: BGR uint8, shape (height, width, 3).
        field: its field of view.
        settings: the limits.
    """
    if not field.has_picture or min(field.size_wh) <= 0:
        return Flaw.NO_PICTURE
    return flaw_of(small_picture(image, field), settings)


def flaw_of(picture: SmallPicture, settings: QualitySettings | None = None) -> Flaw | None:
    """Say why a picture shows nothing useful; None for one worth looking at, or too small to tell."""
    settings = settings or QualitySettings()
    cells, inside = picture.cells, picture.inside
    if not picture.tells:
        return None
    grey = cv2.cvtColor(cells, cv2.COLOR_BGR2GRAY).astype(np.float32)
    if float((cells.min(axis=2)[inside] > 200).mean()) > settings.white_share:
        return Flaw.WASH
    detail = float(np.percentile(np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=3))[inside], 95))
    return Flaw.BLUR if detail < settings.sharpness * max(float(grey[inside].mean()), 1.0) else None


def small_picture(image: Image, field: FieldOfView) -> SmallPicture:
    """The field of view of a frame, which must not be empty, as a small picture."""
    x1, y1, x2, y2 = field.box_xyxy
    picture: npt.NDArray[np.uint8] = image[y1:y2, x1:x2]
    scale = min(_CELLS / max(field.size_wh), 1.0)
    size_wh = tuple(max(round(side * scale), 1) for side in field.size_wh)
    if scale <= 0.5:
        double = size_wh[0] * 2, size_wh[1] * 2
        picture = np.asarray(cv2.resize(picture, double, interpolation=cv2.INTER_NEAREST), np.uint8)
    cells = np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    inside = np.ones(cells.shape[:2], np.uint8)
    if field.mask is not None:
        mask = field.mask[y1:y2, x1:x2].view(np.uint8)
        inside = np.asarray(cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)
    kernel = np.ones((_BORDER, _BORDER), np.uint8)
    eroded = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return SmallPicture(cells, eroded.astype(np.bool_))
