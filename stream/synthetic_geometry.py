"""The geometry of a synthetic colonoscopy: bent tube, polyps as signed distances, camera path.

Lengths are in tube radii (about 2.5 cm), angles in radians, times in seconds.
The tube runs along z: its axis is at (x, y) = ``Tube.axis(z)`` and its cross-section is measured in the plane of z.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from stream.synthetic_texture import TUBE_LENGTH, Array

KNOTS_PER_SECOND = 25  # of the camera path


class PolypShape(Enum):
    """The three shapes of the Paris classification that the renderer knows."""

    SESSILE = "sessile"
    PEDUNCULATED = "pedunculated"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Tube:
    """A bent tube of radius 1 before folds: each row of ``waves`` is (amplitude x, y, wave number, phase)."""

    waves: tuple[tuple[float, float, float, float], ...]

    def axis(self, z: Array) -> tuple[Array, Array]:
        """Return x and y of the tube's axis at ``z``."""
        x, y = np.zeros_like(z), np.zeros_like(z)
        for amplitude_x, amplitude_y, number, phase in self.waves:
            angle = z * np.float32(number) + np.float32(phase)
            x += np.float32(amplitude_x) * np.sin(angle)
            y += np.float32(amplitude_y) * np.cos(angle)
        return x, y

    def axis_slope(self, z: Array) -> tuple[Array, Array]:
        """Return the derivatives of :meth:`axis` by z."""
        x, y = np.zeros_like(z), np.zeros_like(z)
        for amplitude_x, amplitude_y, number, phase in self.waves:
            angle = z * np.float32(number) + np.float32(phase)
            x += np.float32(amplitude_x * number) * np.cos(angle)
            y -= np.float32(amplitude_y * number) * np.sin(angle)
        return x, y


@dataclass(frozen=True, slots=True)
class PolypSite:
    """Where a polyp sits and what it looks like, before it is fitted onto a wall.

    Attributes:
        shape: one of the three shapes.
        z: place along the tube.
        theta: place around the tube.
        radius: half of its width.
        colour: BGR factor on the mucosa's colour.
        lumpiness: 0 smooth to 1 strongly lobulated.
        fillet: width of the smooth passage from the wall, as a share of the radius.
        pattern: strength of the fine surface pattern and of red patches, 0 to 1.
        attention: how much the camera turns towards it, 0 to 1.
        seed: of its lumps.
    """

    shape: PolypShape
    z: float
    theta: float
    radius: float
    colour: tuple[float, float, float] = (0.85, 0.85, 1.05)
    lumpiness: float = 0.5
    fillet: float = 0.3
    pattern: float = 0.5
    attention: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Polyp:
    """A polyp on its wall.

    Attributes:
        number: from 1, as in the id buffer.
        site: what it was made from.
        foot: where it is rooted, shape (3,).
        frame: rows are the two tangents of the wall and the normal into the lumen, shape (3, 3).
        centre: centre of the body (the head of a stalked one), shape (3,).
        radii: half axes of the body along the rows of ``frame``, shape (3,).
        phases: phases of the lumps, shape (3,).
        bound: radius of a sphere around ``middle`` that holds all of it.
        middle: centre of that sphere, shape (3,).
    """

    number: int
    site: PolypSite
    foot: Array
    frame: Array
    centre: Array
    radii: Array
    phases: Array
    bound: float
    middle: Array

    def distance(self, points: Array) -> Array:
        """Return the signed distance (roughly) of ``points``, shape (3, n), to the polyp: negative inside."""
        local = self.frame @ (points - self.centre[:, None])
        scaled = local / self.radii[:, None]
        first = np.sqrt(np.einsum("in,in->n", scaled, scaled)) + np.float32(1e-6)
        second = scaled / self.radii[:, None]
        gap = first * (first - 1) / (np.sqrt(np.einsum("in,in->n", second, second)) + np.float32(1e-6))
        if self.site.lumpiness > 0:
            gap = gap - np.float32(self.site.lumpiness * self.radii.min()) * self.lumps(local)
        if self.site.shape is PolypShape.PEDUNCULATED:
            gap = smooth_union(gap, self._stalk(points), 0.25 * self.site.radius)[0]
        result: Array = gap
        return result

    def lumps(self, local: Array) -> Array:
        """Return how far the body bulges at ``local``, shape (3, n) from its centre in its own frame, about -0.3 to 0.3."""
        total: Array = np.zeros(local.shape[1], np.float32)
        for number, weight in ((2.1, 0.13), (4.7, 0.06), (11.0, 0.018)):
            wave = np.sin(local * np.float32(number / self.site.radius) + np.float32(number) * self.phases[:, None])
            total += np.float32(weight) * (wave[0] * wave[1] + wave[1] * wave[2] + wave[2] * wave[0])
        return total

    def _stalk(self, points: Array) -> Array:
        """Return the distance to the stalk: a capsule that widens at its foot."""
        line = self.centre - self.foot
        from_foot = points - self.foot[:, None]
        along = ((line @ from_foot) / np.float32(line @ line)).clip(-0.2, 1)
        across = from_foot - line[:, None] * along
        thickness = np.float32(0.36 * self.site.radius) * (1 + 0.5 * (1 - along) ** 2)
        gap: Array = np.sqrt(np.einsum("in,in->n", across, across)) - thickness
        return gap


@dataclass(frozen=True, slots=True, eq=False)
class CameraPath:
    """Places and directions of the camera at ``KNOTS_PER_SECOND``; arrays of shape (knots, 3)."""

    position: Array
    forward: Array
    right: Array

    @property
    def duration_s(self) -> float:
        """Length of the path in seconds."""
        return (len(self.position) - 1) / KNOTS_PER_SECOND

    def at(self, time_s: float) -> tuple[Array, Array]:
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


def smooth_union(first: Array, second: Array, width: float) -> tuple[Array, Array]:
    """Return the union of two distances with a fillet of ``width``, and the share of ``second`` (0 to 1)."""
    share = (np.float32(0.5) + (first - second) * np.float32(0.5 / width)).clip(0, 1)
    union: Array = first + (second - first) * share - np.float32(width) * share * (1 - share)
    return union, share


def wall_gap(tube: Tube, relief: Array, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Return radial room to the wall, and the texture's column and row, for points of shape (n,); n < 32768."""
    axis_x, axis_y = tube.axis(z)
    x, y = x - axis_x, y - axis_y
    column = np.arctan2(y, x) * np.float32(relief.shape[1] / (2 * np.pi))
    row = z * np.float32(relief.shape[0] / TUBE_LENGTH)
    gap: Array = 1 - look_up(relief, column, row) - np.sqrt(x * x + y * y)
    return gap, column, row


def look_up(texture: Array, column: Array, row: Array) -> Array:
    """Return ``texture`` at fractional places (both axes wrap), shape (n,) or (n, channels); n < 32768."""
    found = cv2.remap(texture, column[None], row[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(found[0], dtype=np.float32)
