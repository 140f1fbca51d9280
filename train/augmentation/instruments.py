"""Instruments in the picture, painted: what comes out of the working channel of an endoscope.

A shaft comes in from the rim of the picture and ends in the field: closed or open forceps, a snare, a needle in its
sheath. It is lit from the lens, bright along its middle and dark at its sides, and nothing of it looks like mucosa.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from engine.arrays import AnyFloats, Pixels

_SHEATHS = ((200, 200, 195), (190, 150, 60), (60, 60, 62), (120, 190, 200), (90, 140, 70))
_STEEL = (185, 190, 195)


def instrument(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture with an instrument in it.

    Args:
        image: BGR uint8 (height, width, 3), at least 32 pixels on each side.
        rng: draws kind, place, size, colour.

    Returns:
        The same shape; the given picture stays as it is.
    """
    height, width = image.shape[:2]
    size = min(height, width)
    turn = rng.uniform(0.15, 0.75) * math.pi  # working channels end below the middle of the lens
    away = np.array([math.cos(turn), math.sin(turn)])
    tip = np.array([width, height]) / 2 + rng.normal(0, 0.08, 2) * size + 0.05 * size * away
    breadth = rng.uniform(0.05, 0.09) * size
    sheath = _SHEATHS[int(rng.integers(len(_SHEATHS)))]
    found = _rod(image, tip, tip + away * 1.2 * size, (0.8 * breadth, 1.7 * breadth), sheath)
    head = (_forceps, _snare, _needle)[int(rng.integers(3))]
    return head(found, rng, tip, -away, breadth)


def _forceps(image: Pixels, rng: np.random.Generator, tip: AnyFloats, ahead: AnyFloats, breadth: float) -> Pixels:
    opened = rng.uniform(0.05, 0.7)
    for side in (-1, 1):
        jaw = _turned(ahead, side * opened)
        image = _rod(image, tip + jaw * 1.6 * breadth, tip, (0.35 * breadth, 0.45 * breadth), _STEEL)
    return image


def _snare(image: Pixels, rng: np.random.Generator, tip: AnyFloats, ahead: AnyFloats, breadth: float) -> Pixels:
    long, broad = rng.uniform(2.0, 4.5) * breadth, rng.uniform(0.8, 2.0) * breadth
    angles = np.linspace(0, 2 * math.pi, 40)
    aside = _turned(ahead, math.pi / 2)
    loop = [tip + ahead * long * (1 - math.cos(one)) / 2 + aside * broad * math.sin(one) for one in angles]
    layer = np.zeros(image.shape[:2], np.uint8)
    points = np.array([loop], np.float32)
    cv2.polylines(layer, [np.asarray(points * 16, np.int32)], True, 255, max(1, round(0.12 * breadth)), cv2.LINE_AA, 4)
    return _laid(image, layer, np.array(_STEEL, np.float32) * rng.uniform(0.6, 1.2))


def _needle(image: Pixels, rng: np.random.Generator, tip: AnyFloats, ahead: AnyFloats, breadth: float) -> Pixels:
    length = rng.uniform(0.8, 2.0) * breadth
    return _rod(image, tip + ahead * length, tip, (0.06 * breadth, 0.16 * breadth), _STEEL)


def _rod(
    image: Pixels, begin: AnyFloats, end: AnyFloats, half_breadths: tuple[float, float], colour: tuple[int, int, int]
) -> Pixels:
    """A straight round rod between two places (x, y), so broad to each side at its two ends, lit from the lens."""
    height, width = image.shape[:2]
    along = (end - begin) / max(float(np.hypot(*(end - begin))), 1e-6)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    far = (x - begin[0]) * along[0] + (y - begin[1]) * along[1]
    length = float(np.hypot(*(end - begin)))
    half = half_breadths[0] + (half_breadths[1] - half_breadths[0]) * np.clip(far / length, 0, 1)
    past = np.maximum(np.maximum(-far, far - length), 0)  # beyond an end: it is round there
    aside = ((y - begin[1]) * along[0] - (x - begin[0]) * along[1]) / half
    from_axis = np.hypot(aside, past / half)
    lit = np.sqrt(np.clip(1 - from_axis**2, 0, 1))
    near = 0.45 + 0.65 * np.clip(far / length, 0, 1)  # what comes in at the rim is nearer to the light
    body = np.array(colour, np.float32) * ((0.25 + 0.75 * lit) * near)[:, :, None]
    body += 190 * (np.clip(1 - np.abs(aside + 0.25) / 0.22, 0, 1) * near)[:, :, None]  # the light's own image on it
    inside = np.clip((1 - from_axis) * half + 0.5, 0, 1)
    return _laid(image, np.asarray(255 * inside, np.uint8), body)


def _laid(image: Pixels, amount: Pixels, colour: AnyFloats) -> Pixels:
    share = amount[:, :, None].astype(np.float32) / 255
    return np.clip(image * (1 - share) + colour * share, 0, 255).astype(np.uint8)


def _turned(direction: AnyFloats, angle: float) -> AnyFloats:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([cosine * direction[0] - sine * direction[1], sine * direction[0] + cosine * direction[1]])
