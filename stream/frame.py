"""The things that flow through a pipeline: frames, fields of view, detections."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.errors import InputError
from engine.pictures.picture import AnyPicture, Picture


@dataclass(frozen=True, slots=True, init=False)
class Frame:
    """One picture of a source.

    Attributes:
        index: position in the source, from 0, without gaps.
        pts: presentation time in seconds, exact.
        picture: as it was decoded. Never written to after it was made.
        captured_s: monotonic time in seconds at which the frame became available.
        name: file name of a picture, None for a video.
        page: number of the page of a picture file that has several, from 1; else None.
    """

    index: int
    pts: Fraction
    picture: Picture
    captured_s: float
    name: str | None = None
    page: int | None = None

    def __init__(
        self,
        index: int,
        pts: Fraction,
        image: AnyPicture | None = None,
        captured_s: float = 0.0,
        name: str | None = None,
        page: int | None = None,
        *,
        picture: Picture | None = None,
    ) -> None:
        """Takes what is known of the frame; see above.

        Args:
            index: position in the source.
            pts: presentation time in seconds.
            image: its picture, BGR uint8 of shape (height, width, 3) or as it was decoded.
            captured_s: monotonic time in seconds.
            name: file name.
            page: number of the page.
            picture: its picture where no `image` is given: so `dataclasses.replace` hands it on.
        """
        if image is not None:
            picture = Picture.of(image)
        if picture is None:
            raise TypeError("a frame needs an image or a picture")
        values = (index, pts, picture, captured_s, name, page)
        for field_name, value in zip(("index", "pts", "picture", "captured_s", "name", "page"), values, strict=True):
            object.__setattr__(self, field_name, value)

    @property
    def image(self) -> Image:
        """As BGR, uint8 of shape (height, width, 3): made of the picture when it is first asked for, and then kept."""
        return self.picture.image

    @property
    def time_s(self) -> float:
        """Presentation time in seconds as a float."""
        return float(self.pts)

    @property
    def title(self) -> str:
        """What people call it: the file name of a picture, with its page where there are several; else its index."""
        if self.name is None:
            return str(self.index)
        return self.name if self.page is None else f"{self.name}, page {self.page}"

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.picture.resolution_wh


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """The part of a frame that shows the endoscope's picture.

    Attributes:
        box_xyxy: integer pixels of the frame, right and bottom exclusive. Empty (x2 <= x1) when there is no picture.
        mask: bool, shape of the *frame* (height, width), True inside the picture; None when the whole box is picture.
        has_picture: False for a frame that shows nothing (black, out of the body): no detections are made on it.
        beside_xyxy: boxes of pictures beside this one that are about as large; nobody looks at them.
    """

    box_xyxy: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)
    has_picture: bool = True
    beside_xyxy: tuple[tuple[int, int, int, int], ...] = field(default=(), compare=False, repr=False)

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
        between: True where it was not seen in this frame, but in frames around it: its box lies between theirs.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float
    label: str = "polyp"
    track_id: int | None = None
    classes: tuple[tuple[str, float], ...] | None = None
    between: bool = False


class PictureState(str, Enum):
    """What a frame shows as a whole."""

    USEFUL = "useful"
    BLURRED = "blurred"
    WASHED_OUT = "washed out"
    OUTSIDE = "outside"
    STILL = "still"
    BLACK = "black"


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What is known of one frame.

    Attributes:
        frame: the frame.
        field_of_view: of the frame.
        detections: what was decided to be shown.
        candidates: what was perceived in it: boxes down to a floor well under the threshold, without tracks.
        useful: False where it shows nothing useful (no picture, blurred, washed out).
        state: of the picture; it decides nothing, and is told in events and reports.
        instrument: probability that it shows an instrument, 0 to 1; None where it was not looked at for one.
    """

    frame: Frame
    field_of_view: FieldOfView
    detections: tuple[Detection, ...] = ()
    candidates: tuple[Detection, ...] = ()
    useful: bool = True
    state: PictureState = PictureState.USEFUL
    instrument: float | None = None

    def scaled(self, resolution_wh: tuple[int, int]) -> FrameResult:
        """The same in a picture of another size, which is not looked at: boxes and field of view are scaled.

        Args:
            resolution_wh: width and height in pixels.
        """
        factors = [new / old for new, old in zip(resolution_wh, self.frame.resolution_wh, strict=True)] * 2

        def box_of(box: tuple[float, ...]) -> tuple[float, float, float, float]:
            x1, y1, x2, y2 = (side * factor for side, factor in zip(box, factors, strict=True))
            return x1, y1, x2, y2

        x1, y1, x2, y2 = map(round, box_of(self.field_of_view.box_xyxy))
        return replace(
            self,
            frame=replace(self.frame, picture=Picture.of(no_picture(resolution_wh))),
            field_of_view=FieldOfView((x1, y1, x2, y2), has_picture=self.field_of_view.has_picture),
            detections=tuple(replace(one, box_xyxy=box_of(one.box_xyxy)) for one in self.detections),
            candidates=tuple(replace(one, box_xyxy=box_of(one.box_xyxy)) for one in self.candidates),
        )


