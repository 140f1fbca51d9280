"""Scenes of a synthetic colonoscopy: what a colon looks like, where its polyps sit, how the camera moves through it.

``ColonScene.random(seed)`` draws everything by lot; ``sample_scene()`` is the fixed scene of the sample clip.
Lengths are in tube radii (about 2.5 cm), times in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from engine.errors import InputError
from stream.synthetic_geometry import (
    KNOTS_PER_SECOND,
    CameraPath,
    Polyp,
    PolypShape,
    PolypSite,
    Tube,
    wall_gap,
)
from stream.synthetic_texture import TUBE_LENGTH, Array, FoldStyle, MucosaStyle, WallTexture, build_wall


class FieldShape(Enum):
    """Outline of the endoscope's picture within the frame."""

    OCTAGON = "octagon"
    CIRCLE = "circle"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Look:
    """Camera, light and picture of one scene.

    Attributes:
        view_angle: of the whole field's width.
        light: BGR colour of the light.
        falloff: distance at which the light has fallen to a half, in radii.
        brightness: mean brightness that the automatic exposure aims at, 0 to 1, in linear light.
        gamma: exponent from light to grey level, 0.45 (video standard) to 0.8 (contrasty).
        scatter: share of light that comes from all walls together, 0 to 0.5.
        soak: light that leaves the tissue whatever its slope, 0 to 0.5.
        shine: strength of specular spots.
        gloss: exponent of specular spots (50 dull to 400 sharp).
        blur: of the lens, in thousandths of the picture's height.
        noise: standard deviation of the sensor's noise, in grey levels.
        field: outline of the picture.
        field_box: left, top, right, bottom of the picture as shares of the frame.
        text: lines burned into the margin, empty for none.
    """

    view_angle: float
    light: tuple[float, float, float]
    falloff: float
    brightness: float
    gamma: float
    scatter: float
    soak: float
    shine: float
    gloss: float
    blur: float
    noise: float
    field: FieldShape
    field_box: tuple[float, float, float, float]
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ColonScene:
    """One colon with its polyps and one way of the camera through it.

    Attributes:
        seed: what it was drawn from; also seeds the sensor's noise.
        tube: the bent tube.
        wall: its surface.
        polyps: numbered from 1 in this order.
        path: of the camera.
        look: camera, light, margin.
    """

    seed: int
    tube: Tube
    wall: WallTexture
    polyps: tuple[Polyp, ...]
    path: CameraPath
    look: Look

    @property
    def duration_s(self) -> float:
        """Length of the scene in seconds."""
        return self.path.duration_s

    @classmethod
    def random(
        cls,
        seed: int,
        *,
        polyp_count: int | None = None,
        duration_s: float = 6.0,
        field: FieldShape | None = None,
        detail: int = 64,
    ) -> ColonScene:
        """Draw a scene: colours, folds, vessels, light, polyps, path and margin are all by lot.

        Args:
            seed: the same seed gives the same scene.
            polyp_count: 0 to 3; None draws it.
            duration_s: length of the camera's path, at least 0.1 s.
            field: outline of the picture; None draws one.
            detail: texels of the wall per radius, a power of two: 64 for pictures of 256 px, 128 for larger ones.

        Raises:
            InputError: for a value out of its range.
        """
        if polyp_count is not None and not 0 <= polyp_count <= 3:
            raise InputError(f"polyp_count must be 0 to 3. Received: {polyp_count}")
        if duration_s < 0.1:
            raise InputError(f"duration_s must be at least 0.1 s. Received: {duration_s}")
        if detail not in (32, 64, 128, 256):
            raise InputError(f"detail must be 32, 64, 128 or 256. Received: {detail}")
        rng = np.random.default_rng(seed)
        count = int(rng.choice(4, p=(0.2, 0.5, 0.2, 0.1))) if polyp_count is None else polyp_count
        mucosa = _random_mucosa(rng)
        wall = build_wall(rng, _random_folds(rng), mucosa, detail=detail)
        tube = _random_tube(rng)
        start = rng.uniform(0, TUBE_LENGTH)
        travel = rng.uniform(0.12, 0.3) * duration_s
        sites = [_random_site(rng, start, travel) for _ in range(count)]
        polyps = fit_polyps(tube, wall, sites)
        knots = round(duration_s * KNOTS_PER_SECOND) + 1
        z = start + travel * np.linspace(0, 1, knots)
        if rng.random() < 0.5:
            z = z[::-1]
        # A third of the scenes look at the wall rather than along the tube, as an endoscopist does in bends.
        aim = rng.normal(0, 0.8, 2) if rng.random() < 0.35 else np.zeros(2)
        swing = rng.uniform((0.05, 0.0), (0.6, 0.3))
        path = plan_path(rng, tube, wall, polyps, z, aim=(aim[0], aim[1]), wander=swing[0], offset=swing[1])
        return cls(seed=seed, tube=tube, wall=wall, polyps=polyps, path=path, look=_random_look(rng, field))


