"""The findings of a procedure: each lesion once, with its best picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image
from stream.frame import Frame, FrameResult
from stream.judgements.reviewed import ReviewedFinding
from stream.overlay import draw_overlay
from stream.procedure.kept import KeptPictures
from stream.procedure.lesions.features import LookFeatures
from stream.procedure.lesions.joining import JoiningSettings, TrackLooks, join_tracks
from stream.procedure.lesions.matching import find_points
from stream.procedure.lesions.pieces import Piece, SeenLook, cut_between, sightings_of
from stream.procedure.looks import Look, read_looks
from stream.procedure.reading import Procedure, Sighting

_JPEG_QUALITY = 92
_SCRAP_S = 2.0  # what is cut off a track and shorter is no finding of its own
_GAP_S = 1.0  # without it in view, after which it is looked at anew
#: Told of a step of the work, how many parts it has, and how many of them were done since it was told last.
StepListener = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The frame that shows a finding best, without what lies outside the field of view (names, times).

    Attributes:
        frame: index in the procedure.
        time_s: in the procedure.
        plain: JPEG of the field of view.
        marked: JPEG of it with the finding's box.
        quality: how well it shows the finding, as `Look.quality`.
        size_wh: width and height in pixels.
    """

    frame: int
    time_s: float
    plain: bytes
    marked: bytes
    quality: float
    size_wh: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One lesion.

    Attributes:
        number: from 1, in the order of the first sighting.
        track_ids: of the tracks that it is made of.
        sightings: of these tracks, in the order of time.
        looks: stretches of time, in seconds, in which it was in view without a gap of more than a second.
        in_view_s: how long it was in view.
        classes: probability of each kind, mean over its tracks; empty where it was not asked or not seen well enough.
        picture: that shows it best.
        reviewed: what people say of it; None where nobody judged the procedure.
    """

    number: int
    track_ids: tuple[int, ...]
    sightings: tuple[Sighting, ...]
    looks: tuple[tuple[float, float], ...]
    in_view_s: float
    classes: Mapping[str, float]
    picture: Picture
    reviewed: ReviewedFinding | None = None

    @property
    def label(self) -> str:
        """Name of its class."""
        return self.sightings[-1].detection.label

    @property
    def first_s(self) -> float:
        """When it is seen first, in seconds of the procedure."""
        return self.sightings[0].time_s

    @property
    def last_s(self) -> float:
        """When it is seen last, in seconds of the procedure."""
        return self.looks[-1][1]

    @property
    def is_wrong(self) -> bool:
        """Whether people say that it is no polyp."""
        return self.reviewed is not None and self.reviewed.finding.verdict == "wrong"

    @property
    def was_detected(self) -> bool:
        """Whether the detector saw it at all."""
        return self.reviewed is None or self.reviewed.finding.score is not None

    @property
    def best_score(self) -> float:
        """Its highest score, 0 to 1."""
        return max(one.detection.score for one in self.sightings)

    @property
    def mean_score(self) -> float:
        """Mean of its scores, 0 to 1."""
        return float(np.mean([one.detection.score for one in self.sightings]))


def find_findings(
    procedure: Procedure,
    *,
    places: Sequence[Path] | None = None,
    kept: KeptPictures | None = None,
    settings: JoiningSettings | None = None,
    on_step: StepListener | None = None,
) -> list[Finding]:
    """Reads the best pictures of all tracks, and joins the tracks of each lesion.

    Args:
        procedure: of which.
        places: where its recordings are now; None for where they were.
        kept: pictures of earlier reports, as of `read_looks`.
        settings: when two tracks are the same lesion.
        on_step: told of the progress of each step.

    Raises:
        InputError: a recording was moved or changed.
        RunError: the network failed.
    """
    parts = _parts(procedure, places, kept, on_step)
    seen = {number: part.sightings for number, part in enumerate(parts)}
    looks = {number: part.looks for number, part in enumerate(parts)}
    told = step_of(on_step, "comparing polyps", len(parts) * (len(parts) - 1) // 2)
    joined = join_tracks(seen, looks, settings, on_progress=told)
    groups = with_scraps(joined, [part.track_id for part in parts], [_length_s(part.sightings) for part in parts])
    lesions = sorted(
        ([parts[one] for one in group] for group in groups),
        key=lambda lesion: min(part.sightings[0].frame for part in lesion),
    )
    return [
        finding_of(
            number,
            [part.sightings for part in lesion],
            [part.picture for part in lesion],
            procedure,
        )
        for number, lesion in enumerate(lesions, start=1)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A track, or a piece of one."""

    track_id: int
    sightings: tuple[Sighting, ...]
    looks: TrackLooks
    picture: Picture


