"""What makes a frame of a recording worth labelling, as far as its event lines and judgements tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum

import numpy as np

from engine.arrays import Float64s
from engine.boxes import pairwise_iou
from train.data.video_truth import BoxXyxy
from train.labels.results import Perceived, Recording

#: Logarithms of factors by which odds may be below those of the threshold, and still nearly be shown; and above, and
#: still barely be.
_NEARLY_LOGIT, _BARELY_LOGIT = 2.0, 0.5
#: A detection may as well be the other way round in so many frames of so many seconds around: it flickers.
_FLICKER_S, _MOST_SWITCHES = 0.5, 4
#: Seconds beside a track, or beside a finding that was judged wrong, in which the same is probably in view.
_BESIDE_S = 2.0
#: IoU from which a candidate and what was decided are the same thing.
_SAME = 0.3
_ROUNDING_S = 1e-6


class Reason(str, Enum):
    """Why a frame is worth labelling, as `selection.csv` calls it."""

    JUDGED_WRONG = "judged_wrong"
    BESIDE_WRONG = "beside_wrong"
    MISSED = "missed"
    LATE = "late"
    LOST = "lost"
    FLICKER = "flicker"
    NEARLY_SHOWN = "nearly_shown"
    BARELY_SHOWN = "barely_shown"
    OVERRULED = "overruled"
    MIRRORED = "mirrored"
    NOVEL = "novel"

    @property
    def text(self) -> str:
        """For people."""
        return _TEXTS[self]


_TEXTS = {
    Reason.JUDGED_WRONG: "a reader judged its finding wrong",
    Reason.BESIDE_WRONG: "just before or after a finding that a reader judged wrong",
    Reason.MISSED: "a reader added a lesion that was not found",
    Reason.LATE: "just before a track begins: found late?",
    Reason.LOST: "just after a track ends: lost?",
    Reason.FLICKER: "found and lost from frame to frame",
    Reason.NEARLY_SHOWN: "a candidate whose score is near the threshold or above it is not shown",
    Reason.BARELY_SHOWN: "a box is shown whose score is near the threshold or below it",
    Reason.OVERRULED: "the frame alone says something else than the frames around it",
    Reason.MIRRORED: "its mirror image gets another score",
    Reason.NOVEL: "unlike the frames of the training set",
}
#: How sure each reason is that the detector is wrong in the frame, 0 to 1. What judgements say is sure; the others were
#: set by 2 rendered procedures (6 minutes), which `benchmarks/select.py` does not judge.
WEIGHTS: Mapping[Reason, float] = {
    Reason.JUDGED_WRONG: 0.98,
    Reason.BESIDE_WRONG: 0.4,
    Reason.MISSED: 0.98,
    Reason.LATE: 0.75,
    Reason.LOST: 0.75,
    Reason.FLICKER: 0.25,
    Reason.NEARLY_SHOWN: 0.8,
    Reason.BARELY_SHOWN: 0.4,
    Reason.OVERRULED: 0.2,
    Reason.MIRRORED: 0.3,
    Reason.NOVEL: 0.2,
}

Signals = dict[Reason, Float64s]


def signals_of(recording: Recording, threshold: float) -> Signals:
    """How strongly each reason holds in each frame of a recording, float64 (frames,), 0 to 1.

    Args:
        recording: with what was perceived in it.
        threshold: score from which a detection of a single frame counts.
    """
    perceived = recording.perceived or ()
    times_s = np.array(recording.times_s)
    best = np.array([max((score for _, score in one.candidates), default=0.0) for one in perceived])
    found: Signals = {
        Reason.NEARLY_SHOWN: _nearly_shown(recording, perceived, threshold),
        Reason.BARELY_SHOWN: _barely_shown(recording, threshold),
        Reason.FLICKER: _flicker(best >= threshold, times_s),
        Reason.OVERRULED: _overruled(recording, perceived, threshold),
    }
    tracks: dict[str, list[int]] = {}
    for place, frame in enumerate(recording.frames):
        for label in frame.labels:
            if label.track:
                tracks.setdefault(label.track, []).append(place)
    empty = np.array([not frame.labels for frame in recording.frames])
    found[Reason.LATE] = _beside(times_s, [places[0] for places in tracks.values()], before=True) * empty
    found[Reason.LOST] = _beside(times_s, [places[-1] for places in tracks.values()], before=False) * empty
    if recording.judged is not None:
        wrong = recording.judged.wrong
        found[Reason.JUDGED_WRONG] = wrong.astype(np.float64)
        found[Reason.MISSED] = recording.judged.added.astype(np.float64)
        beside = [_beside(times_s, np.flatnonzero(wrong).tolist(), before=side) for side in (True, False)]
        found[Reason.BESIDE_WRONG] = np.maximum(*beside) * ~wrong
    return found


def overall(signals: Mapping[Reason, Float64s]) -> Float64s:
    """How much a label of each frame is worth, (frames,): the chance that any of its reasons is right."""
    doubts = [1.0 - WEIGHTS[reason] * values for reason, values in signals.items()]
    return np.asarray(1.0 - np.prod(doubts, axis=0), np.float64)


def overall_of(signals: Mapping[Reason, float]) -> float:
    """As `overall`, of one frame."""
    return 1.0 - math.prod(1.0 - WEIGHTS[reason] * value for reason, value in signals.items())


def _nearly_shown(recording: Recording, perceived: Sequence[Perceived], threshold: float) -> Float64s:
    """1 where a candidate from the threshold on is not shown, and less the lower the best one that is not shown."""
    best = np.zeros(len(perceived))
    for place, (frame, seen) in enumerate(zip(recording.frames, perceived, strict=True)):
        boxes = np.array([box for box, _ in seen.candidates]).reshape(-1, 4)
        shown = np.array([label.box_xyxy for label in frame.labels]).reshape(-1, 4)
        hidden = (pairwise_iou(boxes, shown).max(axis=1, initial=0.0) < _SAME).tolist()
        best[place] = max((score for (_, score), out in zip(seen.candidates, hidden, strict=True) if out), default=0.0)
    below = _logit(np.array([threshold])) - _logit(best)
    return np.asarray(np.clip(1.0 - below / _NEARLY_LOGIT, 0.0, 1.0), np.float64)


def _barely_shown(recording: Recording, threshold: float) -> Float64s:
    """1 where a box is shown whose score is below the threshold, and less the higher the lowest one that is shown."""
    scores = [[label.score for label in frame.labels if label.score is not None] for frame in recording.frames]
    lowest = np.array([min(own, default=1.0) for own in scores])  # what a reader drew is no doubt of the detector
    above = _logit(lowest) - _logit(np.array([threshold]))
    return np.asarray(np.clip(1.0 - above / _BARELY_LOGIT, 0.0, 1.0), np.float64)


def _logit(scores: Float64s) -> Float64s:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)


def _flicker(alone: np.ndarray[tuple[int], np.dtype[np.bool_]], times_s: Float64s) -> Float64s:
    """How often frames alone change their mind around each frame."""
    switches = np.concatenate([[0], np.cumsum(np.abs(np.diff(alone.astype(np.int64))))])
    first = np.searchsorted(times_s, times_s - _FLICKER_S - _ROUNDING_S)
    last = np.searchsorted(times_s, times_s + _FLICKER_S + _ROUNDING_S, side="right") - 1
    count = switches[last] - switches[first]
    return np.asarray(np.where(count > 1, np.minimum(count / _MOST_SWITCHES, 1.0), 0.0), np.float64)


def _overruled(recording: Recording, perceived: Sequence[Perceived], threshold: float) -> Float64s:
    """1 where a box of the frame alone is not shown, or what is shown has no box in the frame alone."""
    found = np.zeros(len(perceived))
    for place, (frame, seen) in enumerate(zip(recording.frames, perceived, strict=True)):
        alone = [box for box, score in seen.candidates if score >= threshold]
        shown = [label.box_xyxy for label in frame.labels]
        found[place] = float(_differ(alone, shown))
    return found


def _differ(one: Sequence[BoxXyxy], other: Sequence[BoxXyxy]) -> bool:
    if not one or not other:
        return bool(one) != bool(other)
    overlaps = pairwise_iou(np.array(one), np.array(other)) >= _SAME
    return bool((~overlaps.any(0)).any() or (~overlaps.any(1)).any())


def _beside(times_s: Float64s, places: Sequence[int], *, before: bool) -> Float64s:
    """1 right beside one of some frames, on one side of it in time, and less the farther away."""
    found = np.zeros(len(times_s))
    for place in places:
        away_s = (times_s[place] - times_s) if before else (times_s - times_s[place])
        near = (away_s > 0) & (away_s <= _BESIDE_S)
        found[near] = np.maximum(found[near], 1.0 - away_s[near] / (2 * _BESIDE_S))
    return found
