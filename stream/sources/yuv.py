"""Colour of video: what a stream says about its colours, and the way between YUV planes and BGR pictures.

The conversions are done with OpenCV instead of FFmpeg's scaler: its fast path truncates (green comes out up to 3
levels too dark, and the error adds up from decoding to encoding), and its exact path is four times slower than this.
Chroma is repeated on the way to BGR and averaged on the way back, so that a picture that nobody drew on keeps its
planes (to one level) when it is encoded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from av.video.plane import VideoPlane

from engine.arrays import Image, Plane

UNSPECIFIED = 2  # H.273's "unspecified" of matrix, primaries and transfer
RANGE_UNSPECIFIED, RANGE_LIMITED, RANGE_FULL = 0, 1, 2  # FFmpeg's numbers for the colour range
MATRIX_BT709, MATRIX_BT601 = 1, 6

# Weight of red and blue in luma by H.273 matrix number (ITU-T H.273, table 4).
_LUMA_WEIGHTS: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 B/G, the same as BT.601
    6: (0.299, 0.114),  # BT.601
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),  # BT.2020 with constant luminance, taken for the usual one
}


@dataclass(frozen=True, slots=True)
class ColorTags:
    """What a stream says about its colours, in the numbers of ITU-T H.273 (2 = unspecified).

    Attributes:
        color_range: 0 unspecified, 1 limited (luma 16 to 235), 2 full (0 to 255).
        matrix: YUV matrix: 1 BT.709, 5 and 6 BT.601, 9 BT.2020.
        primaries: colour primaries.
        transfer: transfer characteristic.
    """

    color_range: int = RANGE_UNSPECIFIED
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def full_range(self) -> bool:
        """Whether luma uses all of 0 to 255; a stream that does not say is taken for limited."""
        return self.color_range == RANGE_FULL

    def matrix_for(self, resolution_wh: tuple[int, int]) -> int:
        """The matrix to compute with: the tagged one, else by size as players guess it.

        Args:
            resolution_wh: width and height in pixels.

        Returns:
            An H.273 number: BT.709 for untagged pictures of 1280 columns or more than 576 lines, else BT.601.
        """
        if self.matrix in _LUMA_WEIGHTS:
            return self.matrix
        width, height = resolution_wh
        return MATRIX_BT709 if width >= 1280 or height > 576 else MATRIX_BT601


def plane_rows(plane: VideoPlane) -> Plane:
    """The values of a plane of 8-bit video without its padding: a view, shape (height, width)."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def yuv_to_bgr(luma: Plane, blue: Plane, red: Plane, *, matrix: int, full_range: bool) -> Image:
    """Convert three planes to a BGR picture, each value within one level of the exact one.

    Args:
        luma: uint8, shape (height, width).
        blue: uint8, blue-difference chroma, of luma's size or smaller (4:2:0, 4:2:2, ...); repeated to luma's size.
        red: uint8, red-difference chroma, the same size as `blue`.
        matrix: H.273 number of the matrix.
        full_range: True for values of 0 to 255, False for luma of 16 to 235.

    Returns:
        BGR uint8, shape (height, width, 3), contiguous.
    """
    height, width = luma.shape
    if blue.shape != luma.shape:
        blue = cv2.resize(blue, (width, height), interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
        red = cv2.resize(red, (width, height), interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
    return np.asarray(cv2.transform(cv2.merge((luma, blue, red)), _matrices(matrix, full_range)[1]), dtype=np.uint8)


def bgr_to_yuv420(image: Image, *, matrix: int, full_range: bool) -> tuple[Plane, Plane, Plane]:
    """Convert a BGR picture to the planes of 4:2:0 video.

    Args:
        image: BGR uint8, shape (height, width, 3), height and width even.
        matrix: H.273 number of the matrix.
        full_range: True for values of 0 to 255, False for luma of 16 to 235.

    Returns:
        Luma, shape (height, width), and the two chroma planes, shape (height / 2, width / 2), uint8.
    """
    height, width = image.shape[:2]
    luma, blue, red = cv2.split(cv2.transform(image, _matrices(matrix, full_range)[0]))
    half = (width // 2, height // 2)
    planes = (luma, *(cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in (blue, red)))
    return tuple(np.asarray(plane, dtype=np.uint8) for plane in planes)  # type: ignore[return-value]


@lru_cache(maxsize=16)
def _matrices(matrix: int, full_range: bool) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The affine 3x4 matrices BGR -> YUV and YUV -> BGR."""
    red, blue = _LUMA_WEIGHTS[matrix]
    green = 1.0 - red - blue
    to_yuv = np.array(
        [
            [blue, green, red],
            [0.5, -0.5 * green / (1 - blue), -0.5 * red / (1 - blue)],
            [-0.5 * blue / (1 - red), -0.5 * green / (1 - red), 0.5],
        ]
    )
    offset = np.array([0.0 if full_range else 16.0, 128.0, 128.0])
    if not full_range:
        to_yuv *= np.array([[219.0], [224.0], [224.0]]) / 255.0
    to_bgr = np.linalg.inv(to_yuv)
    forward = np.hstack([to_yuv, offset[:, None]]).astype(np.float32)
    backward = np.hstack([to_bgr, (-to_bgr @ offset)[:, None]]).astype(np.float32)
    return forward, backward
