"""From scores of single frames to moments with an instrument, and how well they are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_VOTE_S = 1.25  # before and after a look: with two looks a second, five of them vote
_ALONE_S = 1.5  # a frame this far from every look is not told of


def instrument_moments(
    times_s: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], threshold: float
) -> npt.NDArray[np.bool_]:
    """Frames of moments with an instrument: most looks of the seconds around say so.

    Args:
        times_s: (frames,), when each frame is shown, in seconds, rising.
        scores: (frames,), probability of an instrument, NaN for a frame that was not looked at.
        threshold: score from which a look says so, 0 to 1.

    Returns:
        bool (frames,): what the nearest look says after the vote.
    """
    looks = np.flatnonzero(~np.isnan(scores))
    if not len(looks):
        return np.zeros(len(times_s), np.bool_)
    at_s, says = times_s[looks], scores[looks] >= threshold
    sums = np.concatenate([[0], np.cumsum(np.where(says, 1, -1))])
    first = np.searchsorted(at_s, at_s - _VOTE_S)
    last = np.searchsorted(at_s, at_s + _VOTE_S, side="right")
    agreed: npt.NDArray[np.bool_] = sums[last] - sums[first] > 0
    after = np.minimum(np.searchsorted(at_s, times_s), len(looks) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(times_s - at_s[before] <= at_s[after] - times_s, before, after)
    near: npt.NDArray[np.bool_] = np.abs(at_s[nearest] - times_s) <= _ALONE_S
    return agreed[nearest] & near


def how_well(record: Mapping[str, Any]) -> str | None:
    """One line on how well instruments are told, of the entry `instruments` of a run's record; None without figures."""
    figures = record.get("figures") or {}
    try:
        return (
            f"in single frames {figures['sensitivity']:.0%} of {figures['frames_with']} with an instrument are told, "
            f"and {figures['specificity']:.0%} of {figures['frames_without']} without one are left alone"
        )
    except (KeyError, TypeError, ValueError):
        return None
