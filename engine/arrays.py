"""Names for the arrays that flow through the program: one meaning each, with shape and type of number."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""A colour picture, shape (height, width, 3), BGR unless its place says RGB."""

ImageStack: TypeAlias = npt.NDArray[np.uint8]
"""Colour pictures of one size, shape (pictures, height, width, 3), RGB."""

Plane: TypeAlias = npt.NDArray[np.uint8]
"""One channel of a picture, or a mask of 0 and 1 (or 255), shape (height, width)."""

SamplePlane: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
"""One plane of a decoded picture: uint8, or uint16 for more than 8 bits a value, shape (height, width)."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""Which pixels are meant, shape (height, width)."""

Pixels: TypeAlias = npt.NDArray[Any]
"""A picture or mask in uint8, (height, width) or (height, width, 3); OpenCV's own annotations say no more than this."""

Boxes: TypeAlias = npt.NDArray[np.float32]
"""Boxes, shape (n, 4): left, top, right, bottom in pixels; right and bottom exclusive."""

WindowBoxes: TypeAlias = npt.NDArray[np.int32]
"""Boxes of windows in whole pixels, shape (n, 4): left, top, right, bottom; right and bottom exclusive."""

Scores: TypeAlias = npt.NDArray[np.float32]
"""Scores of boxes or windows, shape (n,), 0 to 1."""

Labels: TypeAlias = npt.NDArray[np.int64]
"""Numbers of classes, shape (n,), from 0."""

Bools: TypeAlias = npt.NDArray[np.bool_]
"""Yes or no for each row or place, of any shape."""

Int64s: TypeAlias = npt.NDArray[np.int64]
"""Whole numbers (counts, indices, groups), of any shape."""

Float32s: TypeAlias = npt.NDArray[np.float32]
"""Numbers as networks and pictures hold them, of any shape."""

Float64s: TypeAlias = npt.NDArray[np.float64]
"""Numbers that are reckoned with exactly (figures, geometry), of any shape."""

AnyFloats: TypeAlias = npt.NDArray[np.floating[Any]]
"""Numbers of any precision and shape."""
