"""Rendered frames that tests of training share: rendering takes longer than most of what is done with them."""

from __future__ import annotations

from itertools import islice

from train.augmentation.synthetic import synthetic_frames
from train.data.cache import CachedFrame

SEED = 3
_frames = synthetic_frames(1000, seed=SEED)
_rendered: list[CachedFrame] = []


def rendered_frames(count: int) -> list[CachedFrame]:
    """The first frames of `synthetic_frames(count, seed=SEED)`, with and without polyps. Not to be written to."""
    _rendered.extend(islice(_frames, max(0, count - len(_rendered))))
    return _rendered[:count]
