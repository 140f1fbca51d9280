"""One number for each polyp over time, and steady boxes: from the detections of single frames to tracks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from engine.arrays import Float64s
from engine.boxes import pairwise_iou
from engine.errors import InputError
from stream.frame import Detection


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How detections become tracks. Everything is in seconds and box sizes, so that frame rate and resolution drop out.

    Attributes:
        found_threshold: score from which a detection founds a track: the operating point of the detector.
        continue_threshold: score from which a detection may continue a track that it overlaps (the second stage of
            ByteTrack, Zhang et al. 2022): a polyp half behind a fold keeps its number.
        max_gap_s: a track that was not seen for longer than this is over.
        confirm_hits: certain detections within `confirm_window_s` that a new track needs before it gets its number. 1
            numbers every track at once, which files want: nothing found goes missing. Above 1, a false alarm of one
            frame is never numbered, and a polyp appears that much later. Hits come faster at higher frame rates; what
            should not depend on them, such as an alarm, goes by `Track.score` and `Track.age_s`.
        confirm_window_s: a new track without its hits by then is dropped.
        reach_sizes: how far the centre of a track may jump from where it is expected, in box sizes (the root of the
            area), right after it was seen.
        reach_sizes_per_s: how fast that reach grows while the track is not seen.
        smoothing_s: time constant of box smoothing for small movements; larger movements are followed at once.
        evidence_s: time constant of `Track.score`.
    """

    found_threshold: float = 0.5
    continue_threshold: float = 0.2
    max_gap_s: float = 1.0
    confirm_hits: int = 1
    confirm_window_s: float = 0.5
    reach_sizes: float = 1.5
    reach_sizes_per_s: float = 8.0
    smoothing_s: float = 0.06
    evidence_s: float = 0.4

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            InputError: a threshold outside 0 to 1 or out of order, or a time or count that is not positive.
        """
        if not 0.0 <= self.continue_threshold <= self.found_threshold <= 1.0:
            raise InputError(
                "`continue_threshold` and `found_threshold` must lie in 0 to 1, in this order. "
                f"Received: {self.continue_threshold}, {self.found_threshold}"
            )
        for name in (f.name for f in fields(self) if not f.name.endswith("_threshold")):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"`{name}` must be a positive number. Received: {value}")


# Velocity forecasts the camera for about this long; colonoscopes jerk, and a longer forecast runs away.
_FORECAST_S = 0.15
# Movement of the centre, in box sizes: below the first it is taken for jitter and smoothed, from the second followed.
_CENTRE_JITTER = (0.03, 0.20)
# Change of width or height (natural logarithm), likewise. Wider: a sudden change is mostly a box that missed a part.
_SIZE_JITTER = (0.2, 1.5)
# Overlap with the expected box from which a low score is believed to be the track.
_LOW_SCORE_IOU = 0.4
# No reach grows beyond this, in box sizes.
_MAX_REACH_SIZES = 4.0
# Boxes whose areas differ by more than this factor are not the same polyp.
_MAX_AREA_RATIO = 8.0
# A score counts as at least and at most this much evidence, so that no single frame settles the matter.
_EVIDENCE_RANGE = (0.02, 0.98)


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of one polyp over time.

    Attributes:
        track_id: its number, from 1; None while it waits for confirmation.
        label: class name, as last detected.
        box_xyxy: smoothed box in pixels where it was last seen.
        score: evidence over time, 0 to 1: scores smoothed as log-odds with `TrackerSettings.evidence_s`, a frame
            without detection counting as (almost) none.
        hits: detections it is made of.
        first_seen_s: time of the first of them.
        last_seen_s: time of the last of them.
    """

    track_id: int | None
    label: str
    box_xyxy: tuple[float, float, float, float]
    score: float
    hits: int
    first_seen_s: float
    last_seen_s: float

    @property
    def age_s(self) -> float:
        """Seconds from its first to its last detection."""
        return self.last_seen_s - self.first_seen_s


