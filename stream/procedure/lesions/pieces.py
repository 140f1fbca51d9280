"""Tracks cut where they went over to another lesion: a tracker may take a new polyp for the one that just left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from engine.arrays import Float32s
from engine.boxes import iou
from stream.procedure.lesions.matching import LookPoints, agreeing_points
from stream.procedure.reading import Sighting

# A box that overlaps the one before it by less has jumped.
_JUMP = 0.2
# Two looks with so many agreeing points show one lesion for sure, and likewise two whose features are so alike.
_SAME_POINTS = 5
_SAME_LIKENESS = 0.92


@dataclass(frozen=True, slots=True, eq=False)
class SeenLook:
    """What is kept of a look.

    Attributes:
        frame: index in the procedure.
        features: float32 (channels), of length 1.
        points: of its crop.
    """

    frame: int
    features: Float32s
    points: LookPoints


@dataclass(slots=True, eq=False)
class Piece:
    """A part of a track, or the whole of it, that shows one lesion.

    Attributes:
        track_id: of the track.
        first_frame: from which on the track's sightings belong to it.
        looks: at it, in order.
    """

    track_id: int
    first_frame: int
    looks: list[SeenLook] = field(default_factory=list)

    @property
    def features(self) -> Float32s:
        """Of its looks, float32 (looks, channels)."""
        return np.stack([look.features for look in self.looks])


def cut_between(before: SeenLook, after: SeenLook, sightings: Sequence[Sighting]) -> int | None:
    """The frame from which on a track shows another lesion; None where it goes on with the same.

    It does where its box jumps and what is seen before and after has nothing in common.

    Args:
        before: a look at the track.
        after: the next look at it.
        sightings: of the track, in order.
    """
    seen = [one for one in sightings if before.frame <= one.frame <= after.frame and not one.detection.between]
    if len(seen) < 2:
        return None
    boxes = np.array([one.detection.box_xyxy for one in seen])
    overlaps = iou(boxes[:-1], boxes[1:])
    jump = int(np.argmin(overlaps))
    if overlaps[jump] >= _JUMP or float(before.features @ after.features) >= _SAME_LIKENESS:
        return None
    return None if agreeing_points(before.points, after.points) >= _SAME_POINTS else seen[jump + 1].frame


def sightings_of(pieces: Sequence[Piece], sightings: Sequence[Sighting]) -> list[tuple[Sighting, ...]]:
    """Sightings of each piece of one track, in order."""
    starts = [0, *(piece.first_frame for piece in pieces[1:])]
    ends = [*starts[1:], sightings[-1].frame + 1]
    assert all(first < second for first, second in pairwise(starts))
    return [
        tuple(one for one in sightings if start <= one.frame < end) for start, end in zip(starts, ends, strict=True)
    ]
