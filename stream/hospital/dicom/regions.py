"""The regions of a finding: some of the frames that show it, each with its box."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from stream.hospital.dicom.pictures import Recorded
from stream.judgements.reviewed import judgements_folder, reviewed_findings
from stream.judgements.state import BETWEEN, Box, JudgedFinding
from stream.procedure.reading import Procedure

_REGION_S = 1.0  # one region of a finding in so many seconds, beside the first and last of each look
_MOST_REGIONS = 200  # of one finding


@dataclass(frozen=True, slots=True)
class Region:
    """Where a finding is in one frame.

    Attributes:
        recorded: object of the recording.
        frame: number of the frame in it, from 1.
        time_s: of the frame, in seconds of the procedure.
        box_xyxy: in pixels of the frame.
        score: 0 to 1; None where a reader drew the box.
    """

    recorded: Recorded
    frame: int
    time_s: float
    box_xyxy: Box
    score: float | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A finding in one frame of the procedure."""

    frame: int
    time_s: float
    box_xyxy: Box
    score: float | None


def judged_findings_of(result: Path, procedure: Procedure, report: Mapping[str, Any]) -> Mapping[str, JudgedFinding]:
    """The findings of the review that a report follows, by their ids; none where it follows no review.

    Args:
        result: folder of the procedure, or its event lines.
        procedure: of them.
        report: of `report.json`.

    Raises:
        InputError: the judgements cannot be read, or changed since the report was written.
    """
    said = report.get("reviewed")
    if not said:
        return {}
    reviewed = reviewed_findings(judgements_folder(result), procedure.name, reader=said["readers"][0])
    if reviewed is None or reviewed.revision != said["revision"]:
        raise InputError(f"{procedure.name!r} was judged again since its report was written; write the report again")
    return {one.finding.id: one.finding for one in reviewed.findings}


def regions_of(
    entry: Mapping[str, Any],
    procedure: Procedure,
    judged: Mapping[str, JudgedFinding],
    place_of: Callable[[int], tuple[Recorded, int]],
) -> list[Region]:
    """Regions of a finding: the best frame, the first and last of each look, and one a second between them.

    Args:
        entry: of `report.json`.
        procedure: of which.
        judged: as of `judged_findings_of`: the boxes of a review take the place of those that were detected.
        place_of: the object of a frame of the procedure, and the number of the frame in it, from 1.
    """
    review = entry.get("review")
    seen = _detected(entry, procedure) if review is None else _judged(judged[review["id"]], procedure)
    chosen = {one.frame: one for one in seen if one.frame == int(entry["best_frame"])}
    last_s = -_REGION_S
    for number, one in enumerate(seen):
        ends = number + 1 == len(seen) or seen[number + 1].time_s - one.time_s > _REGION_S
        if ends or one.time_s - last_s >= _REGION_S:
            chosen.setdefault(one.frame, one)
            last_s = one.time_s
    return [
        Region(*place_of(one.frame), one.time_s, one.box_xyxy, one.score)
        for one in list(chosen.values())[:_MOST_REGIONS]
    ]


def _detected(entry: Mapping[str, Any], procedure: Procedure) -> Sequence[_Seen]:
    looks = [(float(start), float(end)) for start, end in entry.get("looks_s") or ()]
    seen = (
        _Seen(one.frame, one.time_s, one.detection.box_xyxy, one.detection.score)
        for track in entry["tracks"]
        for one in procedure.tracks.get(int(track), ())
        if not one.detection.between and any(start - 1e-3 <= one.time_s <= end + 1e-3 for start, end in looks)
    )
    return sorted(seen, key=lambda one: one.frame)


def _judged(finding: JudgedFinding, procedure: Procedure) -> Sequence[_Seen]:
    return [
        _Seen(frame, float(procedure.times_s[frame]), mark.box, mark.score)
        for frame, mark in finding.marks.items()
        if not mark.flags & BETWEEN
    ]