def fit_polyps(tube: Tube, wall: WallTexture, sites: Sequence[PolypSite]) -> tuple[Polyp, ...]:
    """Set polyps onto the wall, upright on it, numbered from 1."""
    return tuple(_fit_polyp(tube, wall, site, number) for number, site in enumerate(sites, start=1))


def _fit_polyp(tube: Tube, wall: WallTexture, site: PolypSite, number: int) -> Polyp:
    """Set one polyp onto the wall."""
    rng = np.random.default_rng(site.seed)
    step = 0.6 * site.radius

    def surface(z: float, theta: float) -> Array:
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


def plan_path(
    rng: np.random.Generator,
    tube: Tube,
    wall: WallTexture,
    polyps: Sequence[Polyp],
    z: npt.NDArray[np.float64],
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
    axis = np.stack((*tube.axis(z.astype(np.float32)), z), axis=1)
    position = axis + offset * swings[:, :3] * [1, 1, 0]
    pulls = [
        2.0 * polyp.site.attention * np.exp(-(((polyp.foot[2] - z - 0.55) / 0.55) ** 2))[:, None] for polyp in polyps
    ]
    for polyp, pull in zip(polyps, pulls, strict=True):
        position = position + 0.18 * pull * (polyp.foot - axis) * [1, 1, 0]
    position = _clear(tube, wall, polyps, position, axis)
    ahead = z + 1.6
    target = np.stack((*tube.axis(ahead.astype(np.float32)), ahead), axis=1)
    forward = _unit(target - position)
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


def _clear(
    tube: Tube,
    wall: WallTexture,
    polyps: Sequence[Polyp],
    position: npt.NDArray[np.float64],
    axis: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
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


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return rows of length 1."""
    result: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


def _swing(rng: np.random.Generator, time: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a slow swing between about -1 and 1 for each time."""
    total = np.zeros_like(time)
    for weight, low, high in ((0.7, 0.3, 0.8), (0.25, 0.9, 1.8), (0.05, 3.0, 6.0)):
        total += weight * np.sin(rng.uniform(low, high) * time + rng.uniform(0, 2 * np.pi))
    return total


def _random_tube(rng: np.random.Generator) -> Tube:
    """Draw a bent tube; slopes stay under about 0.7 so that the picture never looks through the wall."""
    waves = []
    for number, slope in ((rng.uniform(0.3, 0.6), 0.35), (rng.uniform(0.8, 1.4), 0.22)):
        x, y = rng.uniform(-slope, slope, 2) / number
        waves.append((float(x), float(y), float(number), float(rng.uniform(0, 2 * np.pi))))
    return Tube(tuple(waves))


def _random_folds(rng: np.random.Generator) -> FoldStyle:
    """Draw the shape of the folds."""
    return FoldStyle(
        spacing=rng.uniform(0.6, 1.4),
        height=rng.uniform(0.12, 0.45),
        width=rng.uniform(0.06, 0.18),
        triangularity=rng.uniform(0.2, 1.0),
        bumps=rng.uniform(0.0004, 0.003),
    )


def _random_mucosa(rng: np.random.Generator) -> MucosaStyle:
    """Draw the colours of a mucosa: from yellow-orange over pink to deep red."""
    red = rng.uniform(0.4, 0.7)
    green = red * rng.uniform(0.28, 0.52)
    blue = green * rng.uniform(0.3, 0.85)
    return MucosaStyle(
        base=(blue, green, red),
        blotch=rng.uniform(0.3, 1.2),
        vessel=(rng.uniform(0.35, 0.6), rng.uniform(0.25, 0.5), rng.uniform(0.6, 0.85)),
        vessel_density=rng.uniform(0.3, 2.0),
        vessel_strength=rng.uniform(0.15, 1.1),
        stain=rng.uniform(0.1, 0.5) if rng.random() < 0.25 else 0.0,
    )


def _random_site(rng: np.random.Generator, start: float, travel: float) -> PolypSite:
    """Draw a polyp that the camera will meet on its way from ``start`` over ``travel``."""
    shape = rng.choice([PolypShape.SESSILE, PolypShape.PEDUNCULATED, PolypShape.FLAT], p=(0.5, 0.25, 0.25))
    paler = rng.uniform(0.7, 1.25)
    return PolypSite(
        shape=shape,
        z=start + 0.45 + rng.uniform(0, 1) * (travel + 0.8),
        theta=rng.uniform(0, 2 * np.pi),
        radius=rng.uniform(0.12, 0.5) * (0.7 if shape is PolypShape.PEDUNCULATED else 1),
        colour=(paler * rng.uniform(0.85, 1.1), paler * rng.uniform(0.85, 1.05), rng.uniform(0.9, 1.15)),
        lumpiness=rng.uniform(0.2, 1.1),
        fillet=rng.uniform(0.2, 0.7) if shape is not PolypShape.PEDUNCULATED else rng.uniform(0.15, 0.35),
        pattern=rng.uniform(0, 1) ** 1.3,
        attention=rng.uniform(0, 1),
        seed=int(rng.integers(2**31)),
    )


def _random_look(rng: np.random.Generator, field: FieldShape | None) -> Look:
    """Draw camera, light and margin."""
    if field is None:
        field = rng.choice([FieldShape.OCTAGON, FieldShape.CIRCLE, FieldShape.FULL], p=(0.6, 0.2, 0.2))
    box = (0.0, 0.0, 1.0, 1.0)
    if field is not FieldShape.FULL:
        left, top, right, bottom = rng.uniform(0, (0.16, 0.06, 0.12, 0.06))
        box = (left, top, 1 - right, 1 - bottom)
    return Look(
        view_angle=float(np.radians(rng.uniform(85, 140))),
        light=(rng.uniform(0.8, 1.1), rng.uniform(0.92, 1.05), 1.0),
        falloff=rng.uniform(0.3, 1.0),
        brightness=rng.uniform(0.12, 0.36),
        gamma=rng.uniform(0.5, 0.8),
        scatter=rng.uniform(0.01, 0.1),
        soak=rng.uniform(0.12, 0.4),
        shine=rng.uniform(0.3, 1.3),
        gloss=rng.uniform(120, 600),
        blur=rng.uniform(1.2, 3.5),
        noise=rng.uniform(0.3, 2),
        field=field,
        field_box=box,
        text=_random_text(rng) if rng.random() < 0.5 and field is not FieldShape.FULL else (),
    )


def _random_text(rng: np.random.Generator) -> tuple[str, ...]:
    """Draw lines such as a processor burns into the margin; no person's data."""
    time = f"{rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d}"
    lines = ["SYNTHETIC", f"{rng.integers(1, 29):02d}/{rng.integers(1, 13):02d}/2024", time]
    lines += [f"CVP:A{rng.integers(1, 9)}", f"Gn:{rng.integers(10)}", "Eh:B8 Cm:1"]
    return tuple(lines[: rng.integers(1, len(lines) + 1)])


def sample_scene() -> ColonScene:
    """Return the fixed scene of the sample clip: 20 s, a sessile, a stalked and a flat polyp one after the other."""
    seed = 20
    rng = np.random.default_rng(seed)
    folds = FoldStyle(spacing=1.05, height=0.3, width=0.11, triangularity=0.75, bumps=0.0012)
    mucosa = MucosaStyle(
        base=(0.125, 0.2, 0.56),
        blotch=0.6,
        vessel=(0.5, 0.4, 0.75),
        vessel_density=1.0,
        vessel_strength=0.7,
        stain=0.0,
    )
    wall = build_wall(rng, folds, mucosa, detail=128)
    tube = Tube(((0.5, -0.4, 0.5, 0.3), (0.12, 0.15, 1.2, 1.0)))
    sites = (
        PolypSite(PolypShape.SESSILE, 3.2, 2.2, 0.3, (0.8, 0.72, 1.0), lumpiness=0.8, fillet=0.35, pattern=0.5, seed=4),
        PolypSite(PolypShape.PEDUNCULATED, 6.3, 5.2, 0.24, (0.7, 0.62, 1.0), lumpiness=0.9, fillet=0.3, pattern=0.7, seed=5),
        PolypSite(PolypShape.FLAT, 9.3, 0.6, 0.36, (0.78, 0.68, 1.0), lumpiness=1.4, fillet=0.2, pattern=0.55, seed=6),
    )
    polyps = fit_polyps(tube, wall, sites)
    z = _unhurried(-0.5, polyps, duration_s=20.0)
    path = plan_path(rng, tube, wall, polyps, z, aim=(0.0, 0.0), wander=0.16, offset=0.15)
    look = Look(
        view_angle=float(np.radians(115)),
        light=(0.95, 0.98, 1.0),
        falloff=0.6,
        brightness=0.26,
        gamma=0.58,
        scatter=0.05,
        soak=0.25,
        shine=0.8,
        gloss=300,
        blur=1.6,
        noise=1.0,
        field=FieldShape.OCTAGON,
        field_box=(0.16, 0.03, 0.97, 0.97),
        text=("SYNTHETIC", "01/01/2024", "10:24:00", "CVP:A5", "Gn:3", "Eh:B8 Cm:1"),
    )
    return ColonScene(seed=seed, tube=tube, wall=wall, polyps=polyps, path=path, look=look)


def _unhurried(start: float, polyps: Sequence[Polyp], *, duration_s: float) -> npt.NDArray[np.float64]:
    """Return a place along the tube for each knot, from ``start``: slow while a polyp is in front of the camera."""
    places = [start]
    for _ in range(round(duration_s * KNOTS_PER_SECOND)):
        slow = sum(float(np.exp(-(((polyp.foot[2] - places[-1] - 0.75) / 0.45) ** 2))) for polyp in polyps)
        places.append(places[-1] + 0.95 / (1 + 3.4 * slow) / KNOTS_PER_SECOND)
    return np.array(places)
