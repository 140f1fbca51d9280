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
from stream.overlay import draw_overlay
from stream.procedure.features import LookFeatures
from stream.procedure.joining import JoiningSettings, TrackLooks, join_tracks
from stream.procedure.looks import Look, read_looks
from stream.procedure.matching import LookPoints, find_points
from stream.procedure.reading import Procedure, Sighting

_JPEG_QUALITY = 92
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
    """

    number: int
    track_ids: tuple[int, ...]
    sightings: tuple[Sighting, ...]
    looks: tuple[tuple[float, float], ...]
    in_view_s: float
    classes: Mapping[str, float]
    picture: Picture

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
    settings: JoiningSettings | None = None,
    on_step: StepListener | None = None,
) -> list[Finding]:
    """Reads the best pictures of all tracks, and joins the tracks of each lesion.

    Args:
        procedure: of which.
        places: where its recordings are now; None for where they were.
        settings: when two tracks are the same lesion.
        on_step: told of the progress of each step.

    Raises:
        InputError: a recording was moved or changed.
        RunError: the network failed.
    """
    if not procedure.tracks:
        return []
    pictures, looks = _look(procedure, places, on_step)
    pairs = len(looks) * (len(looks) - 1) // 2
    groups = join_tracks(
        procedure.tracks, looks, settings, on_progress=_step(on_step, "comparing polyps", pairs) if pairs else None
    )
    return [_finding(number, group, procedure, pictures) for number, group in enumerate(groups, start=1)]


def _look(
    procedure: Procedure, places: Sequence[Path] | None, on_step: StepListener | None
) -> tuple[dict[int, Picture], dict[int, TrackLooks]]:
    network = LookFeatures()
    pictures: dict[int, Picture] = {}
    crops: dict[int, list[Image]] = {}
    last = max(sightings[-1].frame for sightings in procedure.tracks.values())
    told = _step(on_step, "reading pictures", last + 1)
    for look in read_looks(procedure, places=places, on_progress=told):
        crops.setdefault(look.track_id, []).append(network.crop(look))
        known = pictures.get(look.track_id)
        if known is None or look.quality > known.quality:
            pictures[look.track_id] = _picture(look)
    looks = {}
    told = _step(on_step, "looking at polyps", len(crops))
    for track_id in procedure.tracks:
        seen = crops[track_id]
        points: list[LookPoints] = [find_points(crop) for crop in seen]
        looks[track_id] = TrackLooks(network.of(seen), points)
        told(1)
    return pictures, looks


def _step(on_step: StepListener | None, name: str, total: int) -> Callable[[int], object]:
    return lambda done: None if on_step is None else on_step(name, total, done)


def _picture(look: Look) -> Picture:
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


def _finding(number: int, group: tuple[int, ...], procedure: Procedure, pictures: Mapping[int, Picture]) -> Finding:
    sightings = sorted((seen for track in group for seen in procedure.tracks[track]), key=lambda seen: seen.frame)
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
        track_ids=group,
        sightings=tuple(sightings),
        looks=tuple(looks),
        in_view_s=float(procedure.durations_s[frames].sum()),
        classes=_classes([procedure.tracks[track] for track in group]),
        picture=max((pictures[track] for track in group), key=lambda picture: picture.quality),
    )


def _classes(tracks: Sequence[Sequence[Sighting]]) -> dict[str, float]:
    """What is known of the kind at the end of each track, mean over tracks."""
    known = [
        next((seen.detection.classes for seen in reversed(track) if seen.detection.classes), None) for track in tracks
    ]
    told = [dict(classes) for classes in known if classes]
    return {name: float(np.mean([one.get(name, 0.0) for one in told])) for name in (told[0] if told else ())}
