"""Measures of detection in video: which polyps were found and how soon, how often and how long false alarms stood."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.statistics.bootstrap import GroupBootstrap, Interval
from engine.statistics.ratios import ratio, ratios, rounded
from train.metrics.curves import auc

#: A polyp is found in time when an alarm on it begins so soon after its first sight, in seconds.
IN_TIME_S = 3.0
# Times are rounded: a run of ten frames of 0.1 s is one second long, whatever their sum in floating point.
_ROUNDING_S = 1e-6


class RunRule(float, Enum):
    """From which length in seconds an uninterrupted run of frames counts as an alarm.

    Figures of published devices differ by this rule alone (Holzwanger et al. 2021), so it is part of every name.
    """

    ANY = 0.0
    HALF_SECOND = 0.5
    ONE_SECOND = 1.0
    TWO_SECONDS = 2.0

    @property
    def key(self) -> str:
        """The rule in the names of figures."""
        return "any_length" if self is RunRule.ANY else f"over_{self.value:g}_s"

    def counts(self, length_s: float) -> bool:
        """Whether a run of some seconds is an alarm."""
        return length_s > 0 if self is RunRule.ANY else length_s >= self.value - _ROUNDING_S


#: Boxes that last so long are steady.
STEADY = RunRule.HALF_SECOND


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """One judged frame of a clip.

    Attributes:
        index: of the frame.
        time_s: presentation time in seconds.
        duration_s: until the next frame.
        visible: numbers of the polyps that are to be seen.
        found: those of them with an alarm on them.
        false_alarms: alarms that are on no polyp.
        best_score: of any detection, 0 when there is none.
    """

    index: int
    time_s: float
    duration_s: float
    visible: frozenset[int]
    found: frozenset[int]
    false_alarms: int
    best_score: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """An uninterrupted run of frames, those in which an alarm stands or none does.

    Attributes:
        first: index of its first frame.
        last: index of its last frame.
        begin_s: presentation time of the first frame in seconds.
        length_s: until the frame after the last, in seconds.
    """

    first: int
    last: int
    begin_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class PolypEvents:
    """What became of one polyp.

    Attributes:
        polyp_id: its number in the clip.
        first_sight_s: presentation time of the first judged frame in which it is to be seen, in seconds.
        visible_frames: judged frames in which it is to be seen.
        found_frames: those with an alarm on it.
        visible_s: length of the former in seconds.
        alarms: runs of frames with an alarm on it.
        gaps: runs of frames in which it is to be seen and has no alarm, before its first alarm and after its last too.
        frames_since_found: visible frames from the first alarm on.
        interruptions: how often an alarm on it went off and came back while it was to be seen.
    """

    polyp_id: int
    first_sight_s: float
    visible_frames: int
    found_frames: int
    visible_s: float
    alarms: tuple[Run, ...]
    gaps: tuple[Run, ...]
    frames_since_found: int
    interruptions: int

    @property
    def delay_s(self) -> float | None:
        """Seconds from its first sight to the first alarm on it; None when there was none."""
        return self.alarms[0].begin_s - self.first_sight_s if self.alarms else None

    @property
    def longest_alarm_s(self) -> float:
        """Longest run of frames with an alarm on it, in seconds."""
        return max((run.length_s for run in self.alarms), default=0.0)

    @property
    def steady_s(self) -> float:
        """Seconds in which a steady alarm is on it."""
        return math.fsum(run.length_s for run in self.alarms if STEADY.counts(run.length_s))

    def is_found_in_time(self, rule: RunRule) -> bool:
        """Whether an alarm that counts by a rule begins on it within `IN_TIME_S` of its first sight."""
        return any(
            rule.counts(run.length_s) and run.begin_s - self.first_sight_s <= IN_TIME_S + _ROUNDING_S
            for run in self.alarms
        )


@dataclass(frozen=True, slots=True)
class ClipEvents:
    """What happened in one clip.

    Attributes:
        name: of the clip.
        group: clips that are no independent evidence of each other.
        frames: judged frames, in order.
        polyps: of the clip, those that are to be seen in no judged frame left out.
        activations: runs of frames with a false alarm.
    """

    name: str
    group: str
    frames: tuple[ClipFrame, ...]
    polyps: tuple[PolypEvents, ...]
    activations: tuple[Run, ...]

    @classmethod
    def of(cls, name: str, group: str, frames: Sequence[ClipFrame]) -> ClipEvents:
        """Sorts the frames of a clip into events."""
        numbers = sorted(frozenset().union(*(frame.visible for frame in frames)))
        false = np.array([frame.false_alarms > 0 for frame in frames], np.bool_)
        return cls(
            name,
            group,
            tuple(frames),
            tuple(_events_of(frames, number) for number in numbers),
            _runs(frames, false),
        )

    @property
    def activations_s(self) -> tuple[float, ...]:
        """Length of each run of frames with a false alarm, in seconds."""
        return tuple(run.length_s for run in self.activations)

    @property
    def minutes(self) -> float:
        """Length of the judged frames."""
        return _length_s(self.frames) / 60


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Recall against false events at one threshold: a point of the free-response curve over time.

    Attributes:
        threshold: score from which a detection of a single frame counts.
        recall: by the rule of what an alarm is, share of the polyps that are found in time; None without polyps.
        false_per_minute: by the same rule, false events a minute of judged video; None without video.
    """

    threshold: float
    recall: Mapping[RunRule, float | None]
    false_per_minute: Mapping[RunRule, float | None]

    @classmethod
    def of(cls, threshold: float, clips: Sequence[ClipEvents]) -> CurvePoint:
        """The point for what happened in some clips."""
        polyps, minutes = sum(len(clip.polyps) for clip in clips), math.fsum(clip.minutes for clip in clips)
        return cls(
            threshold,
            {rule: rounded(ratio(sum(_found_in_time(clips, rule)), polyps)) for rule in RunRule},
            {rule: rounded(ratio(sum(_activations(clips, rule)), minutes)) for rule in RunRule},
        )