class Tracker:
    """Gives detections their track over the frames of one source.

    Not safe for use from several threads: one tracker belongs to one source and is fed in order.
    """

    def __init__(self, settings: TrackerSettings | None = None, *, first_id: int = 1) -> None:
        """Start without tracks.

        Args:
            settings: how detections become tracks.
            first_id: number of the first track: another one where an earlier tracker has used some.
        """
        self._settings = settings or TrackerSettings()
        self._tracks: list[_TrackState] = []
        self._time_s = -math.inf
        self._first_id = self._next_id = first_id

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Tracks that are not over, oldest first, also those not seen in the last frame."""
        return tuple(track.snapshot() for track in self._tracks)

    @property
    def track_count(self) -> int:
        """How many tracks have been numbered since the start."""
        return self._next_id - self._first_id

    @property
    def next_id(self) -> int:
        """Number that the next new track will get."""
        return self._next_id

    def update(self, detections: Sequence[Detection], time_s: float) -> tuple[Detection, ...]:
        """Take in the detections of the next frame.

        Every detection comes back, in the order given. One that founds or continues a track has the track's number and
        smoothed box (its score stays as detected); all others are as they came, with `track_id` None. What a viewer
        should see are thus the detections with a number; the others are candidates.

        Args:
            detections: of one frame, after merging; an empty sequence for a frame without any.
            time_s: presentation time in seconds. Frames may come at any rate. When time runs back by more than
                `max_gap_s` (the source was rewound), all tracks are over.

        Returns:
            As many detections as given.

        Raises:
            InputError: a time, box or score that is not finite.
        """
        if not math.isfinite(time_s):
            raise InputError(f"`time_s` must be finite. Received: {time_s}")
        boxes = np.array([d.box_xyxy for d in detections], dtype=np.float64).reshape(-1, 4)
        scores = np.array([d.score for d in detections], dtype=np.float64)
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise InputError(f"a detection at {time_s:.3f} s has a box or score that is not finite")

        rewound = time_s < self._time_s - self._settings.max_gap_s
        self._tracks = [t for t in self._tracks if not rewound and not t.is_over(time_s, self._settings)]
        self._time_s = time_s

        owners = self._associate(boxes, scores, time_s)
        for index in np.flatnonzero(scores >= self._settings.found_threshold).tolist():
            if index not in owners:
                owners[index] = _TrackState(boxes[index], time_s)
                self._tracks.append(owners[index])
        for index, track in owners.items():
            track.see(boxes[index], detections[index], time_s, self._settings)
            if track.track_id is None and track.hits >= self._settings.confirm_hits:
                track.track_id = self._next_id
                self._next_id += 1
        for track in set(self._tracks).difference(owners.values()):
            track.weigh(0.0, time_s, self._settings)

        return tuple(
            replace(d, box_xyxy=owners[i].box_xyxy(), track_id=owners[i].track_id)
            if i in owners and owners[i].track_id is not None
            else d
            for i, d in enumerate(detections)
        )

    def _associate(self, boxes: Float64s, scores: Float64s, time_s: float) -> dict[int, _TrackState]:
        """Which track each detection continues, by index of the detection."""
        if not self._tracks or not len(boxes):
            return {}
        expected = np.array([t.expected_box(time_s) for t in self._tracks])
        unseen_s = np.array([max(time_s - t.last_seen_s, 0.0) for t in self._tracks])
        reach = np.minimum(self._settings.reach_sizes + self._settings.reach_sizes_per_s * unseen_s, _MAX_REACH_SIZES)
        overlap, closeness = _affinities(expected, boxes, reach)

        certain = scores >= self._settings.found_threshold
        # Low scores continue what is numbered; to confirm a new track is part of founding it.
        numbered = np.array([t.track_id is not None for t in self._tracks])[:, None]
        uncertain = numbered & (scores >= self._settings.continue_threshold) & ~certain
        owners: dict[int, _TrackState] = {}
        free = np.ones(overlap.shape, dtype=bool)
        for allowed in (certain & (closeness > 0), uncertain & (overlap >= _LOW_SCORE_IOU)):
            affinity = np.where(allowed & free & (closeness > 0), overlap + closeness, 0.0)
            while affinity.any():
                row, column = np.unravel_index(affinity.argmax(), affinity.shape)
                owners[int(column)] = self._tracks[row]
                for matrix in (affinity, free):
                    matrix[row, :] = 0
                    matrix[:, column] = 0
        return owners


class _TrackState:
    """The moving parts of one track."""

    def __init__(self, box: Float64s, time_s: float) -> None:
        self.track_id: int | None = None
        self.hits = 0
        self.label = ""
        self.first_seen_s = time_s
        self.last_seen_s = time_s
        self._weighed_s = -math.inf
        self._log_odds = 0.0
        self._box = box
        self._velocity = np.zeros(2)  # of the centre, pixels per second

    def is_over(self, time_s: float, settings: TrackerSettings) -> bool:
        unconfirmed = self.track_id is None and time_s - self.first_seen_s > settings.confirm_window_s
        return unconfirmed or time_s - self.last_seen_s > settings.max_gap_s

    def expected_box(self, time_s: float) -> Float64s:
        """Where the box should be at a time: onwards with its velocity, which fades."""
        elapsed_s = max(time_s - self.last_seen_s, 0.0)
        shift = self._velocity * _FORECAST_S * (1.0 - math.exp(-elapsed_s / _FORECAST_S))
        return self._box + np.tile(shift, 2)

    def see(self, box: Float64s, detection: Detection, time_s: float, settings: TrackerSettings) -> None:
        """Move to a detection: smoothly while it jitters, at once when it really moved."""
        elapsed_s = max(time_s - self.last_seen_s, 0.0)
        if self.hits:
            gain = 1.0 - math.exp(-elapsed_s / settings.smoothing_s)
            expected = self.expected_box(time_s)
            centre, size = _centre_size(expected)
            new_centre, new_size = _centre_size(box)
            innovation = new_centre - centre
            growth = np.log(new_size / size)
            # A movement takes both sides of the box along; a box that missed a part moves one, and its centre lies.
            first, second = (box - expected).reshape(2, 2)
            moved = np.where(first * second > 0, np.minimum(np.abs(first), np.abs(second)), 0.0)
            distance = float(np.hypot(*moved)) / math.sqrt(float(size.prod()))
            centre = centre + innovation * _adaptive(gain, distance, _CENTRE_JITTER)
            size = size * np.exp(growth * _adaptive(gain, float(np.abs(growth).max()), _SIZE_JITTER))
            smoothed = np.concatenate([centre - size / 2, centre + size / 2])
            # Never outside what was shown and what was detected: a box at the picture's edge stays in the picture.
            self._box = np.clip(smoothed, np.minimum(self._box, box), np.maximum(self._box, box))
            if elapsed_s > 0:
                # Gains of a critically damped g-h filter.
                self._velocity = self._velocity * math.exp(-elapsed_s / _FORECAST_S)
                self._velocity += innovation / elapsed_s * gain**2 / (2.0 - gain)
        self.hits += 1
        self.label = detection.label
        self.last_seen_s = max(time_s, self.last_seen_s)
        self.weigh(detection.score, time_s, settings)

    def weigh(self, score: float, time_s: float, settings: TrackerSettings) -> None:
        """Take a frame's score (0 for not seen) into the evidence."""
        low, high = _EVIDENCE_RANGE
        score = min(max(score, low), high)
        log_odds = math.log(score / (1.0 - score))
        elapsed_s = max(time_s - self._weighed_s, 0.0)
        self._log_odds += (log_odds - self._log_odds) * (1.0 - math.exp(-elapsed_s / settings.evidence_s))
        self._weighed_s = time_s

    def box_xyxy(self) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = (float(side) for side in self._box)
        return x1, y1, x2, y2

    def snapshot(self) -> Track:
        return Track(
            track_id=self.track_id,
            label=self.label,
            box_xyxy=self.box_xyxy(),
            score=1.0 / (1.0 + math.exp(-self._log_odds)),
            hits=self.hits,
            first_seen_s=self.first_seen_s,
            last_seen_s=self.last_seen_s,
        )


