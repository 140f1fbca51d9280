"""Recordings of a minute or so that are small and quick to look at, for work that is done in pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.arrays import Image
from tests.kit.media import make_video

RATE = 10
_MARGIN = 12  # pixels


def mucosa_in_margins(number: int, size_wh: tuple[int, int]) -> Image:
    """Pink mucosa within black margins, and now and then a bright spot, which the tiny network takes for a polyp."""
    width, height = size_wh
    rows, columns = np.mgrid[0:height, 0:width]
    light = 0.5 + 0.15 * np.cos((columns + number / 2) / width * 3) * np.cos(rows / height * 2)
    image: Image = (light[..., None] * (70, 90, 150)).astype(np.uint8)
    if number // RATE % 4 < 3:
        x, y = width // 4 + number % (width // 3), height // 3
        image[y : y + height // 5, x : x + height // 5] = 250
    image[:_MARGIN], image[-_MARGIN:], image[:, :_MARGIN], image[:, -_MARGIN:] = 0, 0, 0, 0
    return image


def make_recording(path: Path, *, seconds: int) -> Path:
    """Writes one of 160x128 pixels at 10 frames a second, with a key frame every two seconds."""
    return make_video(
        path,
        frames=RATE * seconds,
        rate=RATE,
        size=(160, 128),
        draw=mucosa_in_margins,
        options={"g": str(2 * RATE), "bf": "2", "preset": "ultrafast"},
    )
