"""Polyps painted over and transplanted, on made-up mucosa where every change can be seen."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Mask
from train.augmentation.transplant import erased, erased_frames, transplanted, transplanted_frames
from train.data.cache import CachedFrame

SEEDS = st.integers(0, 2**32 - 1)


def _frame(seed: int, *, polyps: int = 1, size_wh: tuple[int, int] = (160, 120), dark: bool = False) -> CachedFrame:
    """Mottled reddish mucosa with bright round polyps, and the mask of these."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    mottled = cv2.resize(rng.integers(0, 40, (8, 10, 3)).astype(np.uint8), size_wh, interpolation=cv2.INTER_CUBIC)
    image = np.asarray(mottled + np.array([60, 80, 150], np.uint8), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    for number in range(polyps):
        centre = (int((number + 0.5) * width / polyps + rng.integers(-8, 9)), int(rng.integers(45, height - 45)))
        cv2.circle(mask, centre, int(rng.integers(6, 12)), 1, -1)
    image[mask > 0] = (150, 190, 240)
    if dark:
        image[:] = image // 12
    return CachedFrame(image, mask, "made-up")


def _around(mask: np.ndarray) -> np.ndarray:
    """Boxes of the polyps with their seams: a tenth of all polyps' longer side, at least 7 pixels, and one more."""
    seam = max(7, round(0.1 * max(cv2.boundingRect(mask)[2:]))) + 1
    boxes = np.zeros_like(mask)
    for x, y, width, height, _ in cv2.connectedComponentsWithStats(mask)[2][1:]:
        boxes[max(0, y - seam) : y + height + seam, max(0, x - seam) : x + width + seam] = 1
    return boxes > 0


def _changed(one: CachedFrame, other: CachedFrame) -> Mask:
    return np.asarray((one.image != other.image).any(axis=2), np.bool_)


@settings(max_examples=25)
@given(seed=SEEDS, polyps=st.integers(1, 2))
def test_a_painted_over_frame_is_the_same_without_its_polyps(seed: int, polyps: int) -> None:
    frame = _frame(seed, polyps=polyps)
    made = erased(frame, np.random.default_rng(seed))
    if made is None:
        return
    assert not made.mask.any() and made.dataset == "made-up/erased"
    assert not (_changed(frame, made) & ~_around(frame.mask)).any()
    # The polyps were bright; the mucosa that took their place is not.
    inside = frame.mask > 0
    assert made.image[inside][:, 0].mean() < 0.8 * frame.image[inside][:, 0].mean()


def test_most_frames_can_be_painted_over() -> None:
    frames = [_frame(seed) for seed in range(20)]
    assert len(list(erased_frames(frames, seed=1))) > 15


@settings(max_examples=25)
@given(seed=SEEDS)
def test_a_transplanted_polyp_is_where_its_mask_says(seed: int) -> None:
    host, donor = _frame(seed, polyps=0), _frame(seed + 1)
    made = transplanted(host, donor, np.random.default_rng(seed))
    if made is None:
        return
    assert made.positive and made.mask.shape == host.mask.shape and made.dataset == "made-up/transplanted"
    changed = _changed(host, made)
    assert not (changed & ~_around(made.mask)).any()
    assert changed[made.mask > 0].mean() > 0.9
    # Brighter than what was there: the donor's polyp came, not only its mask.
    inside = made.mask > 0
    assert made.image[inside].mean() > host.image[inside].mean() + 20


@settings(max_examples=15)
@given(seed=SEEDS)
def test_the_host_keeps_its_own_polyps(seed: int) -> None:
    host = _frame(seed)
    made = transplanted(host, _frame(seed + 1), np.random.default_rng(seed))
    if made is not None:
        own = host.mask > 0
        assert (made.mask[own] == 1).all() and int(made.mask.sum()) > int(host.mask.sum())
        assert not (_changed(host, made) & own).any()


def test_most_pairs_fit() -> None:
    frames = [_frame(seed) for seed in range(10)]
    hosts = [_frame(seed, polyps=0) for seed in range(10)]
    assert len(list(transplanted_frames(hosts, frames, 20, seed=1))) == 20


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_makes_the_same_frames(seed: int) -> None:
    frames = [_frame(number) for number in range(6)]
    hosts = [_frame(number, polyps=0) for number in range(6)]
    makers: tuple[Callable[[], list[CachedFrame]], ...] = (
        lambda: list(erased_frames(frames, seed=seed)),
        lambda: list(transplanted_frames(hosts, frames, 5, seed=seed)),
    )
    for make in makers:
        first, again = make(), make()
        assert len(first) == len(again) > 0
        for one, other in zip(first, again, strict=True):
            assert (one.image == other.image).all() and (one.mask == other.mask).all()
    other_seed = list(erased_frames(frames, seed=seed + 1))
    assert any((one.image != other.image).any() for one, other in zip(first, other_seed, strict=False))


def test_what_cannot_be_made_is_left_out() -> None:
    rng = np.random.default_rng(0)
    assert erased(_frame(1, polyps=0), rng) is None  # nothing to paint over
    assert erased(_frame(1, dark=True), rng) is None  # no mucosa to take
    frame = _frame(1)
    at_border = np.zeros_like(frame.mask)
    at_border[:20, :20] = 1
    assert erased(CachedFrame(frame.image, at_border, "made-up"), rng) is None
    assert transplanted(_frame(2), CachedFrame(frame.image, at_border, "made-up"), rng) is None
    large = np.zeros_like(frame.mask)
    large[20:-20, 20:-20] = 1
    assert erased(CachedFrame(frame.image, large, "made-up"), rng) is None
    assert transplanted(_frame(2, dark=True), frame, rng) is None
    assert list(transplanted_frames([_frame(2, dark=True)], [frame], 3, seed=1)) == []