def _adaptive(gain: float, deviation: float, jitter: tuple[float, float]) -> float:
    """The gain for a deviation: as given within the jitter, rising to 1 for a real movement."""
    small, large = jitter
    share = min(max((deviation - small) / (large - small), 0.0), 1.0)
    return gain + (1.0 - gain) * share


def _centre_size(boxes: Float64s) -> tuple[Float64s, Float64s]:
    """Centre and size of boxes (..., 4); a size is at least a hundredth of a pixel, so that it can be divided by."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, np.maximum(boxes[..., 2:] - boxes[..., :2], 0.01)


def _affinities(expected: Float64s, boxes: Float64s, reach_sizes: Float64s) -> tuple[Float64s, Float64s]:
    """How well detections fit tracks.

    Args:
        expected: boxes of tracks, (T, 4).
        boxes: boxes of detections, (D, 4).
        reach_sizes: how far a track may have jumped, in box sizes, (T,).

    Returns:
        Intersection over union, and closeness of centres from 1 (same place) down to 0 (out of reach, or sizes that
        do not fit), both (T, D).
    """
    (track_centres, track_sizes), (centres, sizes) = _centre_size(expected), _centre_size(boxes)
    track_areas, areas = track_sizes.prod(axis=1)[:, None], sizes.prod(axis=1)[None]
    overlap = pairwise_iou(expected, boxes)

    distance = np.linalg.norm(track_centres[:, None] - centres[None], axis=2)
    scale = (np.sqrt(track_areas) + np.sqrt(areas)) / 2
    closeness = np.maximum(1.0 - distance / (scale * reach_sizes[:, None]), 0.0)
    ratio = areas / track_areas
    closeness[(ratio > _MAX_AREA_RATIO) | (ratio < 1.0 / _MAX_AREA_RATIO)] = 0.0
    return overlap, closeness
