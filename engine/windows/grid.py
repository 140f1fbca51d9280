"""The window grid of the dense detector, and the way from the network's numbers to boxes.

A position of level `stride` at row r and column c looks at the window centred at ((c + 0.5) * stride,
(r + 0.5) * stride) pixels of the input. The network refines the window's box by the distances, in strides, from that
centre to the four sides (Tian et al. 2019, FCOS).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s


@dataclass(frozen=True)
class WindowGrid:
    """All window positions of one input size, ordered by level, row, column.

    Attributes:
        input_wh: width and height of the network's input in pixels, multiples of the largest stride.
        strides: pixels between neighbouring positions, one a level.
    """

    input_wh: tuple[int, int]
    strides: tuple[int, ...] = (8, 16, 32)

    def __post_init__(self) -> None:
        width, height = self.input_wh
        if width <= 0 or height <= 0 or any(width % stride or height % stride for stride in self.strides):
            raise ValueError(f"input size must be positive multiples of {max(self.strides)}. Received: {self.input_wh}")

    @cached_property
    def centres_xy(self) -> Float32s:
        """Centres of the windows, float32 (positions, 2), pixels of the input."""
        levels = []
        width, height = self.input_wh
        for stride in self.strides:
            xs = (np.arange(width // stride, dtype=np.float32) + 0.5) * stride
            ys = (np.arange(height // stride, dtype=np.float32) + 0.5) * stride
            grid_x, grid_y = np.meshgrid(xs, ys)
            levels.append(np.stack([grid_x.ravel(), grid_y.ravel()], 1))
        return np.concatenate(levels)

    @cached_property
    def stride_of(self) -> Float32s:
        """Stride of each position in pixels, float32 (positions,)."""
        width, height = self.input_wh
        counts = [(width // stride) * (height // stride) for stride in self.strides]
        return np.repeat(np.array(self.strides, np.float32), counts)

    def __len__(self) -> int:
        return len(self.stride_of)

    def boxes_xyxy(self, distances: Float32s, positions: npt.NDArray[np.intp]) -> Float32s:
        """Boxes of some positions.

        Args:
            distances: float32 (picked, 4), left, top, right, bottom in strides, of those positions only.
            positions: their numbers in the grid, (picked,).

        Returns:
            float32 (picked, 4), `xyxy` in pixels of the input.
        """
        centres = self.centres_xy[positions]
        sides = distances * self.stride_of[positions, None]
        return np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1)