def no_picture(resolution_wh: tuple[int, int] = (1, 1)) -> Image:
    """A black picture that takes no memory, for frames whose picture nobody looks at."""
    width, height = resolution_wh
    return np.broadcast_to(np.uint8(0), (height, width, 3))


def check_image(image: object, name: str = "a picture") -> None:
    """Refuses what is no picture.

    Args:
        image: to be a numpy array, BGR uint8, shape (height, width, 3).
        name: of it, for the message.

    Raises:
        InputError: it is something else; the message says what, and how to make a picture of it.
    """
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"{name} must be a numpy array, BGR uint8 of shape (height, width, 3), not {type(image).__name__}; "
            "read files with `read_picture`"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"{name} must be BGR uint8 of shape (height, width, 3), not {image.dtype} {image.shape}; {_remedy(image)}"
        )


def picture_of(image: AnyPicture, name: str = "a picture") -> Picture:
    """A picture as it was decoded, or one of a BGR array that was checked.

    Args:
        image: a picture, or an array that is to be BGR uint8 of shape (height, width, 3).
        name: of it, for the message.

    Raises:
        InputError: it is neither; see `check_image`.
    """
    if isinstance(image, Picture):
        return image
    check_image(image, name)
    return Picture.of(image)


def _remedy(image: npt.NDArray[np.generic]) -> str:
    """How to make a picture of an array that is none."""
    if not image.size:
        return "it is empty: check how it was read or cut"
    if image.ndim == 4:
        return "give the pictures of a batch one by one"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "give grey pictures three equal channels: `cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)`"
    if image.ndim == 3 and image.shape[2] == 4:
        return "leave the fourth channel out: `image[:, :, :3]`"
    if image.ndim == 3 and image.shape[2] != 3 and image.shape[0] == 3:
        return "put the channels last: `numpy.moveaxis(image, 0, -1)`"
    if image.ndim != 3 or image.shape[2] != 3:
        return "read files with `read_picture`"
    if image.dtype == np.uint16:
        return "keep the upper 8 bits of each value: `(image >> 8).astype(numpy.uint8)`"
    return "scale its values to 0..255 and convert them: `image.astype(numpy.uint8)`"


def check_field(field: FieldOfView, image: AnyPicture, name: str = "the field of view") -> None:
    """Refuses the field of view of another frame.

    Args:
        field: to lie within the frame.
        image: the frame: BGR uint8, shape (height, width, 3), or as it was decoded.
        name: of the field, for the message.

    Raises:
        InputError: it reaches beyond the frame, or its mask has another size.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = field.box_xyxy
    if min(field.size_wh) > 0 and (min(x1, y1) < 0 or x2 > width or y2 > height):
        raise InputError(
            f"{name} must lie within its picture of {width}x{height} pixels. Received: the box {field.box_xyxy}; find "
            "it in this picture with `find_field_of_view`"
        )
    if field.mask is not None and field.mask.shape != (height, width):
        raise InputError(
            f"{name} must have a mask of its picture's shape {(height, width)}. Received: {field.mask.shape}; find it "
            "in this picture with `find_field_of_view`"
        )
