"""What makes a frame of a recording worth labelling, as far as its event lines and judgements tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

import numpy as np

from engine.arrays import Float64s
from engine.boxes import pairwise_iou
from train.data.video_truth import BoxXyxy
from train.labels.results import Perceived, Recording

#: Odds that differ by less than this factor's logarithm from those of the threshold are near it.
_NEAR_LOGIT = 1.0
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
    NEAR_THRESHOLD = "near_threshold"
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
    Reason.NEAR_THRESHOLD: "a score near the threshold",
    Reason.OVERRULED: "the frame alone says something else than the frames around it",
    Reason.MIRRORED: "its mirror image gets another score",
    Reason.NOVEL: "unlike the frames of the training set",
}
#: How sure each reason is that a label of the frame teaches something, 0 to 1.
WEIGHTS: Mapping[Reason, float] = {
    Reason.JUDGED_WRONG: 0.95,
    Reason.BESIDE_WRONG: 0.4,
    Reason.MISSED: 0.95,
    Reason.LATE: 0.5,
    Reason.LOST: 0.5,
    Reason.FLICKER: 0.6,
    Reason.NEAR_THRESHOLD: 0.5,
    Reason.OVERRULED: 0.6,
    Reason.MIRRORED: 0.5,
    Reason.NOVEL: 0.3,
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
        Reason.NEAR_THRESHOLD: _near(perceived, threshold),
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
    return found


def overall(signals: Mapping[Reason, Float64s]) -> Float64s:
    """How much a label of each frame is worth, (frames,): the chance that any of its reasons is right."""
    doubt = 1.0
    for reason, values in signals.items():
        doubt = doubt * (1.0 - WEIGHTS[reason] * values)
    return np.asarray(1.0 - np.asarray(doubt), np.float64)


def overall_of(signals: Mapping[Reason, float]) -> float:
    """As `overall`, of one frame."""
    return 1.0 - math.prod(1.0 - WEIGHTS[reason] * value for reason, value in signals.items())


def _near(perceived: Iterable[Perceived], threshold: float) -> Float64s:
    """1 where a candidate's score is the threshold, 0 where its odds are another by a factor of e or more."""
    border = _logit(np.array([threshold]))
    return np.array(
        [
            max(1.0 - float(np.abs(_logit(scores) - border).min()) / _NEAR_LOGIT, 0.0) if len(scores) else 0.0
            for scores in (np.array([score for _, score in one.candidates]) for one in perceived)
        ]
    )


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
