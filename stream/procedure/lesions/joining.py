"""Which tracks are the same lesion, seen again: by look, and by what was in view at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.arrays import Float32s
from engine.boxes import intersections
from engine.interrupts import check
from stream.procedure.lesions.matching import LookPoints, agreeing_points
from stream.procedure.reading import Sighting


@dataclass(frozen=True, slots=True)
class JoiningSettings:
    """When two tracks are the same lesion.

    Attributes:
        least_likeness: cosine of the features of two looks from which their points are compared, -1 to 1.
        least_points: points that have to agree.
        most_pairs: pairs of looks, of two tracks, that are compared; the likest first.
        enough_points: with so many nothing more is compared.
    """

    least_likeness: float = 0.45
    least_points: int = 6
    most_pairs: int = 12
    enough_points: int = 20


@dataclass(frozen=True, slots=True, eq=False)
class TrackLooks:
    """How a track, or a piece of one, looks.

    Attributes:
        features: float32 (looks, channels), each of length 1.
        points: of each look.
    """

    features: Float32s
    points: Sequence[LookPoints]


# Of two boxes in one frame so much of the smaller lies in the other where both may be of one lesion (its head and its
# stalk, a part beside an instrument); otherwise the frame shows two. Their looks have to agree all the same.
_SAME_PLACE = 0.1


def join_tracks(
    tracks: Mapping[int, Sequence[Sighting]],
    looks: Mapping[int, TrackLooks],
    settings: JoiningSettings | None = None,
    *,
    on_progress: Callable[[int], object] | None = None,
) -> list[tuple[int, ...]]:
    """Groups tracks by lesion.

    Args:
        tracks: sightings of each track, in order.
        looks: how each looks.
        settings: when two are the same.
        on_progress: told how many pairs of tracks were compared since it was told last.

    Returns:
        Numbers of the tracks of each lesion; lesions in the order of their first sighting.
    """
    settings = settings or JoiningSettings()
    apart = {pair for pair in combinations(tracks, 2) if _seen_apart(tracks[pair[0]], tracks[pair[1]])}
    same: list[tuple[int, int, int]] = []
    for one, other in combinations(tracks, 2):
        check()
        if (one, other) not in apart:
            points = _likeness(looks[one], looks[other], settings)
            if points >= settings.least_points:
                same.append((points, one, other))
        if on_progress is not None:
            on_progress(1)
    group_of = {track: {track} for track in tracks}
    for _, one, other in sorted(same, reverse=True):
        first, second = group_of[one], group_of[other]
        if first is second or any(_ordered(a, b) in apart for a in first for b in second):
            continue
        first |= second
        for track in second:
            group_of[track] = first
    groups = {tuple(sorted(group)) for group in group_of.values()}
    return sorted(groups, key=lambda group: min(tracks[track][0].time_s for track in group))


def _ordered(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


def _likeness(one: TrackLooks, other: TrackLooks, settings: JoiningSettings) -> int:
    """Most points that agree between a look at one track and a look at the other."""
    cosines = one.features @ other.features.T
    best = 0
    for place in np.argsort(-cosines, axis=None)[: settings.most_pairs].tolist():
        row, column = divmod(place, cosines.shape[1])
        if cosines[row, column] < settings.least_likeness or best >= settings.enough_points:
            break
        best = max(best, agreeing_points(one.points[row], other.points[column]))
    return best


def _seen_apart(one: Iterable[Sighting], other: Iterable[Sighting]) -> bool:
    """Whether a frame shows both, at two places."""
    places = {seen.frame: seen.detection.box_xyxy for seen in one}
    pairs = [(places[seen.frame], seen.detection.box_xyxy) for seen in other if seen.frame in places]
    if not pairs:
        return False
    common, first, second = intersections(*np.array(pairs, np.float64).transpose(1, 2, 0))
    return float(np.median(common / np.maximum(np.minimum(first, second), 1e-9))) < _SAME_PLACE