def curve_record(points: Sequence[CurvePoint]) -> dict[str, Any]:
    """A curve, ready for JSON: a list of thresholds, and lists of figures by the rule of what an alarm is."""
    return {
        "threshold": [point.threshold for point in points],
        "recall_within_3_s": {rule.key: [point.recall[rule] for point in points] for rule in RunRule},
        "false_activations_per_minute": {
            rule.key: [point.false_per_minute[rule] for point in points] for rule in RunRule
        },
    }


def _found_in_time(clips: Sequence[ClipEvents], rule: RunRule) -> list[int]:
    """Of each clip, the polyps that are found in time."""
    return [sum(polyp.is_found_in_time(rule) for polyp in clip.polyps) for clip in clips]


def _activations(clips: Sequence[ClipEvents], rule: RunRule) -> list[int]:
    """Of each clip, the false events that count."""
    return [sum(map(rule.counts, clip.activations_s)) for clip in clips]


def _events_of(frames: Sequence[ClipFrame], number: int) -> PolypEvents:
    seen = [frame for frame in frames if number in frame.visible]
    found = np.array([number in frame.found for frame in seen], np.bool_)
    first = int(found.argmax()) if found.any() else len(seen)
    return PolypEvents(
        polyp_id=number,
        first_sight_s=seen[0].time_s,
        visible_frames=len(seen),
        found_frames=int(found.sum()),
        visible_s=_length_s(seen),
        alarms=_runs(seen, found),
        gaps=_runs(seen, ~found),
        frames_since_found=len(seen) - first,
        # An alarm that ends with a polyp's leaving is no interruption.
        interruptions=int((found[:-1] & ~found[1:])[: _last(found)].sum()),
    )


def _last(found: npt.NDArray[np.bool_]) -> int:
    """Place of the last frame with an alarm, 0 without any: what goes off before it comes back."""
    return int(found.nonzero()[0].max(initial=0))


def _runs(frames: Sequence[ClipFrame], on: npt.NDArray[np.bool_]) -> tuple[Run, ...]:
    """The frames that are on, as runs; frames that do not follow each other in the clip end a run."""
    runs: list[tuple[int, int]] = []  # first and last place
    for place in on.nonzero()[0].tolist():
        if runs and runs[-1][1] == place - 1 and frames[place - 1].index == frames[place].index - 1:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return tuple(
        Run(frames[begin].index, frames[end].index, frames[begin].time_s, _length_s(frames[begin : end + 1]))
        for begin, end in runs
    )


def _length_s(frames: Sequence[ClipFrame]) -> float:
    return math.fsum(frame.duration_s for frame in frames)


