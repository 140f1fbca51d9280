"""A decoded picture: the planes that its decoder gave, and BGR made of them where a part of the program asks for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image, SamplePlane
from engine.pictures.color import ColorTags, YuvCoding, planes_to_bgr

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels; right and bottom exclusive."""


class Picture:
    """One picture, as it was decoded. Its planes are never written to, and may be views of the decoder's own memory.

    Attributes:
        planes: one of three: BGR alone, uint8 of shape (height, width, 3); luma alone, shape (height, width), of a grey
            picture; or luma, blue-difference and red-difference chroma, chroma of luma's size or smaller. Planes of
            luma and chroma are uint8, or uint16 for more than 8 bits.
        color: what the source says about its colours.
        coding: what the numbers of luma and chroma mean, by the tags, and by size where there are none.
        step_xy: columns and rows of luma that share one value of chroma: (2, 2) for 4:2:0, (1, 1) without chroma.
    """

    __slots__ = ("_image", "_making", "coding", "color", "planes", "step_xy")

    def __init__(
        self,
        planes: Sequence[SamplePlane],
        *,
        color: ColorTags,
        bits: int = 8,
        shift: int = 0,
    ) -> None:
        """Takes planes as they are, without a copy.

        Args:
            planes: see above.
            color: what the source says about its colours.
            bits: of a value of luma or chroma, 8 to 16.
            shift: how far these values stand to the left in 16 bits.
        """
        self.planes = tuple(planes)
        self.color = color
        self.coding = YuvCoding(color.matrix_for(self.resolution_wh), color.full_range, bits, shift)
        self.step_xy = (1, 1)
        if len(self.planes) == 3:
            rows, columns = self.planes[1].shape
            width, height = self.resolution_wh
            self.step_xy = -(-width // columns), -(-height // rows)
        self._image: Image | None = None
        self._making = threading.Lock()

    @staticmethod
    def of(image: AnyPicture) -> Picture:
        """A picture as it is, or one of a BGR array, uint8 of shape (height, width, 3)."""
        return image if isinstance(image, Picture) else Picture([image], color=ColorTags())

    @property
    def is_bgr(self) -> bool:
        """Whether it came as BGR."""
        return self.planes[0].ndim == 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its BGR array: height, width, 3."""
        height, width = self.planes[0].shape[:2]
        return height, width, 3

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.planes[0].shape[:2]
        return width, height

    @property
    def nbytes(self) -> int:
        """Bytes of its planes; BGR that was made of them is not in it."""
        return sum(plane.nbytes for plane in self.planes)

    @property
    def image(self) -> Image:
        """As BGR, uint8 of shape (height, width, 3): made when it is first asked for, by any thread, and kept."""
        image = self._image
        if image is None:
            with self._making:
                if self._image is None:
                    self._image = self.to_bgr()
                image = self._image
        return image

    def to_bgr(self, box_xyxy: Box | None = None) -> Image:
        """A part of it as BGR, made anew and not remembered; of a picture that came as BGR a view.

        Args:
            box_xyxy: whole pixels within the picture, right and bottom exclusive; None for all of it.

        Returns:
            BGR uint8, shape (height, width, 3), the same values as that part of `image`.
        """
        if self.is_bgr:
            image = np.asarray(self.planes[0], np.uint8)
            return image if box_xyxy is None else image[rows_columns(box_xyxy)]
        if box_xyxy is None:
            return planes_to_bgr(self.planes, self.coding, step_xy=self.step_xy)
        # Chroma from whole blocks on, so that each of its values is repeated as in the whole picture.
        (across, down), (width, height) = self.step_xy, self.resolution_wh
        x1, y1, x2, y2 = box_xyxy
        left, top = x1 // across * across, y1 // down * down
        right, bottom = min(-(-x2 // across) * across, width), min(-(-y2 // down) * down, height)
        chroma_box = left // across, top // down, -(-right // across), -(-bottom // down)
        boxes = [(left, top, right, bottom), chroma_box, chroma_box]
        parts = [plane[rows_columns(box)] for plane, box in zip(self.planes, boxes, strict=False)]
        return planes_to_bgr(parts, self.coding, step_xy=self.step_xy)[y1 - top : y2 - top, x1 - left : x2 - left]

    def cut(self, box_xyxy: Box, mask: npt.NDArray[np.bool_] | None) -> Image:
        """A part of it as BGR, black where a mask says so.

        Args:
            box_xyxy: as `to_bgr`.
            mask: bool (height, width) of the picture; what is False becomes black. None to leave all as it is.

        Returns:
            As `to_bgr`; anew with a mask.
        """
        part = self.to_bgr(box_xyxy)
        if mask is None:
            return part
        inside = np.ascontiguousarray(mask[rows_columns(box_xyxy)]).view(np.uint8)
        return np.asarray(cv2.bitwise_and(part, part, mask=inside), np.uint8)

    def sampled(self, size_wh: tuple[int, int], box_xyxy: Box | None = None) -> Image:
        """Evenly spread pixels of a part of it: what `cv2.resize` takes of its BGR by `INTER_NEAREST`.

        Args:
            size_wh: columns and rows of pixels.
            box_xyxy: as `to_bgr`.

        Returns:
            BGR uint8, shape (rows, columns, 3).
        """
        width, height = self.resolution_wh
        x1, y1, x2, y2 = (0, 0, width, height) if box_xyxy is None else box_xyxy
        first = self.planes[0][y1:y2, x1:x2]
        samples = np.asarray(cv2.resize(first, size_wh, interpolation=cv2.INTER_NEAREST), first.dtype)
        if self.is_bgr:
            return np.asarray(samples, np.uint8)
        columns, rows = x1 + _nearest(size_wh[0], x2 - x1), y1 + _nearest(size_wh[1], y2 - y1)
        across, down = self.step_xy
        chroma = [plane.take(rows // down, axis=0).take(columns // across, axis=1) for plane in self.planes[1:]]
        return planes_to_bgr([samples, *chroma], self.coding)


AnyPicture: TypeAlias = Image | Picture
"""A picture as BGR, uint8 of shape (height, width, 3), or as it was decoded."""


def rows_columns(box_xyxy: Box) -> tuple[slice, slice]:
    """The part of an array that a box of whole pixels names."""
    x1, y1, x2, y2 = box_xyxy
    return slice(y1, y2), slice(x1, x2)


def _nearest(count: int, length: int) -> npt.NDArray[np.intp]:
    """Which of `length` pixels OpenCV takes for `count` of them by `INTER_NEAREST`."""
    places: npt.NDArray[np.intp] = np.floor(np.arange(count) * (1.0 / (count / length))).astype(np.intp)
    return np.minimum(places, length - 1)
