"""Colour of video: what a stream says about its colours, and the way between YUV planes and BGR pictures.

The conversions are done with OpenCV instead of FFmpeg's scaler: its fast path truncates (green comes out up to 3
levels too dark, and the error adds up from decoding to encoding), and its exact path is four times slower than this.
Chroma is repeated on the way to BGR and averaged on the way back, so that a picture that nobody drew on keeps its
planes (to one level) when it is encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image, Plane, SamplePlane

UNSPECIFIED = 2  # H.273's "unspecified" of matrix, primaries and transfer
RANGE_UNSPECIFIED, RANGE_LIMITED, RANGE_FULL = 0, 1, 2  # FFmpeg's numbers for the colour range
MATRIX_BT709, MATRIX_BT601 = 1, 6
_SEEN = 0.01  # of a level: less changes nothing

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


@dataclass(frozen=True, slots=True)
class YuvCoding:
    """What the numbers in planes of luma and chroma mean.

    Attributes:
        matrix: H.273 number of the matrix.
        full_range: True for values of 0 to 255, False for luma of 16 to 235; in 8 bits.
        bits: of a value, 8 to 16. Planes are uint8 for 8 bits without a shift, else uint16.
        shift: how far values stand to the left: 6 where 10 bits are the upper ones of 16 (P010).
    """

    matrix: int
    full_range: bool
    bits: int = 8
    shift: int = 0

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Of the planes."""
        return np.uint8 if self.bits + self.shift == 8 else np.uint16

    @property
    def finest(self) -> YuvCoding:
        """The same with values in the upper bits of 16, so that means and interpolation lose nothing that is seen."""
        return replace(self, shift=16 - self.bits)


def planes_to_bgr(planes: Sequence[SamplePlane], coding: YuvCoding, *, step_xy: tuple[int, int] = (1, 1)) -> Image:
    """Convert planes to a BGR picture, each value within one level of the exact one.

    Args:
        planes: luma, shape (height, width), alone (a grey picture) or followed by blue-difference and red-difference
            chroma.
        coding: what their numbers mean.
        step_xy: columns and rows of luma that share one value of chroma: (2, 2) for 4:2:0. It is repeated for them.

    Returns:
        BGR uint8, shape (height, width, 3), contiguous.
    """
    luma, *chroma = planes
    if chroma:
        values = cv2.merge((luma, *(repeated(plane, step_xy, luma.shape) for plane in chroma)))
        return _to_8_bit(cv2.transform(values, to_bgr_matrix(coding)))
    grey = _to_8_bit(cv2.transform(np.ascontiguousarray(luma), _to_grey_matrix(coding)))
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def bgr_to_planes(image: Image, coding: YuvCoding, *, step_xy: tuple[int, int] = (1, 1)) -> tuple[SamplePlane, ...]:
    """Convert a BGR picture to planes.

    Args:
        image: BGR uint8, shape (height, width, 3).
        coding: what their numbers are to mean.
        step_xy: columns and rows of luma that share one value of chroma, which is their mean: (2, 2) for 4:2:0.

    Returns:
        Luma, shape (height, width), and the two planes of chroma, of as many values as it takes to cover luma.
    """
    largest = ((1 << coding.bits) - 1) << coding.shift
    values = cv2.transform(image.astype(coding.dtype, copy=False), _from_bgr_matrix(coding))
    planes: list[SamplePlane] = [np.asarray(plane, coding.dtype) for plane in cv2.split(np.minimum(values, largest))]
    return planes[0], *(mean_of_blocks(plane, step_xy) for plane in planes[1:])


def recoded(
    planes: Sequence[SamplePlane], coding: YuvCoding, wanted: YuvCoding, *, step_xy: tuple[int, int] = (1, 1)
) -> tuple[Plane, ...]:
    """Planes that mean something else: another matrix, another range, 8 bits. Chroma keeps its size.

    Args:
        planes: luma, alone or followed by blue-difference and red-difference chroma.
        coding: what their numbers mean.
        wanted: what they are to mean, in 8 bits. Values beyond them are cut, as on the way over colours.
        step_xy: columns and rows of luma that share one value of chroma.

    Returns:
        As many planes, uint8, within one level of the way over colours; the same where `wanted` is `coding`.
    """
    if wanted == coding:
        return tuple(np.asarray(plane, np.uint8) for plane in planes)
    gains, offsets = _recoding(coding, wanted)
    luma, *chroma = planes
    if not chroma:
        middle = 128 << (coding.bits - 8 + coding.shift)
        return (_weighted(luma, gains[0, 0], None, offsets[0] + middle * (gains[0, 1] + gains[0, 2])),)
    values = cv2.merge(chroma)
    # What chroma adds to luma is nothing but for another matrix. As it can be below 0 it stands above 128.
    added = None
    if abs(gains[0, 1:]).max() * (128 << (coding.bits - 8 + coding.shift)) > _SEEN:
        row = np.array([[*gains[0, 1:], offsets[0] + 128]], np.float32)
        added = repeated(np.asarray(cv2.transform(values, row), coding.dtype), step_xy, luma.shape)
    own = cv2.transform(values, np.hstack([gains[1:, 1:], offsets[1:, None]]).astype(np.float32))
    blue_red = cv2.split(_to_8_bit(own))
    middle = 128 << (coding.bits - 8 + coding.shift)
    constant = -128.0 if added is not None else offsets[0] + middle * (gains[0, 1] + gains[0, 2])
    return _weighted(luma, gains[0, 0], added, constant), *(np.asarray(plane, np.uint8) for plane in blue_red)


