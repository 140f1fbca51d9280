"""The camera of a synthetic colonoscopy: its lens, the outline of its picture, exposure, noise and burned-in text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s, Image, Plane

Places = npt.NDArray[np.intp]


class FieldShape(Enum):
    """Outline of the endoscope's picture within the frame."""

    OCTAGON = "octagon"
    CIRCLE = "circle"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Look:
    """Camera, light and picture of one scene.

    Attributes:
        view_angle: of the field's longer side, at most 2.5, in radians.
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


def field_outline(look: Look, resolution_wh: tuple[int, int]) -> tuple[tuple[int, int, int, int], Plane]:
    """Return the picture's box in pixels and its outline within the box (255 inside)."""
    width, height = resolution_wh
    left, top, right, bottom = look.field_box
    box = (round(left * width), round(top * height), round(right * width), round(bottom * height))
    wide, high = box[2] - box[0], box[3] - box[1]
    outline = np.full((high, wide), 255, np.uint8)
    if look.field is FieldShape.OCTAGON:
        cut = round(0.16 * min(wide, high))
        for x, y in ((0, 0), (wide - 1, 0), (0, high - 1), (wide - 1, high - 1)):
            inward = (x + (cut if x == 0 else -cut), y + (cut if y == 0 else -cut))
            cv2.fillConvexPoly(outline, np.array([(x, y), (inward[0], y), (x, inward[1])], np.int32), 0)
    elif look.field is FieldShape.CIRCLE:
        outline[:] = 0
        # A round picture is often cut off above and below by the frame.
        cv2.circle(outline, (wide // 2, high // 2), max(wide, high) // 2, 255, -1)
    return box, outline


def lens_rays(look: Look, size_wh: tuple[int, int]) -> Float32s:
    """Return directions in camera axes, shape (3, height, width): equal angles per pixel, as wide endoscope lenses."""
    wide, high = size_wh
    x = (np.arange(wide, dtype=np.float32) + 0.5 - wide / 2)[None, :]
    y = (np.arange(high, dtype=np.float32) + 0.5 - high / 2)[:, None]
    radius = np.sqrt(x * x + y * y) + np.float32(1e-6)
    angle = radius * np.float32(look.view_angle / max(wide, high))
    side = np.sin(angle) / radius
    return np.stack((side * x, side * y, np.cos(angle))).astype(np.float32)


def lens_place(look: Look, size_wh: tuple[int, int], points: Float32s) -> tuple[Places, Places]:
    """Return column and row of the pixel that shows each point, shape (n,); may lie outside the picture.

    Args:
        look: the lens.
        size_wh: of the picture's box in pixels.
        points: in camera axes, shape (3, n).
    """
    across = np.hypot(points[0], points[1]) + np.float32(1e-6)
    radius = np.arctan2(across, points[2]) * np.float32(max(size_wh) / look.view_angle)
    column = np.floor(points[0] / across * radius + size_wh[0] / 2)
    row = np.floor(points[1] / across * radius + size_wh[1] / 2)
    return column.astype(np.intp), row.astype(np.intp)


def develop(look: Look, radiance: Float32s, shine: Float32s, outline: Plane, rng: np.random.Generator) -> Image:
    """Expose, blur and digitise.

    Args:
        look: of the camera.
        radiance: BGR light of each pixel of the picture's box, shape (height, width, 3).
        shine: light of specular spots, shape (height, width).
        outline: 255 where the automatic exposure measures.
        rng: of the sensor's noise.

    Returns:
        BGR uint8, shape (height, width, 3).
    """
    mean = float(cv2.mean(np.minimum(radiance[..., 1] * 3, 1.5), outline)[0])
    light = radiance * np.float32(3 * look.brightness / max(mean, 1e-4)) + shine[..., None]
    exposed: Float32s = np.asarray(cv2.pow(1 - np.exp(-light), look.gamma) * 255, dtype=np.float32)
    sigma = look.blur / 1000 * radiance.shape[0]
    cv2.GaussianBlur(exposed, (0, 0), max(sigma, 0.35), dst=exposed, borderType=cv2.BORDER_REPLICATE)
    exposed += np.float32(look.noise) * rng.standard_normal(exposed.shape, dtype=np.float32)
    return exposed.clip(0, 255).astype(np.uint8)


def burn_text(image: Image, look: Look) -> None:
    """Write the scene's lines into the upper left corner."""
    size = image.shape[0] / 1100
    for line, text in enumerate(look.text):
        place = (round(0.012 * image.shape[1]), round(image.shape[0] * (0.06 + 0.045 * line)))
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (215, 215, 215), 1, cv2.LINE_AA)
