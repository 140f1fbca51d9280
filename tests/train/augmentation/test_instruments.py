"""Painted instruments."""

from __future__ import annotations

import numpy as np
import pytest

from train.augmentation.instruments import instrument


@pytest.mark.parametrize("shape", [(240, 320), (288, 360), (64, 32)])
def test_an_instrument_comes_in_from_the_rim_and_the_picture_beside_it_stays(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (90, 110, 170), np.uint8)
    given = image.copy()
    for seed in range(8):
        found = instrument(image, np.random.default_rng(seed))
        changed = np.abs(found.astype(int) - image).max(axis=2) > 10
        assert found.shape == image.shape and (image == given).all()
        assert (found == instrument(image, np.random.default_rng(seed))).all()
        assert 0.005 < changed.mean() < 0.4
        rim = np.concatenate([changed[-1], changed[:, 0], changed[:, -1]])
        assert rim.any() and not changed[0].any(), "the working channel is below the lens"