def repeated(chroma: SamplePlane, step_xy: tuple[int, int], shape: tuple[int, ...]) -> SamplePlane:
    """Each value of chroma for all the columns and rows of luma, whose shape is (height, width), that share it."""
    if step_xy == (1, 1):
        return chroma
    size = chroma.shape[1] * step_xy[0], chroma.shape[0] * step_xy[1]
    full = np.asarray(cv2.resize(chroma, size, interpolation=cv2.INTER_NEAREST), chroma.dtype)
    return full[: shape[0], : shape[1]]


def mean_of_blocks(plane: SamplePlane, step_xy: tuple[int, int]) -> SamplePlane:
    """The mean of each block of so many columns and rows; at the right and lower edge the last values are repeated."""
    if step_xy == (1, 1):
        return plane
    (across, down), (height, width) = step_xy, plane.shape
    padded = plane
    if width % across or height % down:
        edges = (0, -height % down, 0, -width % across)
        padded = np.asarray(cv2.copyMakeBorder(plane, *edges, cv2.BORDER_REPLICATE), plane.dtype)
    size = padded.shape[1] // across, padded.shape[0] // down
    return np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), plane.dtype)


def _weighted(luma: SamplePlane, gain: float, added: SamplePlane | None, constant: float) -> Plane:
    """Luma times a gain, and something added to it, rounded and cut to 8 bits."""
    other, weight = (luma, 0.0) if added is None else (added, 1.0)
    return np.asarray(cv2.addWeighted(luma, gain, other, weight, constant, dtype=cv2.CV_8U), np.uint8)


def _to_8_bit(values: npt.NDArray[np.generic]) -> Image:
    """Rounded values, not below 0, cut at 255."""
    return np.minimum(values, 255).astype(np.uint8) if values.dtype == np.uint16 else np.asarray(values, np.uint8)


@lru_cache(maxsize=32)
def to_bgr_matrix(coding: YuvCoding, *, grey: bool = False) -> npt.NDArray[np.float32]:
    """The affine 3x4 matrix from values of planes to BGR values of 0 to 255; for a grey picture, of luma alone."""
    if grey:
        gain, offset = _to_grey_matrix(coding)[0]
        return np.array([[gain, 0, 0, offset]] * 3, np.float32)
    to_yuv, offset = _equations(coding)
    to_bgr = np.linalg.inv(to_yuv)
    return np.hstack([to_bgr, (-to_bgr @ offset)[:, None]]).astype(np.float32)


@lru_cache(maxsize=32)
def _to_grey_matrix(coding: YuvCoding) -> npt.NDArray[np.float32]:
    """The affine 1x2 matrix from values of luma to grey levels of 0 to 255."""
    to_yuv, offset = _equations(coding)
    gain = 1 / to_yuv[0].sum()
    return np.array([[gain, -gain * offset[0]]], np.float32)


@lru_cache(maxsize=32)
def _recoding(coding: YuvCoding, wanted: YuvCoding) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The way from values of planes to others: 3x3 matrix and offset."""
    (from_yuv, from_offset), (to_yuv, to_offset) = _equations(coding), _equations(wanted)
    gains = to_yuv @ np.linalg.inv(from_yuv)
    return gains, to_offset - gains @ from_offset


@lru_cache(maxsize=32)
def _from_bgr_matrix(coding: YuvCoding) -> npt.NDArray[np.float32]:
    to_yuv, offset = _equations(coding)
    return np.hstack([to_yuv, offset[:, None]]).astype(np.float32)


def _equations(coding: YuvCoding) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The way from BGR values of 0 to 255 to values of planes: 3x3 matrix and offset (ITU-T H.273, 8.3)."""
    red, blue = _LUMA_WEIGHTS[coding.matrix]
    green = 1.0 - red - blue
    to_yuv = np.array(
        [
            [blue, green, red],
            [0.5, -0.5 * green / (1 - blue), -0.5 * red / (1 - blue)],
            [-0.5 * blue / (1 - red), -0.5 * green / (1 - red), 0.5],
        ]
    )
    place = 1 << coding.shift
    unit = place << (coding.bits - 8)  # of a grey level in 8 bits
    if coding.full_range:
        return to_yuv * (((1 << coding.bits) - 1) * place / 255.0), np.array([0.0, 128.0, 128.0]) * unit
    return to_yuv * (np.array([[219.0], [224.0], [224.0]]) * unit / 255.0), np.array([16.0, 128.0, 128.0]) * unit
