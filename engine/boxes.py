"""How much boxes overlap: one home for intersection over union (IoU), as exact as COCO computes it."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_Number = TypeVar("_Number", bound=np.generic)


def pairwise_iou(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """IoU of every box with every other.

    Args:
        first: boxes, shape (n, 4): left, top, right, bottom in any unit, right and bottom exclusive.
        second: boxes, shape (m, 4).

    Returns:
        float64, shape (n, m), 0 to 1.

    Example:
        >>> pairwise_iou(np.array([[0, 0, 2, 1]]), np.array([[0, 0, 2, 1], [1, 0, 3, 1]])).round(2).tolist()
        [[1.0, 0.33]]
    """
    return iou(first[:, None], second[None])


def iou(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """IoU of boxes with the boxes at the same places.

    Args:
        first: boxes, shape (..., 4), as of `pairwise_iou`.
        second: boxes of the same shape, or of one that broadcasts with it.

    Returns:
        float64, shape (...), 0 to 1; 0 where neither box has an area.
    """
    sides = [np.moveaxis(np.asarray(boxes, np.float64), -1, 0) for boxes in (first, second)]
    common, one, other = intersections(*sides)
    return np.asarray(common / np.maximum(one + other - common, 1e-9), np.float64)


def intersections(
    first: npt.NDArray[_Number], second: npt.NDArray[_Number]
) -> tuple[npt.NDArray[_Number], npt.NDArray[_Number], npt.NDArray[_Number]]:
    """Areas that boxes have in common, and the areas of both, in the type of number that they came in.

    Args:
        first: boxes by column, shape (4, ...), so that the arithmetic runs over contiguous memory.
        second: boxes by column, of a shape that broadcasts with it.

    Returns:
        Area of the intersection (broadcast shape), and the areas of `first` and of `second`; a box whose right or
        bottom lies before its left or top has none.
    """
    left, top = np.maximum(first[0], second[0]), np.maximum(first[1], second[1])
    right, bottom = np.minimum(first[2], second[2]), np.minimum(first[3], second[3])
    return _area(left, top, right, bottom), _area(*first), _area(*second)


def _area(left: Any, top: Any, right: Any, bottom: Any) -> Any:
    return np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
