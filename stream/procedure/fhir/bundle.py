"""A FHIR Bundle of what a report says: the report, its findings and times, and the program that found them.

It names no patient, no date and no person: a report knows none, and readers are counted only. What they judged wrong is
left out. Everything is preliminary, judged or not: nobody has answered for it. Where a recording says so by its DICOM
tags, its study is referred to by UID.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from engine.command_line import counted
from stream.judgements.lists import JudgementLists
from stream.procedure.contents import STUDY_UID
from stream.procedure.fhir.codes import (
    COLONOSCOPY,
    FIRST_SEEN,
    IN_VIEW,
    INSERTION,
    KIND,
    LAST_SEEN,
    NET_WITHDRAWAL,
    POLYP,
    PREPARATION,
    SCORE,
    SIZE,
    WITHDRAWAL,
    Json,
    category,
    component,
    concept,
    seconds,
    share,
    snomed,
)
from stream.procedure.judged_values import (
    BBPS,
    bowel_preparation,
    judged_place,
    judged_values,
    total_preparation,
)

NOTICE = "Research software, not a medical device. Not for diagnosis."
#: Fields of a judgement that have a code. Neither Paris nor NICE has one.
_CODED = {"size": (SIZE,)}
_TIMES = {"insertion_s": INSERTION, "withdrawal_s": WITHDRAWAL, "net_withdrawal_s": NET_WITHDRAWAL}


def fhir_text(contents: Mapping[str, Any], lists: JudgementLists) -> str:
    """The bundle of a report as JSON text; arguments as of `bundle_of`."""
    return json.dumps(bundle_of(contents, lists), indent=2, allow_nan=False) + "\n"


def bundle_of(contents: Mapping[str, Any], lists: JudgementLists) -> Json:
    """A Bundle (FHIR R4, a collection) of what `report.json` says.

    Args:
        contents: of `report.json`.
        lists: texts of the values that judgements are chosen from.

    Returns:
        A DiagnosticReport, an Observation for each finding, for the bowel preparation and each time, and a Device.
        Their addresses (`urn:uuid:`) follow from the contents: the same report gives the same bundle.
    """
    made = contents["made"]
    seed = json.dumps(
        [contents["procedure"], made, [one["sha256"] for one in contents["recordings"]]], ensure_ascii=False
    )
    device = _Entry(seed, "device", _device(contents))
    observations = [
        _Entry(seed, f"finding {one['number']}", _finding(one, device, lists)) for one in contents["findings"]
    ]
    if bowel_preparation(contents):
        observations.append(_Entry(seed, "bbps", _preparation(contents)))
    for name, text in _TIMES.items():
        if contents["times"].get(name) is not None:
            observations.append(_Entry(seed, name, _time(text, contents["times"][name], device)))
    report = _Entry(seed, "report", _report(contents, observations))
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": made,
        "entry": [one.entry for one in (report, *observations, device)],
    }


class _Entry:
    """A resource at its address."""

    def __init__(self, seed: str, name: str, resource: Json) -> None:
        self.address = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{seed} {name}')}"
        self.entry: Json = {"fullUrl": self.address, "resource": resource}

    @property
    def reference(self) -> Json:
        return {"reference": self.address}


def _report(contents: Mapping[str, Any], observations: Sequence[_Entry]) -> Json:
    studies = dict.fromkeys(one[STUDY_UID] for one in contents["recordings"] if one.get(STUDY_UID))
    report: Json = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "code": concept("Polyps found by software in a colonoscopy video", COLONOSCOPY),
        "issued": contents["made"],
        "conclusion": _conclusion(contents),
        "identifier": [{"value": contents["procedure"]}],
    }
    if observations:
        report["result"] = [one.reference for one in observations]
    if studies:
        report["imagingStudy"] = [
            {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}}
            for uid in studies
        ]
    return report


def _conclusion(contents: Mapping[str, Any]) -> str:
    count, wrong = len(contents["findings"]), len(contents.get("judged_wrong") or ())
    readers = len((contents.get("reviewed") or {}).get("readers") or ())
    found = f"{counted(count, 'finding') if count else 'no finding'} by software"
    if readers:
        found += f" and {counted(readers, 'reader')}"
    if wrong:
        found += f"; {counted(wrong, 'finding')} judged wrong left out"
    return f"{found}. {NOTICE} {_judged_by(readers)}"


def _judged_by(readers: int) -> str:
    """That what is said stands without a name, whoever judged it."""
    if not readers:
        return "Nobody has judged this result."
    return f"Judged by {counted(readers, 'reader')}, not named here; not verified."


def _finding(finding: Mapping[str, Any], device: _Entry, lists: JudgementLists) -> Json:
    times = {FIRST_SEEN: finding["first_s"], LAST_SEEN: finding["last_s"], IN_VIEW: finding["in_view_s"]}
    kinds = (finding.get("kind") or {}).items()
    score = finding["score_max"]  # None where a reader added it, and the detector did not see it
    place = judged_place(finding, lists)
    readers = len((finding.get("review") or {}).get("votes") or ())
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [category("imaging")],
        "code": concept(
            f"{finding['label']} {finding['number']}, {'added by a reader' if score is None else 'found by software'}",
            POLYP,
        ),
        "valueString": f"{finding['label']} in view" + ("" if score is None else f", score {score:.2f}"),
        **({} if place is None else {"bodySite": concept(place.text, *snomed(place.snomed))}),
        **({} if score is None else {"device": device.reference}),
        "note": [{"text": f"{NOTICE} {_judged_by(readers)}"}],
        "component": [
            *([] if score is None else [component(SCORE, share(score))]),
            *(component(text, seconds(value)) for text, value in times.items()),
            *(component(f"{KIND}: {name}", share(value)) for name, value in kinds),
            *(
                component(one.title, {"valueCodeableConcept": concept(one.text)}, *_CODED.get(one.field, ()))
                for one in judged_values(finding, lists)
            ),
        ],
    }


def _preparation(contents: Mapping[str, Any]) -> Json:
    total = total_preparation(contents)
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [category("exam")],
        "code": concept(f"{BBPS}, total", PREPARATION),
        **({} if total is None else {"valueInteger": total}),
        "component": [
            component(f"{BBPS}, {segment}", {"valueInteger": points})
            for segment, points in bowel_preparation(contents).items()
        ],
    }


def _time(text: str, value: float, device: _Entry) -> Json:
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [category("procedure")],
        "code": concept(text),
        "device": device.reference,
        **seconds(value),
    }


def _device(contents: Mapping[str, Any]) -> Json:
    named = [("model", contents.get("model")), ("classifier", contents.get("classifier"))]
    program = contents.get("versions", {}).get("polypstream", "unknown")
    versions = [
        {"type": concept("program"), "value": f"polypstream {program}"},
        *(
            {"type": concept(what), "value": f"{one['name']}, sha256 {one.get('sha256') or 'unknown'}"}
            for what, one in named
            if one and one.get("name")
        ),
    ]
    return {
        "resourceType": "Device",
        "deviceName": [{"name": "polypstream", "type": "user-friendly-name"}],
        "type": concept("Software that detects polyps in endoscopy video"),
        "version": versions,
        "note": [{"text": NOTICE}],
    }
