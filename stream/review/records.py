"""A review as the page is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np

from engine.arrays import Float64s
from stream.judgements.history import History, said
from stream.judgements.state import BETWEEN, Beginning, JudgedFinding, Judgements

_GAP_S = 1.0  # without it in view, after which a finding is looked at anew
_WIDTH = 240  # of a picture, in pixels
_CHANGED = (
    "The results were decided anew since this review began; it goes on with what was found then, so that no judgement "
    "is lost."
)


def review_record(
    name: str, reader: str, history: History, *, blind: bool, hides: bool, changed: bool = False
) -> dict[str, Any]:
    """The review of a procedure by a reader, ready for JSON.

    Args:
        name: of the procedure.
        reader: name of the reader.
        history: the log of both.
        blind: whether readers look before they see what was detected.
        hides: whether it is withheld from this one.
        changed: whether the results differ from those that the review began with.
    """
    state, beginning = seen_state(history, hides=hides), history.beginning
    turn = state.turning_point
    times_s = np.array(beginning.times_s, np.float64)
    ordered = sorted(state.findings.values(), key=lambda one: one.first_frame)
    return {
        "procedure": name,
        "reader": reader,
        "revision": history.revision,
        "state": state.state.value,
        "turning_point": None if turn is None else {"recording": turn.recording, "time_s": turn.time_s},
        "bbps": None if state.bbps is None else list(state.bbps),
        "blind": blind,
        "hidden": hides,
        "undo": said(history.undo),
        "redo": said(history.redo),
        "note": _CHANGED if changed else None,
        "findings": [_finding(name, one, beginning, times_s) for one in ordered],
    }


def seen_state(history: History, *, hides: bool) -> Judgements:
    """The state as far as its reader may see it."""
    return history.state.only_added() if hides else history.state


def boxes_record(history: History, recording: int, *, hides: bool) -> dict[str, Any]:
    """Boxes of all findings in one recording, ready for JSON: frame, x0, y0, x1, y1, score, flags."""
    beginning = history.beginning
    first = beginning.first_frames[recording]
    last = first + beginning.recordings[recording].frames
    return {
        "revision": history.revision,
        "findings": {
            one.id: [
                [frame - first, *mark.box, mark.score, mark.flags]
                for frame, mark in one.marks.items()
                if first <= frame < last
            ]
            for one in seen_state(history, hides=hides).findings.values()
        },
    }


def _finding(name: str, finding: JudgedFinding, beginning: Beginning, times_s: Float64s) -> Mapping[str, Any]:
    judged = ("verdict", "cause", "kind", "size", "paris", "nice", "place", "text")
    return {
        "id": finding.id,
        "added": finding.added,
        **{field: getattr(finding, field) for field in judged},
        "score": finding.score,
        "looks": _looks(finding, beginning, times_s),
        "picture": _picture(name, finding, beginning),
    }


def _picture(name: str, finding: JudgedFinding, beginning: Beginning) -> str:
    """Address of the frame that promises to show a finding best, cut around it."""
    frame, most = finding.first_frame, -1.0
    for one, ((x0, y0, x1, y1), score, flags) in finding.marks.items():
        promise = (x1 - x0) * (y1 - y0) * (1.0 if score is None else score) * (0.1 if flags & BETWEEN else 1.0)
        if promise > most:
            frame, most = one, promise
    recording, index = beginning.place_of(frame)
    box = ",".join(f"{side:g}" for side in finding.marks[frame].box)
    return f"api/procedures/{quote(name, safe='')}/recordings/{recording}/frames/{index}.jpg?width={_WIDTH}&box={box}"


def _looks(finding: JudgedFinding, beginning: Beginning, times_s: Float64s) -> list[dict[str, Any]]:
    """Stretches in which a finding is in view, each of one recording."""
    frames = np.fromiter(finding.marks, np.int64)
    recordings = np.searchsorted(beginning.first_frames, frames, side="right") - 1
    ends = np.flatnonzero((np.diff(recordings) != 0) | (np.diff(times_s[frames]) > _GAP_S))
    firsts, lasts = frames[[0, *(ends + 1)]].tolist(), frames[[*ends, len(frames) - 1]].tolist()
    return [
        {
            "recording": recording,
            "first_frame": first - beginning.first_frames[recording],
            "last_frame": last - beginning.first_frames[recording],
            "first_s": round(beginning.times_s[first] - _start_s(beginning, recording), 6),
            "last_s": round(beginning.times_s[last] - _start_s(beginning, recording), 6),
        }
        for first, last in zip(firsts, lasts, strict=True)
        for recording in (beginning.place_of(first)[0],)
    ]


def _start_s(beginning: Beginning, recording: int) -> float:
    """When the first frame of a recording is shown, in seconds of the procedure."""
    return beginning.times_s[beginning.first_frames[recording]]
