"""The findings of a procedure as people judged them: joined, split, corrected, added; each with its best picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stream.frame import Detection
from stream.judgements.reviewed import Reviewed, ReviewedFinding
from stream.judgements.state import BETWEEN, DRAWN, Box, Mark
from stream.procedure.findings import Finding, Picture, StepListener, finding_of, picture_of, step_of
from stream.procedure.kept import KeptPictures
from stream.procedure.looks import read_looks
from stream.procedure.reading import Procedure, Sighting

_DRAWN_SCORE = 1.0  # of a box that a person drew, where a number is needed
_SAME_PX = 0.06  # how far rounding moves the sides of a box


def fits(procedure: Procedure, reviewed: Reviewed) -> bool:
    """Whether a review is of the frames that a procedure has."""
    return [one.frames for one in procedure.recordings] == [one.frames for one in reviewed.beginning.recordings]


def judged_findings(
    procedure: Procedure,
    reviewed: Reviewed,
    *,
    places: Sequence[Path] | None = None,
    kept: KeptPictures | None = None,
    on_step: StepListener | None = None,
) -> list[Finding]:
    """Reads the best pictures of all findings of a review; those that are judged wrong come last.

    Args:
        procedure: of which; the review has to fit it.
        reviewed: what its reviews say.
        places: where its recordings are now; None for where they were.
        kept: pictures of earlier reports, as of `read_looks`.
        on_step: told of the progress of each step.

    Raises:
        InputError: a recording was moved or changed.
    """
    ordered = sorted(reviewed.findings, key=lambda one: one.finding.verdict == "wrong")
    known = _known(procedure)
    tracks = {number: tuple(_sightings(one, procedure, known, number)) for number, one in enumerate(ordered, start=1)}
    pictures: dict[int, Picture] = {}
    last = max((sightings[-1].frame for sightings in tracks.values()), default=-1)
    told = step_of(on_step, "reading pictures", last + 1)
    for look in read_looks(replace(procedure, tracks=tracks), places=places, kept=kept, on_progress=told):
        picture = picture_of(look)
        if look.track_id not in pictures or picture.quality > pictures[look.track_id].quality:
            pictures[look.track_id] = picture
    return [
        replace(
            finding_of(number, [tracks[number]], [pictures[number]], procedure),
            track_ids=_track_ids(one, known),
            reviewed=one,
        )
        for number, one in enumerate(ordered, start=1)
    ]


def _known(procedure: Procedure) -> Mapping[int, list[Sighting]]:
    """What was detected in each frame."""
    found: dict[int, list[Sighting]] = {}
    for sightings in procedure.tracks.values():
        for one in sightings:
            found.setdefault(one.frame, []).append(one)
    return found


def _sightings(
    one: ReviewedFinding, procedure: Procedure, known: Mapping[int, list[Sighting]], number: int
) -> list[Sighting]:
    frames = np.array(sorted(known), np.int64)
    found = []
    for frame, mark in one.finding.marks.items():
        detected = _detected(mark, known.get(frame, ()))
        if len(frames):
            beside = known[int(frames[np.abs(frames - frame).argmin()])][0]
            field, useful = beside.field_xyxy, beside.useful or beside.frame != frame
        else:
            field, useful = _whole(procedure), True
        detection = Detection(
            mark.box,
            _DRAWN_SCORE if mark.score is None else mark.score,
            detected.detection.label if detected else "polyp",
            track_id=number,
            classes=detected.detection.classes if detected else None,
            between=bool(mark.flags & BETWEEN),
        )
        found.append(Sighting(frame, float(procedure.times_s[frame]), field, useful, detection))
    return found


def _detected(mark: Mark, sightings: Sequence[Sighting]) -> Sighting | None:
    """The sighting that a mark comes from; None where a person drew it."""
    if mark.flags & DRAWN:
        return None
    return next((one for one in sightings if _same(one.detection.box_xyxy, mark.box)), None)


def _same(one: Box, other: Box) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= _SAME_PX


def _track_ids(one: ReviewedFinding, known: Mapping[int, list[Sighting]]) -> tuple[int, ...]:
    """Tracks of the detector that are in a finding."""
    detected = (_detected(mark, known.get(frame, ())) for frame, mark in one.finding.marks.items())
    return tuple(sorted({seen.detection.track_id for seen in detected if seen and seen.detection.track_id is not None}))


def _whole(procedure: Procedure) -> tuple[int, int, int, int]:
    width, height = procedure.record["source"]["resolution_wh"]
    return 0, 0, int(width), int(height)
