"""What a report says, ready for JSON: findings, times, and what they were made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.bundle import RECORD
from engine.errors import SourceError
from engine.sealing.identity import installed_bundle
from stream.instruments.moments import how_well
from stream.judgements.reviewed import Reviewed, ReviewedFinding
from stream.judgements.state import JUDGED
from stream.procedure.findings import Finding
from stream.procedure.reading import Procedure
from stream.procedure.times import Times
from stream.sources.containers.dicom.objects import read_object
from stream.sources.containers.dicom.preamble import is_dicom

PICTURES = "findings"
"""Name of the folder, in that of a report, that holds its pictures."""

STUDY_UID = "study_instance_uid"
"""Entry of a recording that is a DICOM object: the UID of its study."""

NOT_TOLD = (
    "Where the endoscope turns is not found: insertion and withdrawal are told where the turning point was given.",
    "A lesion that comes back looks the same from another side only to people: it may be listed twice.",
)
"""What the report cannot say, in sentences."""


def picture_name(number: int, *, marked: bool = False) -> str:
    """Where the picture of a finding stands in the folder of a report."""
    return f"{PICTURES}/{number:02d}{'-marked' if marked else ''}.jpg"


def report_of(
    procedure: Procedure,
    findings: Sequence[Finding],
    times: Times,
    *,
    turn_from: str | None = None,
    reviewed: Reviewed | None = None,
    not_told: Sequence[str] = (),
) -> dict[str, Any]:
    """The contents of a report.

    Args:
        procedure: of which.
        findings: of it; those that are judged wrong last.
        times: of it.
        turn_from: who says where the endoscope turns: "option", "review" or "list"; None where nobody does.
        reviewed: what reviews say; None where nobody judged it.
        not_told: more sentences about what the report cannot say.

    Returns:
        `procedure`, `recordings`, `times`, `shares`, `findings`, `judged_wrong`, `reviewed`, and what it was made with.
    """
    record = procedure.record
    settings = record.get("settings") or {}
    return {
        "procedure": procedure.name,
        "recordings": [
            {
                "name": one.name,
                "path": str(one.path),
                "start_s": _rounded(one.start_s),
                "duration_s": _rounded(one.duration_s),
                "frames": one.frames,
                "size_bytes": one.size_bytes,
                "sha256": one.sha256,
                **_study_of(one.path),
            }
            for one in procedure.recordings
        ],
        "listed": record.get("listed") or {},
        "times": {
            "recording_s": _rounded(times.recording_s),
            "entered_s": _rounded(times.entered_s),
            "left_s": _rounded(times.left_s),
            "inside_s": _rounded(times.inside_s),
            "cecum_s": _rounded(times.cecum_s),
            "cecum_from": turn_from,
            "insertion_s": _rounded(times.insertion_s),
            "withdrawal_s": _rounded(times.withdrawal_s),
            "net_withdrawal_s": _rounded(times.net_withdrawal_s),
            "not_counted_s": {one.value: _rounded(seconds) for one, seconds in times.not_counted_s.items()},
        },
        "shares": {one.value: round(share, 5) for one, share in times.shares.items()},
        "findings": [_finding(one, procedure, times) for one in findings if not one.is_wrong],
        "judged_wrong": [_finding(one, procedure, times) for one in findings if one.is_wrong],
        "reviewed": None
        if reviewed is None
        else {
            "readers": list(reviewed.readers),
            "bbps": None if reviewed.bbps is None else list(reviewed.bbps),
            "revision": reviewed.revision,
        },
        "not_told": [_of_instruments(record), *NOT_TOLD, *not_told],
        "model": model_facts(record),
        "classifier": _named(record.get("classifier")),
        "instruments": _instruments(record),
        "threshold": settings.get("threshold"),
        "decision": record.get("decision"),
        "decided_by": record.get("decided_by"),
        "runtime": _runtime(record),
        "looked_at": record.get("started"),
        "versions": record.get("versions") or {},
    }


def _study_of(path: Path) -> dict[str, str]:
    """The UID of the study that a recording belongs to, where it is a DICOM object that says so."""
    if not is_dicom(path):
        return {}
    try:
        uid = read_object(path).text("StudyInstanceUID")
    except SourceError:
        return {}
    return {STUDY_UID: uid} if uid else {}


def model_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """The model of a run by name and checksum, and its figures where the same model is installed here."""
    named = _named(record.get("model")) or {"name": None, "sha256": None}
    return {**named, "figures": _figures(record.get("model") or {})}


def _named(model: Any) -> dict[str, Any] | None:
    if not isinstance(model, dict):
        return None
    files = model.get("files")
    return {"name": model.get("name"), "sha256": files.get(RECORD) if isinstance(files, dict) else None}


def _instruments(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The model that told instruments; None where none did."""
    told = record.get("instruments")
    named = _named(told)
    if told is None or named is None:
        return None
    return {**named, "threshold": told.get("threshold"), "figures": told.get("figures")}


