"""Seamless surface textures of a synthetic colon wall: relief, colour, vessels, wetness.

All textures run along the tube in rows (``s``) and around it in columns (``theta``), and both axes wrap round.
Lengths are in tube radii.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s

TUBE_LENGTH = 16.0  # after this length along the tube the textures repeat; nothing is seen further than 10


@dataclass(frozen=True, slots=True)
class FoldStyle:
    """How the haustral folds of one colon look.

    Attributes:
        spacing: mean distance between two rings of folds, in radii.
        height: mean height of a fold, in radii (0.1 flat to 0.4 deep).
        width: half thickness of a fold's crest, in radii.
        triangularity: 0 for a round lumen, 1 for the triangular one between three taeniae.
        bumps: height of the fine unevenness of the mucosa, in radii.
    """

    spacing: float
    height: float
    width: float
    triangularity: float
    bumps: float


@dataclass(frozen=True, slots=True)
class MucosaStyle:
    """Colours of one colon, BGR in linear light, 0 to 1.

    Attributes:
        base: mean colour.
        blotch: strength of the large redder and paler areas, 0 to 1.
        vessel: colour that a vessel multiplies the mucosa with.
        vessel_density: trunks per unit of area (square radii).
        vessel_strength: 0 invisible to 1 strong.
        stain: share of the wall with yellow residue, 0 to 1.
    """

    base: tuple[float, float, float]
    blotch: float
    vessel: tuple[float, float, float]
    vessel_density: float
    vessel_strength: float
    stain: float


@dataclass(frozen=True, slots=True, eq=False)
class WallTexture:
    """What is looked up at a point of the wall; every array has shape (rows, columns[, channels]), float32.

    Attributes:
        relief: height towards the tube's axis, in radii.
        slope: 3 channels: derivative of the relief with bumps along s and along theta, and wetness (0 to 1).
        albedo: BGR in linear light.
    """

    relief: Float32s
    slope: Float32s
    albedo: Float32s


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> Float32s:
    """Return wrapping noise of mean 0 and deviation near 1.

    Args:
        rng: source of randomness.
        shape: rows and columns of the result; multiples of ``cells``.
        cells: number of independent values along each axis.
    """
    grid = rng.standard_normal(cells, dtype=np.float32)
    # Interpolation averages neighbours, which takes about a quarter off the deviation.
    return _enlarged(grid * np.float32(1.3), shape)


def fold_relief(rng: np.random.Generator, shape: tuple[int, int], style: FoldStyle) -> Float32s:
    """Return the height of the folds over the wall, shape ``shape``, in radii."""
    rows, columns = shape
    s = np.linspace(0, TUBE_LENGTH, rows, endpoint=False, dtype=np.float32)[:, None]
    theta = np.linspace(0, 2 * np.pi, columns, endpoint=False, dtype=np.float32)[None, :]
    taenia = rng.uniform(0, 2 * np.pi)
    relief: Float32s = np.zeros(shape, np.float32)
    count = max(int(TUBE_LENGTH / style.spacing), 4)
    for ring in range(count):
        centre = (ring + rng.uniform(-0.22, 0.22)) * TUBE_LENGTH / count
        tilt, turn = rng.uniform(0, 0.18), np.float32(rng.uniform(0, 2 * np.pi))
        for sector in range(3):
            middle = taenia + (sector + 0.5) * 2 * np.pi / 3
            # A half-moon from one taenia to the next; 1.5 turns its sixth of a circle into a quarter wave.
            around = np.cos(np.minimum(1.5 * np.abs(_wrapped(theta - middle, 2 * np.pi)), np.pi / 2)).clip(0)
            window = (1 - style.triangularity) * np.minimum(1, 3 * around) + style.triangularity * around**0.8
            height = style.height * rng.uniform(0.3, 1.4)
            place = centre + rng.uniform(-0.14, 0.14) + tilt * np.cos(theta - turn)
            place = place + 0.05 * np.sin(rng.integers(3, 7) * theta + rng.uniform(0, 6.3))
            near = _rows_near(s[:, 0], centre, 0.75)
            distance = np.abs(_wrapped(s[near] - place, TUBE_LENGTH)) / np.float32(style.width * rng.uniform(0.75, 1.5))
            # A thin crest on a broad foot.
            crest = np.exp(-distance * np.sqrt(distance)) + 0.35 * np.exp(-0.13 * distance * distance)
            relief[near] = np.maximum(relief[near], (height / 1.35) * window * crest)
    large = smooth_noise(rng, shape, (32, 8))
    # The lumen narrows at the taeniae too; without this the wall between the folds would be a perfect cylinder.
    return np.asarray(relief + 0.035 * large + 0.05 * np.cos(3 * (theta - taenia)), dtype=np.float32)


def vessel_map(rng: np.random.Generator, shape: tuple[int, int], density: float) -> Float32s:
    """Return branching vessels, 0 (none) to 1 (centre of a trunk), shape ``shape``."""
    rows, columns = shape
    per_unit = np.array([columns / (2 * np.pi), rows / TUBE_LENGTH])
    margin = 96
    canvas = np.zeros((rows + 2 * margin, columns + 2 * margin), np.uint8)
    count = max(int(density * 2 * np.pi * TUBE_LENGTH), 1)
    place = rng.uniform(0, 1, (count, 2)) * [2 * np.pi, TUBE_LENGTH]
    heading = rng.uniform(0, 2 * np.pi, count)
    for generation, (steps, stride, strength) in enumerate(((36, 0.045, 1.0), (26, 0.03, 0.75), (18, 0.022, 0.5))):
        turns = np.cumsum(rng.normal(0, 0.28, (len(place), steps)), axis=1) + heading[:, None]
        moves = stride * np.stack((np.cos(turns), np.sin(turns)), axis=2)
        walks = place[:, None] + np.cumsum(moves, axis=1)
        thickness = max(round(0.022 * per_unit[1] * (1 - 0.35 * generation)), 1)
        lines = np.mod(walks[:, :1], [2 * np.pi, TUBE_LENGTH]) + walks - walks[:, :1]
        pixels = np.round((lines * per_unit + margin) * 16).astype(np.int32)
        layer = np.zeros_like(canvas)
        cv2.polylines(layer, list(pixels), False, int(255 * strength), thickness, cv2.LINE_AA, 4)
        canvas = np.maximum(canvas, layer)
        branches = 3
        at = rng.integers(2, steps, (len(place), branches))
        place = np.take_along_axis(walks, at[:, :, None], axis=1).reshape(-1, 2)
        side = rng.choice([-1.0, 1.0], at.shape) * rng.uniform(0.4, 1.1, at.shape)
        heading = (np.take_along_axis(turns, at, axis=1) + side).reshape(-1)
    inner = canvas[margin:-margin, :].copy()
    inner[-margin:] = np.maximum(inner[-margin:], canvas[:margin])
    inner[:margin] = np.maximum(inner[:margin], canvas[-margin:])
    folded = inner[:, margin:-margin].copy()
    folded[:, -margin:] = np.maximum(folded[:, -margin:], inner[:, :margin])
    folded[:, :margin] = np.maximum(folded[:, :margin], inner[:, -margin:])
    return np.asarray(cv2.GaussianBlur(folded, (0, 0), 0.7) / np.float32(255), dtype=np.float32)


def build_wall(rng: np.random.Generator, folds: FoldStyle, mucosa: MucosaStyle, *, detail: int) -> WallTexture:
    """Make the textures of one colon.

    Args:
        rng: source of randomness; the result depends on nothing else than it and the styles.
        folds: relief.
        mucosa: colours.
        detail: texels per radius along the tube, a power of two (64 for small pictures, 128 for large ones).
    """
    shape = (int(TUBE_LENGTH) * detail, 8 * detail)
    relief = fold_relief(rng, (int(TUBE_LENGTH) * min(detail, 64), 8 * min(detail, 64)), folds)
    relief = _enlarged(relief, shape)
    fine = smooth_noise(rng, shape, (256, 128))
    finest = smooth_noise(rng, shape, (shape[0] // 4, shape[1] // 4))
    rough = relief + folds.bumps * fine + 0.25 * folds.bumps * finest
    slope_s = _central(rough, 0) * (shape[0] / TUBE_LENGTH)
    slope_theta = _central(rough, 1) * (shape[1] / (2 * np.pi))
    wet = 0.15 + 0.4 * smooth_noise(rng, shape, (32, 16)) + 0.35 * finest + 0.2 * fine
    slope: Float32s = np.dstack((slope_s, slope_theta, wet.clip(0, 1)))
    return WallTexture(relief=relief, slope=slope, albedo=_albedo(rng, shape, relief, finest, mucosa))


def _albedo(
    rng: np.random.Generator, shape: tuple[int, int], relief: Float32s, finest: Float32s, mucosa: MucosaStyle
) -> Float32s:
    """Return the wall's colour, shape (rows, columns, 3), linear BGR."""
    blotch = smooth_noise(rng, shape, (32, 16)) + 0.6 * smooth_noise(rng, shape, (128, 64))
    grain = smooth_noise(rng, shape, (shape[0] // 8, shape[1] // 8)) + finest
    # Blood changes green and blue more than red.
    redness = (mucosa.blotch * 0.16 * blotch)[..., None] * np.array([1.0, 1.0, 0.25], np.float32)
    colour: Float32s = np.array(mucosa.base, np.float32) * (1 - redness) * (1 + 0.035 * grain)[..., None]
    patch = (0.55 + 0.45 * smooth_noise(rng, shape, (16, 8))).clip(0.1, 1)
    vessels = vessel_map(rng, shape, mucosa.vessel_density) * patch * mucosa.vessel_strength
    colour *= np.float32(1) - vessels[..., None] * (np.float32(1) - np.array(mucosa.vessel, np.float32))
    if mucosa.stain > 0:
        field = smooth_noise(rng, shape, (32, 16)) + 0.5 * smooth_noise(rng, shape, (128, 64))
        amount = ((field - 2.2 * (1 - mucosa.stain)) * 0.6).clip(0, 0.7)[..., None]
        colour += amount * (np.array([0.05, 0.26, 0.5], np.float32) - colour)
    # Valleys beside a fold receive less of the light that the walls throw at each other.
    around = cv2.GaussianBlur(relief, (0, 0), shape[0] / TUBE_LENGTH * 0.12, borderType=cv2.BORDER_REFLECT)
    shade = 1 - 1.8 * (around - relief).clip(0, 0.25)
    return np.ascontiguousarray((colour * shade[..., None]).clip(0.005, 1), dtype=np.float32)


def _enlarged(values: Float32s, shape: tuple[int, int]) -> Float32s:
    """Return ``values`` interpolated to ``shape``, whole multiples of theirs, and still wrapping."""
    pad = 3
    rows, columns = shape[0] // values.shape[0], shape[1] // values.shape[1]
    padded = np.pad(values, pad, mode="wrap")
    large = cv2.resize(padded, (padded.shape[1] * columns, padded.shape[0] * rows), interpolation=cv2.INTER_CUBIC)
    inner = large[pad * rows : pad * rows + shape[0], pad * columns : pad * columns + shape[1]]
    return np.ascontiguousarray(inner, dtype=np.float32)


def _central(values: Float32s, axis: int) -> Float32s:
    """Return wrapping central differences per texel."""
    difference: Float32s = np.subtract(np.roll(values, -1, axis), np.roll(values, 1, axis))
    difference *= np.float32(0.5)
    return difference


def _wrapped(values: Float32s, period: float) -> Float32s:
    """Return ``values`` moved into [-period / 2, period / 2]."""
    moved: Float32s = values - np.float32(period) * np.round(values * np.float32(1 / period))
    return moved


def _rows_near(s: Float32s, centre: float, reach: float) -> npt.NDArray[np.intp]:
    """Return the rows of the texture within ``reach`` of ``centre``."""
    return np.flatnonzero(np.abs(_wrapped(s - centre, TUBE_LENGTH)) < reach)
