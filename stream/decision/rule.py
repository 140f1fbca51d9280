"""From a threshold to what is shown: the one rule by which candidates become tracks and tracks are shown, everywhere.

Recordings, live sources, calibration and evaluation all decide by it. What a viewer sees is therefore what was
measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from engine.checks import require_above, require_within
from engine.errors import BundleError, InputError
from stream.decision.evidence import EvidenceSettings
from stream.decision.tracking import TrackerSettings

# Far shorter than the time between two frames: boxes stay as they were detected, and no box outlives its picture.
_AT_ONCE_S = 1e-6

AHEAD_S = 1.0
"""How far recordings look ahead, in seconds."""


@dataclass(frozen=True, slots=True)
class TimeRule:
    """How a threshold of single frames decides over time. It is chosen on clips together with the threshold.

    Attributes:
        found: score that founds a track, as a share of the threshold, above 0 to 1.
        continued: score that continues a track, likewise; not above `found`.
        show: evidence from which a track is shown, as a share of the threshold, 0 to 1.
        keep: evidence that keeps it shown, likewise; not above `show`.
        span_s: seconds around a moment that count as its evidence.
    """

    found: float = 0.8
    continued: float = 0.48
    show: float = 0.6
    keep: float = 0.3
    span_s: float = 0.5

    def __post_init__(self) -> None:
        """Check ranges and order.

        Raises:
            InputError: a share outside 0 to 1 or out of order, or a span that is not positive.
        """
        for name in ("found", "continued", "show", "keep"):
            require_within(f"`{name}`", getattr(self, name), 0, 1)
        require_above("`found`", self.found, 0)
        require_above("`span_s`", self.span_s, 0)
        if self.continued > self.found or self.keep > self.show:
            raise InputError(
                "`continued` must not lie above `found`, nor `keep` above `show`. "
                f"Received: {self.continued}, {self.found}; {self.keep}, {self.show}"
            )

    def as_record(self) -> dict[str, float]:
        """For a bundle's `model.json`."""
        return asdict(self)


def time_rule_of_model(record: Mapping[str, Any]) -> TimeRule:
    """The rule that was chosen for a model together with its threshold; the default when none was.

    Args:
        record: the bundle's `model.json`.

    Raises:
        BundleError: it holds a rule that is none.
    """
    rule = record.get("decision")
    if rule is None:
        return TimeRule()
    try:
        return TimeRule(**{one.name: float(rule[one.name]) for one in fields(TimeRule)})
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"the rule over time {rule!r} of model {record.get('name')!r} cannot be used: {error}; calibrate it again"
        ) from error


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How candidates become tracks, and when tracks are shown.

    Attributes:
        tracking: from candidates to tracks.
        evidence: from tracks to what is shown.
    """

    tracking: TrackerSettings = field(default_factory=TrackerSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)

    @property
    def floor(self) -> float:
        """Score down to which candidates are needed, 0 to 1."""
        return self.tracking.continue_threshold


def rule_of_record(record: Mapping[str, Any]) -> DecisionRule:
    """A rule as `dataclasses.asdict` wrote it. Raises KeyError or TypeError when it is none."""
    return DecisionRule(TrackerSettings(**record["tracking"]), EvidenceSettings(**record["evidence"]))


def decision_rule(threshold: float, time: TimeRule | None = None, *, over_time: bool = True) -> DecisionRule:
    """The rule for a threshold.

    Args:
        threshold: score from which a detection counts, 0 to 1.
        time: how it decides over time, see `time_rule_of_model`; None for the default.
        over_time: whether frames follow each other in time. Pictures need not belong together: the threshold alone
            decides, and no box is drawn towards that of another picture.

    Raises:
        InputError: a threshold outside 0 to 1.
    """
    require_within("threshold", threshold, 0, 1)
    if not over_time:
        return DecisionRule(
            TrackerSettings(found_threshold=threshold, continue_threshold=threshold, smoothing_s=_AT_ONCE_S),
            EvidenceSettings(show=0.0, keep=0.0, hold_s=_AT_ONCE_S, bridge_s=_AT_ONCE_S),
        )
    time = time or TimeRule()
    return DecisionRule(
        TrackerSettings(found_threshold=time.found * threshold, continue_threshold=time.continued * threshold),
        EvidenceSettings(show=time.show * threshold, keep=time.keep * threshold, span_s=time.span_s),
    )