def _of_instruments(record: Mapping[str, Any]) -> str:
    told = record.get("instruments")
    if not isinstance(told, dict):
        return "Instruments and washing are not recognised: moments with them count as what else they show."
    well = how_well(told)
    figures = "" if well is None else f" ({well})"
    return (
        f"Instruments are told by a model that errs{figures}, and by most of five looks in 2.5 seconds. Those that it "
        "misses, and washing, which is not recognised, count as what else such moments show."
    )


def _figures(model: Mapping[str, Any]) -> str | None:
    bundle = installed_bundle(model)
    if bundle is None:
        return None
    found = (bundle.record.get("metrics") or {}).get("validation") or {}
    try:
        text = (
            f"precision {found['centroid_precision']:.3f} and recall {found['centroid_recall']:.3f} by the centre of "
            f"boxes on {found['polyps']} polyps in {found['frames']} validation frames at threshold "
            f"{found['threshold']:.2f}"
        )
        quiet = found.get("quiet_share_of_frames_without_polyp")
        if quiet is not None:
            text += f"; {quiet:.1%} of {found['frames_without_polyp']} frames without polyp stay quiet"
    except (KeyError, TypeError, ValueError):
        return None
    return text


def _runtime(record: Mapping[str, Any]) -> str | None:
    runtime = record.get("runtime")
    if not isinstance(runtime, dict):
        listed = record.get("recordings")
        runtime = listed[0].get("runtime") if isinstance(listed, list) and listed else None
    if not isinstance(runtime, dict):
        return None
    return f"{runtime.get('library')}, {runtime.get('precision')}, {runtime.get('device')}"


def _finding(finding: Finding, procedure: Procedure, times: Times) -> dict[str, Any]:
    return {
        "number": finding.number,
        "label": finding.label,
        "tracks": list(finding.track_ids),
        **({"parts": _parts(finding, procedure)} if finding.reviewed is None else {}),
        "first_s": _rounded(finding.first_s),
        "last_s": _rounded(finding.last_s),
        "in_view_s": _rounded(finding.in_view_s),
        "looks": len(finding.looks),
        "looks_s": [[_rounded(start), _rounded(end)] for start, end in finding.looks],
        "phase": _phase(finding, times.cecum_s),
        "score_max": round(finding.best_score, 4) if finding.was_detected else None,
        "score_mean": round(finding.mean_score, 4) if finding.was_detected else None,
        "kind": {name: round(share, 4) for name, share in finding.classes.items()} or None,
        "best_frame": finding.picture.frame,
        "best_time_s": _rounded(finding.picture.time_s),
        "picture": picture_name(finding.number),
        "picture_marked": picture_name(finding.number, marked=True),
        "review": None if finding.reviewed is None else _review(finding.reviewed),
    }


def _parts(finding: Finding, procedure: Procedure) -> list[list[int]]:
    """The parts of tracks that a finding is made of: number of the track, first and last frame."""
    own = {(seen.detection.track_id, seen.frame) for seen in finding.sightings}
    parts: list[list[int]] = []
    for track in finding.track_ids:
        going_on = False
        for seen in procedure.tracks[track]:
            if (track, seen.frame) not in own:
                going_on = False
            elif going_on:
                parts[-1][2] = seen.frame
            else:
                parts.append([track, seen.frame, seen.frame])
                going_on = True
    return parts


def _review(reviewed: ReviewedFinding) -> dict[str, Any]:
    finding = reviewed.finding
    return {
        "id": finding.id,
        "added": finding.added,
        "detected_as": list(reviewed.made_of),
        "votes": dict(reviewed.votes),
        **{name: getattr(finding, name) for name in JUDGED},
        "text": finding.text,
    }


def _phase(finding: Finding, cecum_s: float | None) -> str | None:
    """In which part of the procedure a finding was in view; None where the turning point is not known."""
    if cecum_s is None:
        return None
    if finding.first_s < cecum_s < finding.last_s:
        return "insertion and withdrawal"
    return "insertion" if finding.last_s <= cecum_s else "withdrawal"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
