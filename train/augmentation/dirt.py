"""Dirt of a colon that was not cleaned well, painted over training pictures at random.

Real frames without polyp mostly come from other examinations than those with one, and show more stool, foam and water.
A network that sees dirt only where no polyp is learns that polyps are never dirty; one that sees none learns that what
bulges and shines is a polyp. So the same dirt is laid over frames with and without polyps, and over rendered ones: none
of it foretells a polyp. Most of a polyp stays to be seen, so that its mask stays true.

Every function takes BGR uint8 (height, width, 3) and a generator, and gives a picture of the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from engine.arrays import AnyFloats, Pixels

Dirt = Callable[[Pixels, np.random.Generator], Pixels]

#: Share of a polyp that dirt may cover at most.
MOST_COVERED = 0.35
_SEEN = 40  # a change of grey levels that hides what was there
_DARK = 20  # grey level under which a pixel is margin, where there is no dirt


def dirty(image: Pixels, mask: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture with one or two kinds of dirt on it; as it is where all that was tried would hide a polyp.

    Args:
        image: BGR uint8 (height, width, 3), at least 32 pixels on each side.
        mask: uint8 (height, width), 1 = polyp.
        rng: draws kind, place, size, colour.
    """
    lit = cv2.morphologyEx(image.max(axis=2), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > _DARK
    found = image
    for _ in range(2 if rng.random() < 0.3 else 1):
        painted = KINDS[int(rng.integers(len(KINDS)))](found, rng)
        painted = np.where(lit[:, :, None], painted, image)
        hidden = np.abs(painted.astype(np.int16) - image).max(axis=2) > _SEEN
        if not mask.any() or hidden[mask > 0].mean() <= MOST_COVERED:
            found = painted
    return found


def stool(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Brown or yellow lumps and walls of stool, rough and lit like the mucosa around."""
    height, width = image.shape[:2]
    share = rng.uniform(0.05, 0.45)
    shape = _noise(height, width, rng, coarse=rng.uniform(0.15, 0.6), octaves=4)
    amount = _edge(shape, share, softness=0.04)
    hue = rng.uniform(0.0, 1.0)
    colour = (1 - hue) * np.array([20, 80, 120]) + hue * np.array([35, 155, 210])
    rough = _noise(height, width, rng, coarse=0.08, octaves=4)
    relief = np.clip(1 + 1.6 * (rough - cv2.GaussianBlur(rough, (0, 0), 4)) + 0.5 * (rough - 0.5), 0.4, 1.8)
    body = colour * (_light(image) * relief)[:, :, None]
    return _over(image, body, amount * rng.uniform(0.8, 1.0))


def residue(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Yellow or green film and flecks, through which mucosa is seen."""
    height, width = image.shape[:2]
    amount = _edge(_noise(height, width, rng, coarse=rng.uniform(0.05, 0.4), octaves=5), rng.uniform(0.05, 0.4))
    colour = np.array([30, rng.uniform(120, 190), rng.uniform(150, 220)])
    return _over(image, colour * _light(image)[:, :, None], amount * rng.uniform(0.3, 0.85))


def pool(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Cloudy water with a level, to one side of the picture."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    far = math.cos(angle) * (x / width - 0.5) + math.sin(angle) * (y / height - 0.5)
    wave = 0.06 * (_noise(height, width, rng, coarse=0.3, octaves=2) - 0.5)
    amount = 1 / (1 + np.exp(-(far + wave - rng.uniform(0.1, 0.35)) / 0.012))
    green = rng.uniform(0, 1)
    colour = np.array([rng.uniform(20, 80), 90 + 60 * green, rng.uniform(110, 190)])
    murky = _over(image, colour * (0.4 + 0.6 * _light(image))[:, :, None], amount * rng.uniform(0.35, 0.85))
    if rng.random() < 0.6:  # the light of the endoscope on the surface
        line = np.exp(-(((far - rng.uniform(0.3, 0.45)) / 0.015) ** 2))
        broken = 1.6 * line * _noise(height, width, rng, coarse=0.1, octaves=2)
        murky = _over(murky, np.full(3, 250.0), amount * np.clip(broken, 0, 1))
    return murky


def foam(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Fields of many small bubbles, white to yellow."""
    height, width = image.shape[:2]
    field = _edge(_noise(height, width, rng, coarse=0.3, octaves=3), rng.uniform(0.04, 0.3), softness=0.05)
    cream = np.array([rng.uniform(150, 235), rng.uniform(190, 240), rng.uniform(205, 245)])
    picture = _over(image, cream * _light(image)[:, :, None], field * rng.uniform(0.3, 0.7))
    scale = min(height, width) / 256
    count = int(field.mean() * height * width / (30 * scale * scale))
    ys, xs = np.nonzero(field > 0.5)
    if not ys.size:
        return picture
    picked = rng.integers(ys.size, size=min(count, 500))
    return _bubbles(picture, rng, [(int(xs[one]), int(ys[one])) for one in picked], radii=(1.2 * scale, 5 * scale))


def bubbles(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A few large bubbles, clear as glass: a dark rim, a bright edge, a reflection."""
    height, width = image.shape[:2]
    scale = min(height, width) / 256
    middle = rng.uniform(0.1, 0.9, 2) * (width, height)
    count = int(rng.integers(1, 12))
    places = middle + rng.normal(0, rng.uniform(10, 60) * scale, (count, 2))
    return _bubbles(image, rng, [(int(x), int(y)) for x, y in places], radii=(4 * scale, 24 * scale))


def jet(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A jet of rinsing water, from the rim towards the middle, with drops."""
    height, width = image.shape[:2]
    start = np.array([rng.uniform(0, width), rng.choice([0.0, height])])
    end = rng.uniform(0.25, 0.75, 2) * (width, height)
    layer = np.zeros((height, width), np.uint8)
    breadth = max(2, int(rng.uniform(0.015, 0.06) * width))
    for _ in range(int(rng.integers(3, 10))):
        one, other = (tuple(map(int, place + rng.normal(0, breadth, 2))) for place in (start, end))
        cv2.line(layer, one, other, int(rng.integers(60, 200)), int(rng.integers(1, breadth + 1)), cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 40))):
        place = end + rng.normal(0, 4 * breadth, 2)
        cv2.circle(layer, (int(place[0]), int(place[1])), int(rng.integers(1, 3)), 200, -1, cv2.LINE_AA)
    amount = cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.8, 2.5)).astype(np.float32) / 255
    return _over(image, np.array([235.0, 235.0, 235.0]), amount * rng.uniform(0.4, 0.9))


def film(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Water or mucus over the lens or the wall: parts bent as by a lens, with streaks of light."""
    height, width = image.shape[:2]
    strength = rng.uniform(2, 9)
    shift = [(_noise(height, width, rng, coarse=0.2, octaves=2) - 0.5) * 2 * strength for _ in range(2)]
    where = _edge(_noise(height, width, rng, coarse=0.5, octaves=2), rng.uniform(0.1, 0.5), softness=0.08)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bent_x, bent_y = x + where * shift[0], y + where * shift[1]
    bent = cv2.remap(image, bent_x, bent_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    slope = cv2.Sobel(shift[0], cv2.CV_32F, 1, 0, ksize=5)
    streaks = np.clip((slope / (np.abs(slope).max() + 1e-6) - 0.45) * 3, 0, 1) * where
    return _over(bent, np.full(3, 245.0), cv2.GaussianBlur(streaks, (0, 0), 1.0) * rng.uniform(0.2, 0.8))


def glare(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Light so near the wall that part of the picture is white or yellow."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    middle = rng.uniform(0, 1, 2) * (width, height)
    axes = rng.uniform(0.06, 0.35, 2) * min(height, width)
    turn = rng.uniform(0, math.pi)
    dx, dy = x - middle[0], y - middle[1]
    along, across = dx * math.cos(turn) + dy * math.sin(turn), dy * math.cos(turn) - dx * math.sin(turn)
    rough = 0.5 * (_noise(height, width, rng, coarse=0.15, octaves=3) - 0.5)
    near = np.exp(-((along / axes[0]) ** 2 + (across / axes[1]) ** 2)) * (1 + rough)
    colour = np.array([rng.uniform(150, 255), rng.uniform(220, 255), 255.0])
    return _over(image, colour, np.clip(near * rng.uniform(0.9, 1.8), 0, 1))


def red_out(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The lens touches the wall: red, without detail, bright to one side."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    far = math.cos(angle) * (x / width - 0.5) + math.sin(angle) * (y / height - 0.5)
    edge = 1 / (1 + np.exp(-(far - rng.uniform(-0.15, 0.35)) / rng.uniform(0.03, 0.15)))
    soft = cv2.GaussianBlur(image, (0, 0), min(height, width) * 0.06).astype(np.float32)
    red = np.array([rng.uniform(20, 90), rng.uniform(30, 110), rng.uniform(170, 245)])
    body = 0.3 * soft + 0.7 * red * (0.7 + 0.6 * edge)[:, :, None]
    return _over(image, body, edge * rng.uniform(0.7, 1.0))


#: All kinds; stool and residue stand twice, as they are what examinations meet most.
KINDS: tuple[Dirt, ...] = (stool, stool, residue, residue, pool, foam, bubbles, jet, film, glare, red_out)


def _noise(height: int, width: int, rng: np.random.Generator, *, coarse: float, octaves: int) -> AnyFloats:
    """Smooth noise from 0 to 1; `coarse` is the size of its largest lumps as a share of the picture's shorter side."""
    found = np.zeros((height, width), np.float32)
    lump, weight = max(4.0, coarse * min(height, width)), 1.0
    for _ in range(octaves):
        cells = rng.random((int(height / lump) + 3, int(width / lump) + 3), np.float32)
        found += weight * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
        lump, weight = max(2.0, lump / 2), weight / 2
    low, high = float(found.min()), float(found.max())
    return np.asarray((found - low) / max(high - low, 1e-6))


def _edge(shape: AnyFloats, share: float, *, softness: float = 0.06) -> AnyFloats:
    """From 0 to 1: 1 where a shape is among its highest `share` of pixels, with a soft edge."""
    level = float(np.quantile(shape[::4, ::4], 1 - share))
    return np.asarray(np.clip((shape - level) / softness + 0.5, 0, 1))


def _light(image: Pixels) -> AnyFloats:
    """How bright the scene is lit, about 0.3 to 1.3, without its detail."""
    height, width = image.shape[:2]
    small = cv2.resize(image.max(axis=2), (max(4, width // 16), max(4, height // 16)), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.5), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(soft.astype(np.float32) / 170, 0.3, 1.3))


def _over(image: Pixels, colour: AnyFloats, amount: AnyFloats) -> Pixels:
    """A colour, or a picture, laid over an image as far as `amount` (height, width) says, 0 to 1."""
    share = amount[:, :, None]
    return np.clip(image * (1 - share) + colour * share, 0, 255).astype(np.uint8)


def _bubbles(
    image: Pixels, rng: np.random.Generator, places: list[tuple[int, int]], *, radii: tuple[float, float]
) -> Pixels:
    dark, bright = np.zeros(image.shape[:2], np.uint8), np.zeros(image.shape[:2], np.uint8)
    for x, y in places:
        radius = max(1, round(math.exp(rng.uniform(math.log(radii[0]), math.log(radii[1])))))
        thick = max(1, radius // 5)
        cv2.circle(dark, (x, y), radius, int(rng.integers(60, 150)), thick, cv2.LINE_AA)
        turn = float(rng.uniform(0, 360))
        inner = max(1, radius - thick)
        cv2.ellipse(bright, (x, y), (inner, inner), turn, 0, 130, int(rng.integers(90, 200)), thick, cv2.LINE_AA)
        if radius > 2:
            spot = (x - radius // 3, y - radius // 3)
            cv2.circle(bright, spot, max(1, radius // 5), int(rng.integers(150, 256)), -1, cv2.LINE_AA)
    shaded = image * (1 - 0.6 * dark.astype(np.float32)[:, :, None] / 255)
    return np.clip(shaded + bright.astype(np.float32)[:, :, None], 0, 255).astype(np.uint8)
