"""What a review begins with: the findings as the report says, or each track on its own where there is no report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.reading.bounded import MALFORMED, read_json_bounded
from stream.judgements.state import BETWEEN, Beginning, JudgedFinding, Mark, Shape
from stream.procedure.index import EventIndex, index_path, kept_index
from stream.review.results import ReviewProcedure, ReviewRecording

#: A part of a track: its number, its first and its last frame (None: the whole track).
_Part = tuple[int, int | None, int | None]


def beginning_of(procedure: ReviewProcedure, index: EventIndex) -> Beginning:
    """What a review of a procedure begins with.

    Args:
        procedure: of which.
        index: of its events.
    """
    tracks = [int(one) for one in np.unique(index.tracks)]
    groups = _of_report(procedure, tracks) or {str(n): [(one, None, None)] for n, one in enumerate(tracks, start=1)}
    return Beginning(
        tuple(
            Shape(one.frames, *shown_wh(one, index), round(one.start_s, 6), round(one.duration_s, 6))
            for one in procedure.recordings
        ),
        tuple(np.round(index.times_s, 6).tolist()),
        tuple(JudgedFinding(key, False, marks) for key, parts in groups.items() if (marks := _marks(index, parts))),
    )


def shown_wh(recording: ReviewRecording, index: EventIndex) -> tuple[int, int]:
    """Width and height of what a recording is shown on, in pixels: its frames', or those of the largest pictures.

    Args:
        recording: of the procedure.
        index: of the events of the procedure.
    """
    if not len(index.sizes):
        return recording.width, recording.height
    width, height = index.sizes.max(axis=0).tolist()
    return width, height


def detected_count(procedure: ReviewProcedure) -> int | None:
    """How many findings a procedure has by its report, or else tracks by its index; None where neither is there.

    Its events are not read.
    """
    for path, count in ((procedure.report, _count_of_report), (index_path(procedure.events), _count_of_index)):
        try:
            status = path.stat()
            found = count(procedure.events, path, status.st_mtime_ns, status.st_size)
        except (OSError, *MALFORMED):
            continue
        if found is not None:
            return found
    return None


@lru_cache(maxsize=4096)
def _count_of_report(_events: Path, report: Path, _modified_ns: int, _bytes: int) -> int:
    return len(read_json_bounded(report)["findings"])


@lru_cache(maxsize=4096)
def _count_of_index(events: Path, _index: Path, _modified_ns: int, _bytes: int) -> int | None:
    index = kept_index(events)
    return None if index is None else len(np.unique(index.tracks))


def _of_report(procedure: ReviewProcedure, tracks: Sequence[int]) -> Mapping[str, list[_Part]] | None:
    """Parts of tracks by the number of the finding, as the report says; None where that is of other events."""
    try:
        report = read_json_bounded(procedure.report)
        if report.get("reviewed"):  # its findings are those of people
            return None
        groups = {str(one["number"]): _parts(one) for one in report["findings"]}
    except (OSError, *MALFORMED):
        return None
    told = {track for parts in groups.values() for track, _, _ in parts}
    return groups if told == set(tracks) else None


def _parts(finding: Mapping[str, Any]) -> list[_Part]:
    if "parts" in finding:
        return [(int(track), int(first), int(last)) for track, first, last in finding["parts"]]
    return [(int(track), None, None) for track in finding["tracks"]]


def _marks(index: EventIndex, parts: Sequence[_Part]) -> dict[int, Mark]:
    found: dict[int, Mark] = {}
    for track, first, last in parts:
        own = index.tracks == track
        if first is not None and last is not None:
            own &= (index.frames >= first) & (index.frames <= last)
        boxes = np.round(index.boxes[own].astype(np.float64), 2).tolist()
        scores = np.round(index.scores[own].astype(np.float64), 4).tolist()
        rows = zip(index.frames[own].tolist(), boxes, scores, index.between[own].tolist(), strict=True)
        for frame, (x0, y0, x1, y1), score, between in rows:
            if frame not in found or score > (found[frame].score or 0.0):
                found[frame] = Mark((x0, y0, x1, y1), score, BETWEEN if between else 0)
    return dict(sorted(found.items()))
