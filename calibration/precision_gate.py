"""The gate of a precision: what it does to the figures of a detector on labelled frames, against FP32 on the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from stream.detector import Detector
from stream.field_of_view import find_field_of_view
from train.evaluate import Still, prediction_of
from train.metrics import FrameMatch, Ranking, Rule, match_frame, outcome_of

#: Differences of figures are not exact.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class QualityGate:
    """How far figures may fall against FP32, on the same frames at the same threshold.

    Attributes:
        f1: by the centroid rule.
        ap50: average precision at an IoU of 0.5.
    """

    f1: float = 0.005
    ap50: float = 0.01


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of one precision; None where the frames show no polyp.

    Attributes:
        f1: by the centroid rule, at the model's threshold.
        ap50: average precision at an IoU of 0.5.
        quiet_share: of the frames without polyp, those without a detection.
    """

    f1: float | None
    ap50: float | None
    quiet_share: float | None

    def as_json(self) -> dict[str, float | None]:
        """The figures, rounded."""
        return {
            "centroid_f1": _rounded(self.f1),
            "ap50": _rounded(self.ap50),
            "quiet_share_of_frames_without_polyp": _rounded(self.quiet_share),
        }


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether a precision may be used.

    Attributes:
        frames: that it was judged on.
        reference: figures of FP32.
        found: its own figures.
        gate: what was accepted.
    """

    frames: int
    reference: Quality
    found: Quality
    gate: QualityGate

    @property
    def f1_fall(self) -> float | None:
        """How far F1 fell; negative when it rose."""
        return _fall(self.reference.f1, self.found.f1)

    @property
    def ap50_fall(self) -> float | None:
        """How far AP50 fell; negative when it rose."""
        return _fall(self.reference.ap50, self.found.ap50)

    @property
    def passed(self) -> bool:
        """True when both figures were measured and neither fell further than accepted."""
        f1, ap50 = self.f1_fall, self.ap50_fall
        if f1 is None or ap50 is None:
            return False
        return f1 <= self.gate.f1 + _ROUNDING and ap50 <= self.gate.ap50 + _ROUNDING

    def as_json(self) -> dict[str, Any]:
        """The result in types that JSON knows."""
        return {
            "passed": self.passed,
            "frames": self.frames,
            "fp32": self.reference.as_json(),
            **self.found.as_json(),
            "f1_fall": _rounded(self.f1_fall),
            "ap50_fall": _rounded(self.ap50_fall),
            "accepted": {"f1_fall": self.gate.f1, "ap50_fall": self.gate.ap50},
        }


def judge_precisions(
    detectors: Mapping[str, Detector], stills: Sequence[Still], *, label: str = "judging precisions"
) -> dict[str, Quality]:
    """Runs every detector over the same frames, one frame at a time, in turns.

    Args:
        detectors: by precision, opened with `threshold=0`.
        stills: labelled frames, at least one.
        label: stands at the progress bar.

    Raises:
        InputError: a picture that cannot be read.
        RunError: a runtime failed.
    """
    matches: dict[str, list[FrameMatch]] = {name: [] for name in detectors}
    for still in tqdm(stills, desc=label, unit="frame", disable=None, leave=False):
        image, truth = still.load()
        field = find_field_of_view(image)
        for name, detector in detectors.items():
            found = detector.detect([image], [field])[0]
            matches[name].append(match_frame(truth, prediction_of(found)))
    return {name: _quality(matches[name], detector.bundle.threshold) for name, detector in detectors.items()}


def _quality(matches: Sequence[FrameMatch], threshold: float) -> Quality:
    outcome = outcome_of(matches, Rule.CENTROID)
    polyps, quiet = len(outcome.polyp_scores) > 0, not outcome.frame_has_polyp.all()
    return Quality(
        outcome.counts(threshold).f_score() if polyps else None,
        Ranking.of(matches, least_iou=0.5).average_precision() if polyps else None,
        outcome.quiet_share(threshold) if quiet else None,
    )


def _fall(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def _rounded(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(number, 4)
