"""What light, optics, processors and recorders do to training pictures."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from engine.arrays import Pixels

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from train.augmentation.degrade import colours, compressed, lighting, optics, processor, recorder, specular_spots

Degradation = Callable[[Pixels, np.random.Generator], Pixels]
ALL: list[Degradation] = [colours, compressed, lighting, optics, processor, recorder, specular_spots]


def _scene() -> Pixels:
    """Mucosa in the right two thirds, with a disc and fine texture; margin on the left."""
    rng = np.random.default_rng(0)
    image = np.clip(np.array([90, 110, 170]) + rng.normal(0, 8, (96, 120, 1)), 0, 255).astype(np.uint8)
    cv2.circle(image, (80, 48), 16, (60, 60, 220), -1)
    image[:, :40] = 0
    return image


@pytest.mark.parametrize("degrade", ALL, ids=lambda one: one.__name__)
def test_pictures_keep_shape_and_kind_and_repeat(degrade: Degradation) -> None:
    image = _scene()
    kept = image.copy()
    changed = 0
    for seed in range(60):
        found = degrade(image, np.random.default_rng(seed))
        assert found.shape == image.shape and found.dtype == np.uint8
        assert (image == kept).all()  # what is given is not written into
        assert (found == degrade(image, np.random.default_rng(seed))).all()
        changed += bool((found != image).any())
    assert changed >= 6


def test_light_does_not_reach_the_margin() -> None:
    image = _scene()
    for seed in range(80):
        assert (lighting(image, np.random.default_rng(seed))[:, :38] == 0).all()


def _middle_of_disc(image: Pixels) -> tuple[float, float]:
    """Centre of what is redder than mucosa, in pixels."""
    redness = image[:, 40:, 2].astype(float) - image[:, 40:, 1]
    ys, xs = np.nonzero(redness > 105)
    return float(xs.mean()) + 40, float(ys.mean())


@pytest.mark.parametrize("degrade", [optics, processor], ids=lambda one: one.__name__)
def test_polyps_stay_where_their_mask_is(degrade: Degradation) -> None:
    image = _scene()
    x, y = _middle_of_disc(image)
    for seed in range(80):
        found = degrade(image, np.random.default_rng(seed))
        if ((found[:, 40:, 2].astype(int) - found[:, 40:, 1]) > 105).sum() > 200:  # not bled away
            moved_x, moved_y = _middle_of_disc(found)
            assert abs(moved_x - x) < 5 and abs(moved_y - y) < 4


def test_processor_interlaces_and_separates_colours() -> None:
    image = _scene()
    combed = separated = 0
    for seed in range(300):
        found = processor(image, np.random.default_rng(seed))
        even, odd = (found[first::2] != image[first::2] for first in (0, 1))
        combed += bool(odd.any() and not even.any())
        green, others = (found[..., 1] != image[..., 1]).any(), (found[..., ::2] != image[..., ::2]).any()
        separated += bool(others and not green)
    assert combed > 3 and separated > 8


def test_every_picture_is_compressed_lightly_or_hard() -> None:
    image = _scene()
    errors = [
        float(np.abs(compressed(image, np.random.default_rng(seed)).astype(int) - image).mean()) for seed in range(60)
    ]
    assert min(errors) > 0 and max(errors) > 3 * min(errors)
