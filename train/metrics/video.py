"""Measures of detection in video: which polyps were found and how soon, how often and how long false alarms stood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from train.metrics.bootstrap import GroupBootstrap, Interval
from train.metrics.curves import auc
from train.metrics.ratios import ratio, ratios, rounded


class RunRule(float, Enum):
    """From which length in seconds an uninterrupted run of frames counts as an alarm.

    Figures of published devices differ by this rule alone (Holzwanger et al. 2021), so it is part of every name.
    """

    ANY = 0.0
    HALF_SECOND = 0.5
    ONE_SECOND = 1.0

    @property
    def key(self) -> str:
        """The rule in the names of figures."""
        return {0.0: "any_length", 0.5: "over_0.5_s", 1.0: "over_1_s"}[self.value]


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
class PolypEvents:
    """What became of one polyp.

    Attributes:
        polyp_id: its number in the clip.
        visible_frames: judged frames in which it is to be seen.
        found_frames: those with an alarm on it.
        visible_s: length of the former in seconds.
        delay_s: from its first frame to the first alarm on it; None when there was none.
        longest_alarm_s: longest run of frames with an alarm on it, in seconds; gaps end a run.
        frames_since_found: visible frames from the first alarm on.
        interruptions: how often an alarm on it went off and came back while it was to be seen.
    """

    polyp_id: int
    visible_frames: int
    found_frames: int
    visible_s: float
    delay_s: float | None
    longest_alarm_s: float
    frames_since_found: int
    interruptions: int


@dataclass(frozen=True, slots=True)
class ClipEvents:
    """What happened in one clip.

    Attributes:
        name: of the clip.
        group: clips that are no independent evidence of each other.
        frames: judged frames, in order.
        polyps: of the clip, those that are to be seen in no judged frame left out.
        activations_s: length of each uninterrupted run of frames with a false alarm, in seconds.
    """

    name: str
    group: str
    frames: tuple[ClipFrame, ...]
    polyps: tuple[PolypEvents, ...]
    activations_s: tuple[float, ...]

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
            tuple(_length_s(frames[first : last + 1]) for first, last in _runs(frames, false)),
        )


def _events_of(frames: Sequence[ClipFrame], number: int) -> PolypEvents:
    seen = [frame for frame in frames if number in frame.visible]
    found = np.array([number in frame.found for frame in seen], np.bool_)
    runs = _runs(seen, found)
    first = int(found.argmax()) if found.any() else len(seen)
    return PolypEvents(
        polyp_id=number,
        visible_frames=len(seen),
        found_frames=int(found.sum()),
        visible_s=_length_s(seen),
        delay_s=seen[first].time_s - seen[0].time_s if found.any() else None,
        longest_alarm_s=max((_length_s(seen[begin : end + 1]) for begin, end in runs), default=0.0),
        frames_since_found=len(seen) - first,
        # An alarm that ends with a polyp's leaving is no interruption.
        interruptions=int((found[:-1] & ~found[1:])[: _last(found)].sum()),
    )


def _last(found: npt.NDArray[np.bool_]) -> int:
    """Place of the last frame with an alarm, 0 without any: what goes off before it comes back."""
    return int(found.nonzero()[0].max(initial=0))


def _runs(frames: Sequence[ClipFrame], on: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last place of each run; frames that do not follow each other in the clip end a run."""
    runs: list[tuple[int, int]] = []
    for place in on.nonzero()[0].tolist():
        if runs and runs[-1][1] == place - 1 and frames[place - 1].index == frames[place].index - 1:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs


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
    minutes = [_length_s(clip.frames) / 60 for clip in clips]
    for rule in RunRule:
        found = [sum(_counts(polyp.longest_alarm_s, rule) for polyp in clip.polyps) for clip in clips]
        measure(f"polyp_detection_rate_{rule.key}", found, polyps)
    for rule in RunRule:
        runs = [sum(_counts(length, rule) for length in clip.activations_s) for clip in clips]
        measure(f"false_activations_per_minute_{rule.key}", runs, minutes)
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
        "alarm_interruptions_per_minute",
        [sum(polyp.interruptions for polyp in clip.polyps) for clip in clips],
        [sum(polyp.visible_s for polyp in clip.polyps if polyp.delay_s is not None) / 60 for clip in clips],
    )
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
        "time_to_first_detection_median_s": round(float(np.median(delays)), 3) if delays else None,
        "time_to_first_detection_p90_s": round(float(np.percentile(delays, 90)), 3) if delays else None,
        **{name: rounded(value) for name, (value, _) in measured.items()},
        "frame_auc": rounded(auc(scores, visible)),
        "interval_95": {
            name: None if interval is None else [round(interval.low, 4), round(interval.high, 4)]
            for name, (_, interval) in measured.items()
        },
    }


def _counts(length_s: float, rule: RunRule) -> bool:
    # A run of ten frames of 0.1 s is one second long, whatever their sum in floating point.
    return length_s > 0 if rule is RunRule.ANY else length_s >= rule.value - 1e-6
