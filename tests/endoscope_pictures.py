"""Pictures of an endoscope that the tests draw: tissue in a field of any shape, and what processors put beside it."""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import Image, Mask


def octagon(resolution_wh: tuple[int, int], box_xyxy: tuple[int, int, int, int], *, cut: float = 0.2) -> Mask:
    """A box without its corners; `cut` is the share of the shorter side that each cut takes."""
    x1, y1, x2, y2 = box_xyxy
    y, x = np.mgrid[: resolution_wh[1], : resolution_wh[0]] + 0.5
    inside: Mask = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    for across in (x - x1, x2 - x):
        for down in (y - y1, y2 - y):
            inside &= across + down > cut * min(x2 - x1, y2 - y1)
    return inside


def circle(resolution_wh: tuple[int, int], centre_xy: tuple[float, float], radius: float) -> Mask:
    """A disc; the frame may clip it."""
    y, x = np.mgrid[: resolution_wh[1], : resolution_wh[0]] + 0.5
    inside: Mask = np.hypot(x - centre_xy[0], y - centre_xy[1]) < radius
    return inside


def tissue(
    resolution_wh: tuple[int, int],
    *,
    seed: int = 0,
    lumen_xy: tuple[float, float] | None = None,
    lumen_radius: float = 0.25,
) -> Image:
    """Warm, softly mottled tissue; a lumen (centre and radius as shares of the frame) fades to near black."""
    width, height = resolution_wh
    random = np.random.default_rng(seed)
    coarse = random.normal(0, 1, (9, 12, 1)).astype(np.float32)
    light = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[:, :, None] * 14 + 150
    if lumen_xy is not None:
        y, x = np.mgrid[:height, :width] + 0.5
        away = np.hypot(x / width - lumen_xy[0], (y / height - lumen_xy[1]) * height / width) / lumen_radius
        light *= np.clip(away - 0.6, 0.02, 1).astype(np.float32)[:, :, None]
    colours = light * np.array([0.45, 0.6, 1.1], np.float32) + random.normal(0, 2, (height, width, 1))
    return colours.clip(0, 255).astype(np.uint8)


def on_margin(picture: Image, mask: Mask, *, level: int = 16, noise: int = 0, seed: int = 0) -> Image:
    """The picture inside the mask on a dark margin, with noise of 0 to `noise` grey levels."""
    random = np.random.default_rng(seed)
    frame = np.full(picture.shape, level, np.int16)
    frame += random.integers(0, noise + 1, picture.shape, dtype=np.int16)
    frame[mask] = picture[mask]
    return frame.astype(np.uint8)


def with_text(frame: Image, x: int, y: int, *, lines: int = 4) -> Image:
    """Bright text as it is burned in beside a picture."""
    frame = frame.copy()
    scale = frame.shape[0] / 900
    for line in range(lines):
        at = (x, y + round(line * 34 * scale))
        cv2.putText(frame, "12/05/2013 ABC", at, cv2.FONT_HERSHEY_SIMPLEX, scale, (235, 235, 235), 1)
    return frame


def as_jpeg(frame: Image, quality: int = 60) -> Image:
    """The frame after JPEG compression."""
    done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
