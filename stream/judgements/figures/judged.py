"""Procedures that were judged, as figures are made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.reading.bounded import MALFORMED, read_json_bounded
from stream.judgements.reviewed import Reviewed, reviewed_in
from stream.judgements.state import JudgedFinding, ReviewState
from stream.judgements.store import FILE, JudgementStore

_LARGEST_REPORT = 1 << 26  # bytes


@dataclass(frozen=True, slots=True)
class JudgedProcedure:
    """A procedure that is judged to its end.

    Attributes:
        name: of it.
        readers: whose judgements count.
        findings: of it, those that are not judged among them.
        times_s: when each frame is shown, in seconds of the procedure.
        recording_s: length of its recordings in seconds.
        turning_s: when the endoscope turns, in seconds of the procedure; None where nobody said.
        withdrawal_s: length of the withdrawal in seconds; None where nobody said when it begins.
        first_alarms: index of the first frame in which the detector showed a finding, by its id; also where a reader
            corrected that box since.
    """

    name: str
    readers: tuple[str, ...]
    findings: tuple[JudgedFinding, ...]
    times_s: tuple[float, ...]
    recording_s: float
    turning_s: float | None
    withdrawal_s: float | None
    first_alarms: Mapping[str, int] = field(default_factory=dict)


def judged_procedures(
    results: Path, reports: Mapping[str, Path], *, reader: str | None = None
) -> tuple[list[JudgedProcedure], list[str]]:
    """Procedures of results that are judged to their end, and the names of the others.

    Args:
        results: folder that holds the judgements.
        reports: path of the `report.json` of each procedure by its name; the file need not be there.
        reader: the only one who counts; None for all who are done (`stream.judgements.reviewed` says how).

    Raises:
        InputError: the judgements cannot be read.
    """
    if not (results / FILE).is_file():
        return [], list(reports)
    judged: list[JudgedProcedure] = []
    others: list[str] = []
    with JudgementStore(results / FILE, only_read=True) as store:
        for name, report in reports.items():
            found = _judged(store, name, report, reader)
            if found is None:
                others.append(name)
            else:
                judged.append(found)
    return judged, others


def _judged(store: JudgementStore, name: str, report: Path, reader: str | None) -> JudgedProcedure | None:
    done = done_readers(store, name)
    if not done or (reader is not None and reader not in done):
        return None
    reviewed = reviewed_in(store, name, reader=reader)
    if reviewed is None:
        return None
    beginning = reviewed.beginning
    told = _times(report)
    turning_s = told.get("cecum_s") if reviewed.turning_point_s is None else reviewed.turning_point_s
    last = beginning.recordings[-1]
    end_s = last.start_s + last.duration_s
    return JudgedProcedure(
        name=name,
        readers=reviewed.readers,
        findings=tuple(one.finding for one in reviewed.findings),
        times_s=beginning.times_s,
        recording_s=sum(one.duration_s for one in beginning.recordings),
        turning_s=turning_s,
        withdrawal_s=_withdrawal_s(turning_s, told, end_s),
        first_alarms=_first_alarms(reviewed),
    )


def done_readers(store: JudgementStore, procedure: str) -> list[str]:
    """Names of those who are done with a procedure."""
    return [
        reader
        for reader in store.readers(procedure)
        if (history := store.history(procedure, reader)) is not None and history.state.state is ReviewState.DONE
    ]


def _first_alarms(reviewed: Reviewed) -> dict[str, int]:
    known = {one.id: one.marks for one in reviewed.beginning.findings}
    found: dict[str, int] = {}
    for one in reviewed.findings:
        detected = {
            frame
            for name in {*one.made_of, one.finding.id} & known.keys()
            for frame, mark in known[name].items()
            if mark.score is not None
        }
        if frames := detected & one.finding.marks.keys():
            found[one.finding.id] = min(frames)
    return found


def _withdrawal_s(turning_s: float | None, told: Mapping[str, float], end_s: float) -> float | None:
    """As the report says, where it knows the same turning point; otherwise until the endoscope leaves."""
    if turning_s is None:
        return None
    if turning_s == told.get("cecum_s") and "withdrawal_s" in told:
        return told["withdrawal_s"]
    return max(told.get("left_s", end_s) - turning_s, 0.0)


def _times(report: Path) -> dict[str, float]:
    """What a report says of the times of a procedure; nothing where there is none."""
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError, *MALFORMED):
        found = dict(read_json_bounded(report, most_bytes=_LARGEST_REPORT)["times"])
    return {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}


def with_verdict(findings: Iterable[JudgedFinding], verdict: str | None) -> list[JudgedFinding]:
    """Those of some findings that are judged so; None for those that are not judged."""
    return [one for one in findings if one.verdict == verdict]
