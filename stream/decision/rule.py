"""From a threshold to what is reported: the one rule by which candidates become tracks, everywhere.

Recordings, live sources, the choice of an alarm rule and evaluation all decide by it. What a viewer sees is therefore
what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.errors import InputError
from stream.decision.tracking import Tracker, TrackerSettings
from stream.frame import Detection

# A track continues with candidates of this share of the score that founds it, so that its box does not flicker.
_CONTINUE_SHARE = 0.6
# Where every candidate is asked for, tracks are still founded from this share of the model's own threshold only.
_FOUND_SHARE = 0.5
# Far shorter than the time between two frames: boxes stay as they were detected.
_NO_SMOOTHING_S = 1e-6


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """Which candidates are looked at, how they become tracks, and which of them are reported.

    Attributes:
        threshold: score from which a detection is reported, with a track or without.
        floor: score down to which candidates are needed; a weaker one than `threshold` is reported only where it
            continues a track.
        tracking: how candidates become tracks.
    """

    threshold: float = 0.5
    floor: float = 0.2
    tracking: TrackerSettings = field(default_factory=TrackerSettings)

    def __post_init__(self) -> None:
        """Check the range of the scores.

        Raises:
            InputError: not 0 <= floor <= threshold <= 1.
        """
        if not 0.0 <= self.floor <= self.threshold <= 1.0:
            raise InputError(
                f"`floor` and `threshold` must lie in 0 to 1, in this order. Received: {self.floor}, {self.threshold}"
            )


def decision_rule(threshold: float, *, of_model: float | None = None, over_time: bool = True) -> DecisionRule:
    """The rule for a threshold.

    Args:
        threshold: score from which a detection counts, 0 to 1.
        of_model: the model's own threshold. A track is a polyp: it is founded from `threshold`, but never by noise
            when a low threshold asks for every candidate. None where `threshold` is the model's own.
        over_time: whether frames follow each other in time. Pictures need not belong together: the threshold alone
            decides which detections are reported, and no box is drawn towards that of another picture.

    Raises:
        InputError: a threshold outside 0 to 1.
    """
    found = max(threshold, _FOUND_SHARE * (threshold if of_model is None else of_model))
    if not over_time:
        tracking = TrackerSettings(found_threshold=found, continue_threshold=found, smoothing_s=_NO_SMOOTHING_S)
        return DecisionRule(threshold, threshold, tracking)
    tracking = TrackerSettings(found_threshold=found, continue_threshold=_CONTINUE_SHARE * found)
    return DecisionRule(threshold, min(threshold, tracking.continue_threshold), tracking)


class Decision:
    """Decides over the frames of one source what is reported; fed in order, from one thread."""

    def __init__(self, rule: DecisionRule, *, first_id: int = 1) -> None:
        """Start without tracks.

        Args:
            rule: by which it decides.
            first_id: number of the first track.
        """
        self._threshold = rule.threshold
        self._tracker = Tracker(rule.tracking, first_id=first_id)

    @property
    def next_id(self) -> int:
        """Number that the next new track will get."""
        return self._tracker.next_id

    def update(self, candidates: Sequence[Detection], time_s: float) -> tuple[Detection, ...]:
        """Take in the candidates of the next frame.

        Args:
            candidates: of one frame, down to the rule's floor; weaker ones change nothing.
            time_s: presentation time in seconds, see `Tracker.update`.

        Returns:
            The detections to report, in the order given: those that belong to a track, with its number and its
            smoothed box, and the others from the threshold on.

        Raises:
            InputError: a time, box or score that is not finite.
        """
        tracked = self._tracker.update(candidates, time_s)
        return tuple(one for one in tracked if one.track_id is not None or one.score >= self._threshold)
