"""Pictures of 16 bits as 8 bits: cameras and microscopes store 10, 12 or 14 bits in 16, mostly the lower ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.arrays import Image

logger = logging.getLogger(__name__)

Values: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
"""Pixels at the depth in which they are stored: uint8 or uint16."""

_DEPTHS = (8, 10, 12, 14, 16)


def bits_in_use(values: Values) -> int:
    """How many bits hold all values: 8, 10, 12, 14 or 16.

    Args:
        values: pixels, uint8 or uint16.
    """
    if values.dtype == np.uint8:
        return 8
    highest = int(values.max())
    return next(bits for bits in _DEPTHS if highest < 1 << bits)


def to_8_bits(values: Values, bits: int) -> Image:
    """The upper 8 of the bits in use.

    Args:
        values: pixels, uint8 or uint16.
        bits: that are in use, 8 to 16; greater values become white.
    """
    if values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    return np.asarray(np.minimum(values >> (bits - 8), 255), np.uint8)


class SharedDepth:
    """One depth for pictures that belong together: a dark picture among them stays dark."""

    def __init__(self, name: str, others: Callable[[], Iterable[Values]]) -> None:
        """Nothing is read yet.

        Args:
            name: of the pictures, for messages.
            others: reads a few of the pictures, at their own depth; called when the first of 16 bits is met.
        """
        self._name = name
        self._others = others
        self.bits: int | None = None

    def picture(self, values: Values) -> Image:
        """The picture in 8 bits.

        Args:
            values: pixels, uint8 or uint16.
        """
        if values.dtype == np.uint8:
            return to_8_bits(values, 8)
        bits = bits_in_use(values)
        if self.bits is None:
            if bits < _DEPTHS[-1]:
                bits = max([bits, *(bits_in_use(other) for other in self._others() if other.dtype == np.uint16)])
            self.bits = bits
            if bits < _DEPTHS[-1]:
                logger.warning("%s", lower_bits(self._name, bits))
        elif bits > self.bits:
            self.bits = bits
            logger.warning("%s: from here on %d bits are in use; pictures before look brighter", self._name, bits)
        return to_8_bits(values, self.bits)


def lower_bits(name: str, bits: int) -> str:
    """Says that pictures use the lower bits only, and what is done about it."""
    return f"{name}: values use {bits} of 16 bits; these {bits} are taken as the whole range of brightness"
