"""Rendered frames that tests of training share: rendering takes longer than most of what is done with them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from train.augmentation.synthetic import synthetic_frames
from train.data.cache import CachedFrame

SEED = 3
#: For each seed, what gives more frames, and those that it gave.
_rendered: dict[int, tuple[Iterator[CachedFrame], list[CachedFrame]]] = {}


def rendered_frames(count: int, *, seed: int = SEED) -> list[CachedFrame]:
    """The frames of `synthetic_frames(count, seed=seed)`, with and without polyps. Not to be written to."""
    if seed not in _rendered:
        _rendered[seed] = synthetic_frames(1000, seed=seed), []
    more, given = _rendered[seed]
    given.extend(islice(more, max(0, count - len(given))))
    return given[:count]
