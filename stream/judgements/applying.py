"""What each change does to the state of a review. Pure: nothing is looked up and nothing fails on a checked change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from stream.judgements.state import (
    BETWEEN,
    DRAWN,
    JUDGED,
    Beginning,
    Box,
    JudgedFinding,
    Judgements,
    Mark,
    ReviewState,
    TurningPoint,
)

Change = Mapping[str, Any]


def apply(beginning: Beginning, state: Judgements, change: Change) -> Judgements:
    """The state after a change.

    Args:
        beginning: of the review.
        state: before.
        change: that was checked by `check_change`.
    """
    after = _APPLY[change["do"]](beginning, state, change)
    if after.state is ReviewState.NEW and change["do"] != "state":
        return replace(after, state=ReviewState.IN_REVIEW)
    return after


def between(marks: Mapping[int, Mark], first: int, last: int) -> dict[int, Mark]:
    """Marks of all frames from `first` to `last`: what the reader drew stays, and lies on straight lines in between.

    Args:
        marks: that hold one at both ends.
        first: index of the first frame.
        last: index of the last frame.
    """
    anchors = [
        frame
        for frame, mark in marks.items()
        if first <= frame <= last and (frame in (first, last) or mark.flags == DRAWN)
    ]
    found = {frame: marks[frame] for frame in anchors}
    for left, right in pairwise(anchors):
        for frame in range(left + 1, right):
            share = (frame - left) / (right - left)
            found[frame] = Mark(_mixed(marks[left].box, marks[right].box, share), None, BETWEEN | DRAWN)
    return dict(sorted(found.items()))


def _mixed(one: Box, other: Box, share: float) -> Box:
    x0, y0, x1, y1 = (round(a + (b - a) * share, 2) for a, b in zip(one, other, strict=True))
    return x0, y0, x1, y1


def _frame(beginning: Beginning, change: Change, name: str) -> int:
    return beginning.first_frames[change["recording"]] + int(change[name])


def _with(state: Judgements, *findings: JudgedFinding) -> Judgements:
    return replace(state, findings={**state.findings, **{one.id: one for one in findings}})


def _judge(_: Beginning, state: Judgements, change: Change) -> Judgements:
    name, value = change["field"], change["value"]
    finding = replace(state.findings[change["finding"]], **{name: value})
    if name == "verdict" and value != "wrong":
        finding = replace(finding, cause=None)
    return _with(state, finding)


def _box(beginning: Beginning, state: Judgements, change: Change) -> Judgements:
    finding = state.findings[change["finding"]]
    x0, y0, x1, y1 = change["box"]
    marks = {**finding.marks, _frame(beginning, change, "frame"): Mark((x0, y0, x1, y1), None, DRAWN)}
    return _with(state, replace(finding, marks=dict(sorted(marks.items()))))


def _delete_boxes(beginning: Beginning, state: Judgements, change: Change) -> Judgements:
    finding = state.findings[change["finding"]]
    first, last = _frame(beginning, change, "first"), _frame(beginning, change, "last")
    marks = {frame: mark for frame, mark in finding.marks.items() if not first <= frame <= last}
    return _with(state, replace(finding, marks=marks))


def _interpolate(beginning: Beginning, state: Judgements, change: Change) -> Judgements:
    finding = state.findings[change["finding"]]
    first, last = _frame(beginning, change, "first"), _frame(beginning, change, "last")
    marks = {**finding.marks, **between(finding.marks, first, last)}
    return _with(state, replace(finding, marks=dict(sorted(marks.items()))))


def _join(_: Beginning, state: Judgements, change: Change) -> Judgements:
    parts = [state.findings[key] for key in change["findings"]]
    marks: dict[int, Mark] = {}
    for part in parts:
        for frame, mark in part.marks.items():
            if frame not in marks or _rank(mark) > _rank(marks[frame]):
                marks[frame] = mark
    said: dict[str, Any] = {
        name: next((value for one in parts if (value := getattr(one, name))), None) for name in JUDGED
    }
    if said["verdict"] != "wrong":
        said["cause"] = None
    joined = replace(
        parts[0],
        added=all(one.added for one in parts),
        marks=dict(sorted(marks.items())),
        text=next((one.text for one in parts if one.text), ""),
        **said,
    )
    rest = {key: one for key, one in state.findings.items() if key not in change["findings"][1:]}
    return replace(state, findings={**rest, joined.id: joined})


def _rank(mark: Mark) -> tuple[bool, float]:
    """Of two marks in one frame the one that was drawn stays, or the surer one."""
    return mark.flags == DRAWN, mark.score or 0.0


def _split(beginning: Beginning, state: Judgements, change: Change) -> Judgements:
    finding, start = state.findings[change["finding"]], _frame(beginning, change, "frame")
    before = {frame: mark for frame, mark in finding.marks.items() if frame < start}
    after = {frame: mark for frame, mark in finding.marks.items() if frame >= start}
    new = JudgedFinding(_next_id(state), finding.added, after)
    return replace(_with(state, replace(finding, marks=before), new), made=state.made + 1)


def _add(beginning: Beginning, state: Judgements, change: Change) -> Judgements:
    offset = beginning.first_frames[change["recording"]]
    drawn: dict[int, Mark] = {}
    for frame, (x0, y0, x1, y1) in change["boxes"].items():
        drawn[offset + int(frame)] = Mark((x0, y0, x1, y1), None, DRAWN)
    drawn = dict(sorted(drawn.items()))
    marks = between(drawn, min(drawn), max(drawn))
    for frame, (x0, y0, x1, y1, score) in change.get("refined", {}).items():
        marks[offset + int(frame)] = Mark((x0, y0, x1, y1), score, 0)
    new = JudgedFinding(_next_id(state), True, marks, verdict="right")
    return replace(_with(state, new), made=state.made + 1)


def _next_id(state: Judgements) -> str:
    # It tells nothing of how many the detector found: a reader may not know that yet.
    return f"n{state.made + 1}"


def _remove(_: Beginning, state: Judgements, change: Change) -> Judgements:
    return replace(state, findings={key: one for key, one in state.findings.items() if key != change["finding"]})


def _turning_point(_: Beginning, state: Judgements, change: Change) -> Judgements:
    told = "recording" in change
    return replace(state, turning_point=TurningPoint(change["recording"], change["time_s"]) if told else None)


def _bbps(_: Beginning, state: Judgements, change: Change) -> Judgements:
    value = change["value"]
    return replace(state, bbps=None if value is None else (value[0], value[1], value[2]))


def _state(_: Beginning, state: Judgements, change: Change) -> Judgements:
    return replace(state, state=ReviewState(change["value"]))


_APPLY: Mapping[str, Callable[[Beginning, Judgements, Change], Judgements]] = {
    "judge": _judge,
    "box": _box,
    "delete_boxes": _delete_boxes,
    "interpolate": _interpolate,
    "join": _join,
    "split": _split,
    "add": _add,
    "remove": _remove,
    "turning_point": _turning_point,
    "bbps": _bbps,
    "state": _state,
}