def with_scraps(
    groups: Sequence[Sequence[int]], track_ids: Sequence[int], lengths_s: Sequence[float]
) -> list[tuple[int, ...]]:
    """Groups of parts in which what was cut off a track, is short, and fits nothing else, stays with its track.

    Args:
        groups: places of parts, by lesion, in the order of the first sighting.
        track_ids: of each part; parts of one track follow each other.
        lengths_s: of each part.
    """
    place = {part: number for number, group in enumerate(groups) for part in group}
    found = [list(group) for group in groups]
    for number, group in enumerate(groups):
        if len({track_ids[part] for part in group}) > 1 or sum(lengths_s[part] for part in group) >= _SCRAP_S:
            continue
        own = track_ids[group[0]]
        beside = [
            part for part in (group[0] - 1, group[-1] + 1) if 0 <= part < len(track_ids) and track_ids[part] == own
        ]
        if beside and place[beside[0]] != number:
            target = place[beside[0]]
            found[target].extend(found[number])
            place.update(dict.fromkeys(found[number], target))
            found[number] = []
    return sorted(tuple(sorted(group)) for group in found if group)


def _length_s(sightings: Sequence[Sighting]) -> float:
    return sightings[-1].time_s - sightings[0].time_s


def _parts(
    procedure: Procedure,
    places: Sequence[Path] | None,
    kept: KeptPictures | None,
    on_step: StepListener | None,
) -> list[_Part]:
    """Reads the pictures of all tracks, and cuts those that went over to another lesion."""
    network = LookFeatures()
    pieces: dict[int, list[Piece]] = {}
    pictures: dict[int, list[Picture]] = {}
    last = max((sightings[-1].frame for sightings in procedure.tracks.values()), default=-1)
    told = step_of(on_step, "reading pictures", last + 1)
    for look in read_looks(procedure, places=places, kept=kept, on_progress=told):
        crop = network.crop(look)
        seen = SeenLook(look.sighting.frame, network.of([crop])[0], find_points(crop))
        own, best = pieces.setdefault(look.track_id, []), pictures.setdefault(look.track_id, [])
        cut = cut_between(own[-1].looks[-1], seen, procedure.tracks[look.track_id]) if own else seen.frame
        if cut is not None:
            own.append(Piece(look.track_id, cut))
            best.append(picture_of(look))
        elif look.quality > best[-1].quality:
            best[-1] = picture_of(look)
        own[-1].looks.append(seen)
    return [
        _Part(track, sightings, TrackLooks(piece.features, [one.points for one in piece.looks]), picture)
        for track, seen_at in procedure.tracks.items()
        for piece, sightings, picture in zip(
            pieces[track], sightings_of(pieces[track], seen_at), pictures[track], strict=True
        )
    ]


def step_of(on_step: StepListener | None, name: str, total: int) -> Callable[[int], object]:
    """What is told how many parts of a step were done since it was told last."""
    return lambda done: None if on_step is None else on_step(name, total, done)


def picture_of(look: Look) -> Picture:
    """The picture of a look, without what lies outside the field of view."""
    seen, field = look.sighting, look.field
    frame = Frame(index=seen.frame, pts=Fraction(0), image=look.image, captured_s=0.0)
    marked = draw_overlay(FrameResult(frame, field, (seen.detection,)))
    height, width = look.image.shape[:2]
    left, top, right, bottom = seen.field_xyxy
    if right <= left or bottom <= top:
        left, top, right, bottom = 0, 0, width, height
    part = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    plain = look.image[part]
    return Picture(
        seen.frame, seen.time_s, _jpeg(plain), _jpeg(marked[part]), look.quality, (plain.shape[1], plain.shape[0])
    )


def _jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ValueError(f"OpenCV makes no JPEG of a picture of {image.shape[1]}x{image.shape[0]} pixels")
    return data.tobytes()


def finding_of(
    number: int, tracks: Sequence[Sequence[Sighting]], pictures: Sequence[Picture], procedure: Procedure
) -> Finding:
    """A finding made of tracks, or of pieces of them.

    Args:
        number: from 1.
        tracks: sightings of each.
        pictures: the best of each.
        procedure: of which.
    """
    sightings = sorted((seen for track in tracks for seen in track), key=lambda seen: seen.frame)
    frames = sorted({seen.frame for seen in sightings})
    ends_s = procedure.times_s + procedure.durations_s
    looks: list[tuple[float, float]] = []
    for frame in frames:
        start_s, end_s = float(procedure.times_s[frame]), float(ends_s[frame])
        if looks and start_s - looks[-1][1] <= _GAP_S:
            looks[-1] = looks[-1][0], end_s
        else:
            looks.append((start_s, end_s))
    return Finding(
        number=number,
        track_ids=tuple(sorted({seen.detection.track_id for seen in sightings if seen.detection.track_id is not None})),
        sightings=tuple(sightings),
        looks=tuple(looks),
        in_view_s=float(procedure.durations_s[frames].sum()),
        classes=_classes(tracks),
        picture=max(pictures, key=lambda picture: picture.quality),
    )


def _classes(tracks: Sequence[Sequence[Sighting]]) -> dict[str, float]:
    """What is known of the kind at the end of each track, mean over tracks."""
    last = (
        next((seen.detection.classes for seen in reversed(track) if seen.detection.classes), None) for track in tracks
    )
    told = [dict(classes) for classes in last if classes]
    return {name: float(np.mean([one.get(name, 0.0) for one in told])) for name in (told[0] if told else ())}
