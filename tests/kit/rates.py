"""Short videos at the rates that recordings have, whose frames carry their number."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np

from stream.review.media.material import Material
from stream.sources.opening import open_source
from tests.kit.media import make_video

RATES = {"25": Fraction(25), "29.97": Fraction(30000, 1001), "59.94": Fraction(60000, 1001)}
"""Frames a second by what people call them; `uneven` stands beside them."""


def make_rate(folder: Path, rate: str, *, frames: int, codec: str = "libx264", ending: str = ".mp4") -> Path:
    """Writes a video.

    Args:
        folder: to write to.
        rate: one of `RATES`, or "uneven" for distances of 20 to 120 ms between frames.
        frames: at most 256, for each to have a number of its own.
        codec: FFmpeg's name of the encoder.
        ending: of the file, which tells its format.
    """
    path = folder / f"{rate}{ending}"
    options = {"g": "40", "bf": "2"} if codec == "libx264" else {"g": "40"}
    if rate != "uneven":
        return make_video(path, frames=frames, rate=RATES[rate], codec=codec, options=options)
    steps = np.random.default_rng(0).choice([20, 33, 40, 50, 83, 120], frames - 1)
    pts = [Fraction(int(ms), 1000) for ms in accumulate(steps, initial=0)]
    return make_video(path, pts=pts, codec=codec, options=options)


def material_of(path: Path) -> Material:
    """A recording with the times that its events would tell of."""
    with open_source(path) as source:
        return Material.of(path, None, np.array([round(frame.time_s, 6) for frame in source]))
