"""The things that flow through a pipeline: frames, fields of view, detections."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from engine.arrays import Image


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    Attributes:
        index: position in the source, from 0, without gaps.
        pts: presentation time in seconds, exact.
        image: BGR uint8, shape (height, width, 3). Never written to after it was made.
        captured_s: monotonic time in seconds at which the frame became available.
        name: file name of a picture, None for a video.
    """

    index: int
    pts: Fraction
    image: Image
    captured_s: float
    name: str | None = None

    @property
    def time_s(self) -> float:
        """Presentation time in seconds as a float."""
        return float(self.pts)

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """The part of a frame that shows the endoscope's picture.

    Attributes:
        box_xyxy: integer pixels of the frame, right and bottom exclusive. Empty (x2 <= x1) when there is no picture.
        mask: bool, shape of the *frame* (height, width), True inside the picture; None when the whole box is picture.
        has_picture: False for a frame that shows nothing (black, out of the body): no detections are made on it.
    """

    box_xyxy: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)
    has_picture: bool = True

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the box in pixels."""
        x1, y1, x2, y2 = self.box_xyxy
        return max(x2 - x1, 0), max(y2 - y1, 0)


@dataclass(frozen=True, slots=True)
class Detection:
    """One polyp seen in one frame.

    Attributes:
        box_xyxy: left, top, right, bottom in pixels of the source frame (float).
        score: probability of polyp, 0 to 1.
        label: class name.
        track_id: number of the polyp over time, from 1; None before tracking.
        classes: what kind of lesion it is: name and probability of each class. Empty where it was not seen well enough
            to tell, None where nobody asked.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float
    label: str = "polyp"
    track_id: int | None = None
    classes: tuple[tuple[str, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What is known of one frame at the end of the detection path."""

    frame: Frame
    field_of_view: FieldOfView
    detections: tuple[Detection, ...] = ()
