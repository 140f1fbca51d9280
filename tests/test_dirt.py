"""Rendered dirt on training pictures."""

from __future__ import annotations

import numpy as np
import pytest

from engine.arrays import Pixels

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from train.augmentation.augment import Variation, example
from train.augmentation.dirt import KINDS, MOST_COVERED, Dirt, dirty
from train.data.cache import CachedFrame


def _mucosa() -> Pixels:
    """Mucosa with a margin on the left."""
    noise = np.random.default_rng(0).normal(0, 8, (120, 150, 1))
    image = np.clip(np.array([90, 110, 170]) + noise, 0, 255).astype(np.uint8)
    image[:, :40] = 0
    return image


@pytest.mark.parametrize("kind", dict.fromkeys(KINDS), ids=lambda one: one.__name__)
def test_each_kind_changes_the_picture_and_nothing_else(kind: Dirt) -> None:
    image = _mucosa()
    given = image.copy()
    changed = 0
    for seed in range(20):
        found = kind(image, np.random.default_rng(seed))
        assert found.shape == image.shape and found.dtype == np.uint8
        assert (image == given).all()
        assert (found == kind(image, np.random.default_rng(seed))).all()
        changed += bool((np.abs(found.astype(int) - image) > 20).any())
    assert changed >= 15


def test_margins_stay_clean_and_polyps_are_seen() -> None:
    image = _mucosa()
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[40:80, 70:110] = 1
    beside = on_polyp = 0.0
    for seed in range(80):
        found = dirty(image, mask, np.random.default_rng(seed))
        changed = np.abs(found.astype(int) - image).max(axis=2) > 40
        assert not changed[:, :30].any()
        assert changed[mask > 0].mean() <= MOST_COVERED
        beside += changed[:, 45:][mask[:, 45:] == 0].mean()
        on_polyp += changed[mask > 0].mean()
    assert beside > 4  # of 80: dirt is there, and some of it on polyps too
    assert on_polyp > 0.3


def test_dirt_foretells_nothing() -> None:
    """Frames with and without polyp, alike in all else, are as often dirty; a share of 0 leaves both clean."""
    image = _mucosa()
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[60:70, 90:100] = 1
    frames = [CachedFrame(image, mask, "test"), CachedFrame(image, np.zeros_like(mask), "test")]

    def yellow(frame: CachedFrame, share: float) -> int:
        rng = np.random.default_rng(3)
        plain = Variation(zooms=(1.0, 1.0), degraded=0.0, dirty=share)
        pictures = [example(frame, (128, 96), rng, plain).image.astype(int) for _ in range(120)]
        return sum(bool(((one[..., 1] - one[..., 0]) > 60).mean() > 0.04) for one in pictures)

    with_polyp, without = (yellow(frame, 1.0) for frame in frames)
    clean = [yellow(frame, 0.0) for frame in frames]
    assert min(with_polyp, without) > max(clean) + 15
    assert abs(with_polyp - without) < 25
