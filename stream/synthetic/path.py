"""The way of the camera through a synthetic colon: along the tube, turning towards polyps, clear of everything.

Lengths are in tube radii (about 2.5 cm), angles in radians, times in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s, Float64s
from stream.synthetic.geometry import Polyp, Tube, wall_gap
from stream.synthetic.texture import WallTexture

KNOTS_PER_SECOND = 25  # of the camera path


@dataclass(frozen=True, slots=True, eq=False)
class CameraPath:
    """Places and directions of the camera at ``KNOTS_PER_SECOND``; arrays of shape (knots, 3)."""

    position: Float32s
    forward: Float32s
    right: Float32s

    @property
    def duration_s(self) -> float:
        """Length of the path in seconds."""
        return (len(self.position) - 1) / KNOTS_PER_SECOND

    def at(self, time_s: float) -> tuple[Float32s, Float32s]:
        """Return position, shape (3,), and axes (rows right, down, forward), shape (3, 3), at ``time_s``."""
        place = min(max(time_s, 0.0), self.duration_s) * KNOTS_PER_SECOND
        first = min(int(place), len(self.position) - 2)
        share = np.float32(place - first)
        position, forward, right = (
            (1 - share) * values[first] + share * values[first + 1]
            for values in (self.position, self.forward, self.right)
        )
        forward = forward / np.linalg.norm(forward)
        right = right - forward * (right @ forward)
        right = right / np.linalg.norm(right)
        return position, np.stack((right, np.cross(forward, right), forward)).astype(np.float32)


def plan_path(
    rng: np.random.Generator,
    tube: Tube,
    wall: WallTexture,
    polyps: Sequence[Polyp],
    z: Float64s,
    *,
    aim: tuple[float, float],
    wander: float,
    offset: float,
) -> CameraPath:
    """Lead the camera along the tube, looking ahead and turning towards polyps, clear of everything.

    Args:
        rng: draws the slow swings.
        tube: the tube.
        wall: its surface.
        polyps: turned towards by their attention, and kept clear of.
        z: place along the tube at each knot, shape (knots,).
        aim: constant turn of the direction to the right and down, as tangents.
        wander: swing of the direction, in radians.
        offset: swing of the place across the tube, in radii.
    """
    time = np.arange(len(z)) / KNOTS_PER_SECOND
    swings = np.stack([_swing(rng, time) for _ in range(6)], axis=1)
    axis = _axis_places(tube, z)
    position = axis + offset * swings[:, :3] * [1, 1, 0]
    pulls = [
        2.0 * polyp.site.attention * np.exp(-(((polyp.foot[2] - z - 0.55) / 0.55) ** 2))[:, None] for polyp in polyps
    ]
    for polyp, pull in zip(polyps, pulls, strict=True):
        position = position + 0.18 * pull * (polyp.foot - axis) * [1, 1, 0]
    position = _clear(tube, wall, polyps, position, axis)
    forward = _unit(_axis_places(tube, z + 1.6) - position)
    right = _unit(np.cross([0.0, 1.0, 0.0], forward))
    forward = _unit(forward + aim[0] * right + aim[1] * np.cross(forward, right))
    for polyp, pull in zip(polyps, pulls, strict=True):
        forward = forward + pull * _unit(polyp.middle - position)
    forward = _unit(forward)
    right = _unit(np.cross([0.0, 1.0, 0.0], forward))
    down = np.cross(forward, right)
    roll = 0.5 * swings[:, 5]
    right = np.cos(roll)[:, None] * right + np.sin(roll)[:, None] * down
    forward = _unit(forward + wander * (swings[:, 3:4] * right + swings[:, 4:5] * down))
    smooth = [cv2.GaussianBlur(values, (1, 0), sigmaX=0.1, sigmaY=6) for values in (position, forward, right)]
    return CameraPath(*(values.astype(np.float32) for values in smooth))


def unhurried(start: float, polyps: Sequence[Polyp], *, duration_s: float) -> Float64s:
    """Return a place along the tube for each knot, from ``start``: slow while a polyp is in front of the camera."""
    places = [start]
    for _ in range(round(duration_s * KNOTS_PER_SECOND)):
        slow = sum(float(np.exp(-(((polyp.foot[2] - places[-1] - 0.75) / 0.45) ** 2))) for polyp in polyps)
        places.append(places[-1] + 0.95 / (1 + 3.4 * slow) / KNOTS_PER_SECOND)
    return np.array(places)


def _clear(
    tube: Tube,
    wall: WallTexture,
    polyps: Sequence[Polyp],
    position: Float64s,
    axis: Float64s,
) -> Float64s:
    """Move places away from polyps and then from the wall."""
    for _ in range(8):
        for polyp in polyps:
            away = position - polyp.middle
            distance = np.linalg.norm(away, axis=1)
            push = (polyp.bound + 0.15 - distance).clip(0)
            position = position + (push / (distance + 1e-3))[:, None] * away * [1, 1, 0]
        points = position.T.astype(np.float32)
        room = wall_gap(tube, wall.relief, points[0], points[1], points[2])[0]
        position = position + (0.28 - room).clip(0)[:, None] * _unit(axis - position + 1e-6)
    return position


def _axis_places(tube: Tube, z: Float64s) -> Float64s:
    """Return the points of the tube's axis at ``z``, shape (knots, 3)."""
    x, y = tube.axis(z.astype(np.float32))
    return np.stack((x.astype(np.float64), y.astype(np.float64), z), axis=1)


def _unit(vectors: npt.NDArray[np.floating]) -> Float64s:
    """Return rows of length 1."""
    result: Float64s = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


def _swing(rng: np.random.Generator, time: Float64s) -> Float64s:
    """Return a slow swing between about -1 and 1 for each time."""
    total = np.zeros_like(time)
    for weight, low, high in ((0.7, 0.3, 0.8), (0.25, 0.9, 1.8), (0.05, 3.0, 6.0)):
        total += weight * np.sin(rng.uniform(low, high) * time + rng.uniform(0, 2 * np.pi))
    return total
