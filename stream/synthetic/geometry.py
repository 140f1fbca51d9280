"""The geometry of a synthetic colonoscopy: a bent tube, and polyps as signed distances on its wall.

Lengths are in tube radii (about 2.5 cm), angles in radians.
The tube runs along z: its axis is at (x, y) = ``Tube.axis(z)`` and its cross-section is measured in the plane of z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from engine.arrays import Float32s
from stream.synthetic.texture import TUBE_LENGTH, WallTexture


class PolypShape(Enum):
    """The three shapes of the Paris classification that the renderer knows."""

    SESSILE = "sessile"
    PEDUNCULATED = "pedunculated"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Tube:
    """A bent tube of radius 1 before folds: each row of ``waves`` is (amplitude x, y, wave number, phase)."""

    waves: tuple[tuple[float, float, float, float], ...]

    def axis(self, z: Float32s) -> tuple[Float32s, Float32s]:
        """Return x and y of the tube's axis at ``z``."""
        x, y = np.zeros_like(z), np.zeros_like(z)
        for amplitude_x, amplitude_y, number, phase in self.waves:
            angle = z * np.float32(number) + np.float32(phase)
            x += np.float32(amplitude_x) * np.sin(angle)
            y += np.float32(amplitude_y) * np.cos(angle)
        return x, y

    def axis_slope(self, z: Float32s) -> tuple[Float32s, Float32s]:
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
    foot: Float32s
    frame: Float32s
    centre: Float32s
    radii: Float32s
    phases: Float32s
    bound: float
    middle: Float32s

    def distance(self, points: Float32s) -> Float32s:
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
        result: Float32s = gap
        return result

    def lumps(self, local: Float32s) -> Float32s:
        """Return how far the body bulges, about -0.3 to 0.3, at ``local``: places from its centre in its own frame."""
        total: Float32s = np.zeros(local.shape[1], np.float32)
        for number, weight in ((2.1, 0.13), (4.7, 0.06), (11.0, 0.018)):
            wave = np.sin(local * np.float32(number / self.site.radius) + np.float32(number) * self.phases[:, None])
            total += np.float32(weight) * (wave[0] * wave[1] + wave[1] * wave[2] + wave[2] * wave[0])
        return total

    def _stalk(self, points: Float32s) -> Float32s:
        """Return the distance to the stalk: a capsule that widens at its foot."""
        line = self.centre - self.foot
        from_foot = points - self.foot[:, None]
        along = ((line @ from_foot) / np.float32(line @ line)).clip(-0.2, 1)
        across = from_foot - line[:, None] * along
        thickness = np.float32(0.36 * self.site.radius) * (1 + 0.5 * (1 - along) ** 2)
        gap: Float32s = np.sqrt(np.einsum("in,in->n", across, across)) - thickness
        return gap


def fit_polyps(tube: Tube, wall: WallTexture, sites: Sequence[PolypSite]) -> tuple[Polyp, ...]:
    """Set polyps onto the wall, upright on it, numbered from 1."""
    return tuple(_fit_polyp(tube, wall, site, number) for number, site in enumerate(sites, start=1))


def _fit_polyp(tube: Tube, wall: WallTexture, site: PolypSite, number: int) -> Polyp:
    """Set one polyp onto the wall."""
    rng = np.random.default_rng(site.seed)
    step = 0.6 * site.radius

    def surface(z: float, theta: float) -> Float32s:
        rows, columns = wall.relief.shape
        height = wall.relief[int(z / TUBE_LENGTH * rows) % rows, int(theta / (2 * np.pi) * columns) % columns]
        axis_x, axis_y = tube.axis(np.array([z], np.float32))
        reach = 1 - height
        return np.array([axis_x[0] + reach * np.cos(theta), axis_y[0] + reach * np.sin(theta), z], np.float32)

    foot = surface(site.z, site.theta)
    # The wall's slope over the polyp's own width, so that one on a fold does not lean with a single texel.
    along = surface(site.z + step, site.theta) - surface(site.z - step, site.theta)
    around = surface(site.z, site.theta + step) - surface(site.z, site.theta - step)
    normal = np.cross(along, around)
    normal /= np.linalg.norm(normal)
    axis_x, axis_y = tube.axis(foot[2:])
    inward = np.array([axis_x[0] - foot[0], axis_y[0] - foot[1], 0], np.float32)
    normal = normal if normal @ inward > 0 else -normal
    first = along - normal * (along @ normal)
    first /= np.linalg.norm(first)
    frame = np.stack((first, np.cross(normal, first), normal)).astype(np.float32)
    stretch = rng.uniform(0.8, 1.3)
    wide, high, lift, lean = {
        PolypShape.SESSILE: (1.0, rng.uniform(0.75, 1.0), rng.uniform(0.25, 0.45), 0.0),
        PolypShape.FLAT: (1.15, rng.uniform(0.3, 0.42), 0.03, 0.0),
        PolypShape.PEDUNCULATED: (0.95, rng.uniform(0.95, 1.15), rng.uniform(1.5, 2.1), rng.uniform(0.4, 1.0)),
    }[site.shape]
    radii = site.radius * np.array([wide * stretch, wide / stretch, high], np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    side = frame[0] * np.cos(turn) + frame[1] * np.sin(turn)
    centre = foot + site.radius * (lift * normal + lean * side)
    stalked = site.shape is PolypShape.PEDUNCULATED
    middle = (foot + centre) / 2 if stalked else centre
    bound = 1.2 * float(radii.max()) + (float(np.linalg.norm(centre - foot)) / 2 if stalked else 0.0)
    return Polyp(
        number=number,
        site=site,
        foot=foot,
        frame=frame,
        centre=centre.astype(np.float32),
        radii=radii,
        phases=rng.uniform(0, 2 * np.pi, 3).astype(np.float32),
        bound=bound + 0.3 * site.radius,
        middle=middle.astype(np.float32),
    )


def smooth_union(first: Float32s, second: Float32s, width: float) -> tuple[Float32s, Float32s]:
    """Return the union of two distances with a fillet of ``width``, and the share of ``second`` (0 to 1)."""
    share = (np.float32(0.5) + (first - second) * np.float32(0.5 / width)).clip(0, 1)
    union: Float32s = first + (second - first) * share - np.float32(width) * share * (1 - share)
    return union, share


def wall_gap(
    tube: Tube, relief: Float32s, x: Float32s, y: Float32s, z: Float32s
) -> tuple[Float32s, Float32s, Float32s]:
    """Return radial room to the wall, and the texture's column and row, for points of shape (n,); n < 32768."""
    axis_x, axis_y = tube.axis(z)
    x, y = x - axis_x, y - axis_y
    column = np.arctan2(y, x) * np.float32(relief.shape[1] / (2 * np.pi))
    row = z * np.float32(relief.shape[0] / TUBE_LENGTH)
    gap: Float32s = 1 - look_up(relief, column, row) - np.sqrt(x * x + y * y)
    return gap, column, row


def look_up(texture: Float32s, column: Float32s, row: Float32s) -> Float32s:
    """Return ``texture`` at fractional places (both axes wrap), shape (n,) or (n, channels); n < 32768."""
    found = cv2.remap(texture, column[None], row[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(found[0], dtype=np.float32)
