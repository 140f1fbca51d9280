"""Rendered colonoscopy frames as training material, with and without polyps."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from engine.arrays import Pixels
from stream.synthetic.colon import ColonScene, render
from train.data.cache import CachedFrame


def synthetic_frames(count: int, *, seed: int, frames_per_scene: int = 4) -> Iterator[CachedFrame]:
    """Renders `count` frames of random scenes, cropped to their field of view.

    A frame in which a polyp is to be seen that is too small, too dark or too hidden for a box is left out: neither
    answer would be right.

    Args:
        count: frames to give.
        seed: of the first scene; the same seed gives the same frames.
        frames_per_scene: moments taken from each scene.
    """
    given = 0
    scene_seed = seed
    while given < count:
        rng = np.random.default_rng(scene_seed)
        scene = ColonScene.random(scene_seed)
        scene_seed += 1
        size = (int(rng.integers(200, 353)), int(rng.integers(200, 289)))
        for time_s in rng.uniform(0, scene.duration_s, frames_per_scene):
            rendered = render(scene, float(time_s), size)
            numbers = [polyp.number for polyp in rendered.polyps]
            if given == count or set(np.unique(rendered.polyp_ids)) - {0, *numbers}:
                continue
            x1, y1, x2, y2 = rendered.field_box_xyxy
            mask: Pixels = np.isin(rendered.polyp_ids, numbers).astype(np.uint8)
            # A stalk or a fold may cut a polyp's pixels in two; one box each is what is taught.
            mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
            yield CachedFrame(rendered.image[y1:y2, x1:x2].copy(), mask[y1:y2, x1:x2].copy(), "synthetic")
            given += 1
