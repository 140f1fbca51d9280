"""The threshold from which a detection is shown, chosen on validation frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import InputError
from train.metrics import Outcome


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and what it gave on the frames that it was chosen on.

    Attributes:
        threshold: score from which a detection is shown, 0 to 1.
        f1: by the centroid rule.
        quiet_share: share of frames without polyp that have no detection.
    """

    threshold: float
    f1: float
    quiet_share: float


def choose_threshold(outcome: Outcome, *, least_quiet_share: float = 0.95) -> OperatingPoint:
    """The threshold with the highest F1 among those that leave enough frames without polyp quiet.

    Args:
        outcome: of validation frames, with and without polyps.
        least_quiet_share: share of frames without polyp that must have no detection, 0 to 1.

    Raises:
        InputError: there is no polyp, or no frame without one, to choose on.
    """
    if not len(outcome.polyp_scores) or outcome.frame_has_polyp.all():
        raise InputError("choosing a threshold needs frames with and frames without polyps; add the missing ones")
    candidates = np.unique(np.round(np.concatenate([outcome.polyp_scores, outcome.false_scores]), 3))
    candidates = candidates[np.isfinite(candidates)]
    if not candidates.size:
        raise InputError("the detector found nothing on the validation frames; train it longer")
    points = [
        OperatingPoint(float(t), outcome.counts(float(t)).f_score(), outcome.quiet_share(float(t))) for t in candidates
    ]
    quiet = [point for point in points if point.quiet_share >= least_quiet_share]
    if not quiet:
        best = max(point.quiet_share for point in points)
        raise InputError(
            f"no threshold leaves {least_quiet_share:.0%} of the frames without polyp quiet; best: {best:.1%}"
        )
    return max(quiet, key=lambda point: point.f1)
