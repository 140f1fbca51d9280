"""Checks a change before it is written down: it names what is there, and its values are ones that can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import InputError
from engine.reading.bounded import MALFORMED, number, reason_of, shortened, whole_number
from stream.judgements.lists import JudgementLists
from stream.judgements.state import JUDGED, Beginning, JudgedFinding, Judgements, ReviewState

_LONGEST_TEXT = 4000
_MOST_BOXES = 10_000
_SMALLEST_SIDE = 1.0  # pixels


def check_change(beginning: Beginning, state: Judgements, change: Any, lists: JudgementLists) -> dict[str, Any]:
    """A change as it is written down.

    Args:
        beginning: of the review.
        state: before the change, as far as the reader may see it.
        change: as it came.
        lists: that values are chosen from.

    Raises:
        InputError: it cannot be made; the message says why.
    """
    if not isinstance(change, dict) or change.get("do") not in _CHECKS:
        names = ", ".join([*_CHECKS, "undo", "redo"])
        raise InputError(f"a change must say what to do, one of {names}. Received: {shortened(change)}")
    checker = _Checker(beginning, state, lists)
    try:
        return {"do": change["do"], **_CHECKS[change["do"]](checker, change)}
    except InputError:
        raise
    except MALFORMED as error:
        raise InputError(f"the change {change['do']!r} cannot be made: {reason_of(error)}") from error


class _Checker:
    def __init__(self, beginning: Beginning, state: Judgements, lists: JudgementLists) -> None:
        self._beginning, self._state, self._lists = beginning, state, lists

    def judge(self, change: Mapping[str, Any]) -> dict[str, Any]:
        finding, name, value = self._finding(change["finding"]), change["field"], change["value"]
        if name == "text":
            if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
                raise ValueError(f"a text has at most {_LONGEST_TEXT} characters")
        elif name not in JUDGED:
            raise ValueError(f"there is no field {shortened(name)}; the fields are {', '.join((*JUDGED, 'text'))}")
        elif value is not None and (not isinstance(value, str) or value not in self._lists.values[name]):
            raise ValueError(
                f"{name} has no value {shortened(value)}; the values are {', '.join(self._lists.values[name])}"
            )
        if name == "cause" and value is not None and finding.verdict != "wrong":
            raise ValueError(f"finding {finding.id} is not judged wrong; say that first, then why")
        return {"finding": finding.id, "field": name, "value": value}

    def box(self, change: Mapping[str, Any]) -> dict[str, Any]:
        recording = self._recording(change)
        return {
            "finding": self._finding(change["finding"]).id,
            "recording": recording,
            "frame": self._frame(recording, change["frame"]),
            "box": self._box(recording, change["box"]),
        }

    def delete_boxes(self, change: Mapping[str, Any]) -> dict[str, Any]:
        finding, found = self._span(change)
        first, last = self._of_procedure(found, "first"), self._of_procedure(found, "last")
        left = [frame for frame in finding.marks if not first <= frame <= last]
        if len(left) == len(finding.marks):
            raise ValueError(f"finding {finding.id} has no box in these frames")
        if not left:
            raise ValueError(f"finding {finding.id} would be left without any box; judge it wrong, or remove it")
        return found

    def interpolate(self, change: Mapping[str, Any]) -> dict[str, Any]:
        finding, found = self._span(change)
        for name in ("first", "last"):
            if self._of_procedure(found, name) not in finding.marks:
                raise ValueError(f"finding {finding.id} has no box in frame {found[name]}; draw one there first")
        return found

    def join(self, change: Mapping[str, Any]) -> dict[str, Any]:
        named = change["findings"]
        if not isinstance(named, list) or len(named) < 2:
            raise ValueError("two findings or more are joined")
        found = [self._finding(one).id for one in named]
        if len(set(found)) < len(found):
            raise ValueError("a finding cannot be joined to itself")
        return {"findings": found}

    def split(self, change: Mapping[str, Any]) -> dict[str, Any]:
        finding, recording = self._finding(change["finding"]), self._recording(change)
        found = {"finding": finding.id, "recording": recording, "frame": self._frame(recording, change["frame"])}
        if not finding.first_frame < self._of_procedure(found, "frame") <= finding.last_frame:
            raise ValueError(f"finding {finding.id} is not seen on both sides of frame {found['frame']}")
        return found

    def add(self, change: Mapping[str, Any]) -> dict[str, Any]:
        recording, boxes = self._recording(change), change["boxes"]
        if not isinstance(boxes, dict) or not 1 <= len(boxes) <= _MOST_BOXES:
            raise ValueError(f"a finding is added with 1 to {_MOST_BOXES} boxes, by frame")
        if not isinstance(change.get("refine", False), bool):
            raise ValueError(f"refine must be true or false. Received: {shortened(change['refine'])}")
        drawn = {self._frame(recording, int(frame)): self._box(recording, box) for frame, box in boxes.items()}
        return {"recording": recording, "boxes": {str(frame): box for frame, box in sorted(drawn.items())}}

    def remove(self, change: Mapping[str, Any]) -> dict[str, Any]:
        finding = self._finding(change["finding"])
        if not finding.added:
            raise ValueError(f"finding {finding.id} was detected and is not removed; judge it wrong")
        return {"finding": finding.id}

    def turning_point(self, change: Mapping[str, Any]) -> dict[str, Any]:
        if "recording" not in change and "time_s" not in change:
            return {}
        recording = self._recording(change)
        longest_s = self._beginning.recordings[recording].duration_s
        return {"recording": recording, "time_s": number("time_s", change["time_s"], 0, longest_s)}

    def bbps(self, change: Mapping[str, Any]) -> dict[str, Any]:
        value = change["value"]
        if value is not None:
            if not isinstance(value, list) or len(value) != 3:
                raise ValueError("the Boston scale has three values: right, transverse and left colon")
            for one in value:
                if one is not None:
                    whole_number("a value of the Boston scale", one, 0, 3)
        return {"value": value}

    def state(self, change: Mapping[str, Any]) -> dict[str, Any]:
        return {"value": ReviewState(change["value"]).value}

    def _finding(self, key: Any) -> JudgedFinding:
        found = self._state.findings.get(key) if isinstance(key, str) else None
        if found is None:
            raise ValueError(f"there is no finding {shortened(key)}")
        return found

    def _recording(self, change: Mapping[str, Any]) -> int:
        return whole_number("recording", change["recording"], 0, len(self._beginning.recordings) - 1)

    def _frame(self, recording: int, frame: Any, name: str = "frame") -> int:
        return whole_number(name, frame, 0, self._beginning.recordings[recording].frames - 1)

    def _of_procedure(self, found: Mapping[str, Any], name: str) -> int:
        return self._beginning.first_frames[int(found["recording"])] + int(found[name])

    def _span(self, change: Mapping[str, Any]) -> tuple[JudgedFinding, dict[str, Any]]:
        finding, recording = self._finding(change["finding"]), self._recording(change)
        first = self._frame(recording, change["first"], "first")
        last = self._frame(recording, change["last"], "last")
        if last < first:
            raise ValueError(f"last ({last}) lies before first ({first})")
        return finding, {"finding": finding.id, "recording": recording, "first": first, "last": last}

    def _box(self, recording: int, box: Any) -> list[float]:
        shape = self._beginning.recordings[recording]
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError(f"a box is [x0, y0, x1, y1]. Received: {shortened(box)}")
        limits = (shape.width, shape.height) * 2
        x0, y0, x1, y1 = (
            round(number("a side of the box", side, 0, limit), 2) for side, limit in zip(box, limits, strict=True)
        )
        if min(x1 - x0, y1 - y0) < _SMALLEST_SIDE:
            raise ValueError(f"a box is at least a pixel wide and high. Received: {shortened(box)}")
        return [x0, y0, x1, y1]


_CHECKS: Mapping[str, Callable[[_Checker, Mapping[str, Any]], dict[str, Any]]] = {
    "judge": _Checker.judge,
    "box": _Checker.box,
    "delete_boxes": _Checker.delete_boxes,
    "interpolate": _Checker.interpolate,
    "join": _Checker.join,
    "split": _Checker.split,
    "add": _Checker.add,
    "remove": _Checker.remove,
    "turning_point": _Checker.turning_point,
    "bbps": _Checker.bbps,
    "state": _Checker.state,
}
