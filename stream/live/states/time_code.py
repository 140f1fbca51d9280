"""A number written into a picture so that a program can read it back, also after video coding or scaling.

The number stands in black and white blocks in the middle of the picture's upper edge, in two rows. The first two blocks
are black and white, so that a reader knows both on any screen; then follow 24 bits of the number and 8 bits that check
them, the most significant first.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.checks import require_within

LARGEST = 2**24 - 1
"""Largest number that can be written: 7.7 days at 25 frames/s."""

_ROWS, _COLUMNS = 2, 17
_BLACK, _WHITE = 16, 235
_LEAST_CONTRAST = 60  # grey levels between the two reference blocks
_SURE = 0.2  # a block this near to the middle between black and white, as a share of their distance, is not read
_LEAST_BLOCK = 3.0  # pixels
_Grid = npt.NDArray[np.int64]


def draw_time_code(image: Image, number: int) -> None:
    """Write a number into a picture, in place.

    Args:
        image: BGR uint8, shape (height, width, 3), 102 pixels wide and 90 pixels high at least.
        number: 0 to `LARGEST`.

    Raises:
        ValueError: the number is out of range, or the picture too small.
    """
    require_within("number", number, 0, LARGEST)
    rows, columns = _edges(image.shape[1], image.shape[0])
    if not len(rows):
        raise ValueError(f"a time code needs 102x90 pixels or more. Received: {image.shape[1]}x{image.shape[0]}")
    payload = number << 8 | _check(number)
    bits = [0, 1, *(payload >> shift & 1 for shift in range(31, -1, -1))]
    for place, bit in enumerate(bits):
        row, column = divmod(place, _COLUMNS)
        image[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = _WHITE if bit else _BLACK


def read_time_code(image: Image) -> int | None:
    """Read the number of a picture.

    Args:
        image: BGR uint8, shape (height, width, 3); of the size it was written at, or scaled evenly.

    Returns:
        The number, or None when there is none that can be trusted. Of pictures without a number fewer than 1 in 256
        that happen to look like blocks are taken for one.
    """
    rows, columns = _edges(image.shape[1], image.shape[0])
    if not len(rows):
        return None
    # The middle of each block: coding smears its border.
    levels = []
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            top, bottom = _inner(int(rows[row]), int(rows[row + 1]))
            left, right = _inner(int(columns[column]), int(columns[column + 1]))
            levels.append(sum(cv2.mean(image[top:bottom, left:right])[:3]) / 3)
    black, white = levels[0], levels[1]
    if white - black < _LEAST_CONTRAST:
        return None
    shares = (np.array(levels[2:]) - black) / (white - black) - 0.5
    if np.abs(shares).min() < _SURE:
        return None
    payload = int("".join("1" if share > 0 else "0" for share in shares), 2)
    number, check = payload >> 8, payload & 0xFF
    return number if check == _check(number) else None


def _edges(width: int, height: int) -> tuple[_Grid, _Grid]:
    """Where blocks begin and end, in pixels: `_ROWS + 1` and `_COLUMNS + 1` numbers; none when there is no room."""
    block = min(height / 30, width / (2 * _COLUMNS))
    if block < _LEAST_BLOCK:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    left = (width - _COLUMNS * block) / 2
    rows = np.rint(block * np.arange(_ROWS + 1)).astype(np.int64)
    return rows, np.rint(left + block * np.arange(_COLUMNS + 1)).astype(np.int64)


def _inner(start: int, stop: int) -> tuple[int, int]:
    margin = (stop - start) // 4
    return start + margin, stop - margin


def _check(number: int) -> int:
    """CRC-8 with the polynomial 0x07 over the number's three bytes, begun with ones, so that all black is no code."""
    register = 0xFF
    for byte in number.to_bytes(3, "big"):
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ 0x07) & 0xFF if register & 0x80 else register << 1
    return register