def video_figures(clips: Sequence[ClipEvents], *, seed: int = 0) -> dict[str, Any]:
    """All figures of some clips, ready for JSON.

    Args:
        clips: what happened in each.
        seed: of the bootstrap over groups of clips.

    Returns:
        Figures, None where there is nothing to measure them on; `interval_95` with [low, high] under the same names.
    """
    bootstrap = GroupBootstrap([clip.group for clip in clips], seed=seed)
    measured: dict[str, tuple[float, Interval | None]] = {}

    def measure(name: str, part: Sequence[float], whole: Sequence[float], scale: float = 1.0) -> None:
        rows = np.array([part, whole], np.float64).T
        measured[name] = (
            scale * ratio(*rows.sum(0).tolist()),
            bootstrap.of_sums(rows, lambda s: scale * ratios(s[:, 0], s[:, 1])),
        )

    polyps = [len(clip.polyps) for clip in clips]
    minutes = [clip.minutes for clip in clips]
    for rule in RunRule:
        found = [sum(rule.counts(polyp.longest_alarm_s) for polyp in clip.polyps) for clip in clips]
        measure(f"polyp_detection_rate_{rule.key}", found, polyps)
    for rule in RunRule:
        measure(f"recall_within_3_s_{rule.key}", _found_in_time(clips, rule), polyps)
    for rule in RunRule:
        measure(f"false_activations_per_minute_{rule.key}", _activations(clips, rule), minutes)
    false = [sum(frame.false_alarms > 0 for frame in clip.frames) for clip in clips]
    measure("false_positive_frames_per_minute", false, minutes)
    measure(
        "frame_sensitivity",
        [sum(bool(frame.found) for frame in clip.frames) for clip in clips],
        [sum(bool(frame.visible) for frame in clip.frames) for clip in clips],
    )
    empty = [[frame for frame in clip.frames if not frame.visible] for clip in clips]
    quiet = [sum(not frame.false_alarms for frame in frames) for frames in empty]
    measure("frame_specificity", quiet, [len(frames) for frames in empty])
    measure(
        "alarm_share_after_first_detection",
        [sum(polyp.found_frames for polyp in clip.polyps) for clip in clips],
        [sum(polyp.frames_since_found for polyp in clip.polyps) for clip in clips],
    )
    measure(
        "steady_alarm_share",
        [math.fsum(polyp.steady_s for polyp in clip.polyps) for clip in clips],
        [math.fsum(polyp.visible_s for polyp in clip.polyps) for clip in clips],
    )
    measure(
        "alarm_interruptions_per_minute",
        [sum(polyp.interruptions for polyp in clip.polyps) for clip in clips],
        [sum(polyp.visible_s for polyp in clip.polyps if polyp.delay_s is not None) / 60 for clip in clips],
    )
    lengths = [length for clip in clips for length in clip.activations_s]
    delays = [polyp.delay_s for clip in clips for polyp in clip.polyps if polyp.delay_s is not None]
    scores = np.array([frame.best_score for clip in clips for frame in clip.frames], np.float32)
    visible = np.array([bool(frame.visible) for clip in clips for frame in clip.frames], np.bool_)
    return {
        "clips": len(clips),
        "groups": bootstrap.groups,
        "minutes": round(sum(minutes), 4),
        "frames": len(visible),
        "frames_with_polyp": int(visible.sum()),
        "polyps": sum(polyps),
        "polyps_never_detected": sum(polyps) - len(delays),
        "time_to_first_detection_median_s": _percentile(delays, 50),
        "time_to_first_detection_p90_s": _percentile(delays, 90),
        "gaps_in_view": sum(len(polyp.gaps) for clip in clips for polyp in clip.polyps),
        **{f"false_activations_{rule.key}": sum(_activations(clips, rule)) for rule in RunRule},
        "false_activation_median_s": _percentile(lengths, 50),
        "false_activation_p90_s": _percentile(lengths, 90),
        "false_activation_longest_s": _percentile(lengths, 100),
        "false_positive_frame_share": rounded(ratio(sum(false), len(visible))),
        **{name: rounded(value) for name, (value, _) in measured.items()},
        "frame_auc": rounded(auc(scores, visible)),
        "interval_95": {
            name: None if interval is None else [round(interval.low, 4), round(interval.high, 4)]
            for name, (_, interval) in measured.items()
        },
    }


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 3) if values else None
