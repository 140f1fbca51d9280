"""FHIR bundles: what another program makes of them, and what they must not say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stream.judgements.lists import USUAL, JudgementLists
from stream.procedure.fhir import bundle_of, fhir_text

_UID = "1.2.826.0.1.3680043.8.498.1"
_FINDING = {
    "number": 1,
    "label": "polyp",
    "first_s": 1.5,
    "last_s": 4.0,
    "in_view_s": 2.5,
    "score_max": 0.93,
    "kind": {"adenoma": 0.8, "hyperplastic": 0.2},
}


def _contents(**changed: Any) -> dict[str, Any]:
    """What `report.json` holds of what a bundle says."""
    return {
        "made": "2026-01-02T10:15:00+00:00",
        "procedure": "exam-17",
        "recordings": [{"sha256": "ab", "study_instance_uid": _UID}, {"sha256": "cd", "study_instance_uid": _UID}],
        "times": {"insertion_s": None, "withdrawal_s": 400.5, "net_withdrawal_s": 300.25},
        "findings": [_FINDING, {**_FINDING, "number": 2, "kind": None}],
        "model": {"name": "polyp", "sha256": "12ab"},
        "classifier": None,
        "versions": {"polypstream": "0.1.0"},
        **changed,
    }


def _reviewed(**changed: Any) -> dict[str, Any]:
    """What `report.json` holds where two readers judged: one finding they added, and another they judged wrong."""
    said = {"verdict": "right", "kind": "serrated", "size": "6-9", "paris": "0-IIa", "nice": "1", "place": "cecum"}
    review = {"votes": {"Ann Secret": "right", "Bob Secret": "unsure"}, **said, "text": "of Mr Secret"}
    added = dict.fromkeys(("verdict", "place", "kind"), None) | {"votes": {}, "added": True}
    return _contents(
        findings=[
            {**_FINDING, "review": review},
            {**_FINDING, "number": 2, "score_max": None, "kind": None, "review": added},
        ],
        judged_wrong=[{**_FINDING, "number": 3, "review": {**review, "verdict": "wrong", "cause": "fold"}}],
        reviewed={"readers": ["Ann Secret", "Bob Secret"], "bbps": [2, 1, 3], "revision": 9},
        **changed,
    )


def _by_text(bundle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    observations = (one["resource"] for one in bundle["entry"])
    return {one["code"]["text"]: one for one in observations if one["resourceType"] == "Observation"}


@pytest.mark.parametrize(
    "contents",
    [
        _contents(),
        _contents(findings=[], times={}),
        _contents(recordings=[{"sha256": None}], model={"name": None}),
        _reviewed(),
        _reviewed() | {"reviewed": {"readers": ["Ann"], "bbps": [None, 1, None], "revision": 9}},
    ],
)
def test_another_program_reads_it(contents: dict[str, Any]) -> None:
    """Every resource holds what the standard demands of it, and nothing that it does not know (FHIR R4B)."""
    bundles = pytest.importorskip("fhir.resources.R4B.bundle", reason="needs fhir.resources")
    text = fhir_text(contents, USUAL)
    read = bundles.Bundle.model_validate_json(text)
    assert read.entry[0].resource.get_resource_type() == "DiagnosticReport"
    addresses = re.findall(r'"fullUrl": "(urn:uuid:[^"]+)"', text)
    assert len(set(addresses)) == len(addresses) == len(read.entry)
    referred = set(re.findall(r'"reference": "([^"]*)"', text))
    assert {*addresses[1:-1]} <= referred <= {*addresses}


def test_what_it_says() -> None:
    bundle = bundle_of(_contents(), USUAL)
    report, first, second, withdrawal, net, device = (one["resource"] for one in bundle["entry"])
    assert report["code"]["coding"] == [
        {"system": "http://loinc.org", "code": "18746-8", "display": "Colonoscopy study"}
    ]
    assert report["conclusion"].startswith("2 findings by software") and "not a medical device" in report["conclusion"]
    addresses = [one["fullUrl"] for one in bundle["entry"]]
    assert [one["reference"] for one in report["result"]] == addresses[1:5]
    assert report["imagingStudy"] == [
        {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{_UID}"}}
    ]
    assert {one["code"]["text"]: one["valueQuantity"]["value"] for one in first["component"]} == {
        "Confidence score of the detector, highest": 0.93,
        "First seen, in the time of the recording": 1.5,
        "Last seen, in the time of the recording": 4.0,
        "Time in view": 2.5,
        "Kind of polyp as the classifier sees it, probability: adenoma": 0.8,
        "Kind of polyp as the classifier sees it, probability: hyperplastic": 0.2,
    }
    assert len(second["component"]) == 4
    assert (withdrawal["valueQuantity"]["value"], net["valueQuantity"]["value"]) == (400.5, 300.25)
    assert {one["device"]["reference"] for one in (first, second, withdrawal, net)} == {addresses[-1]}
    assert device["version"][1]["value"] == "polyp, sha256 12ab"


def test_what_people_said() -> None:
    bundle = bundle_of(_reviewed(), USUAL)
    found = _by_text(bundle)
    lesion, added = found["polyp 1, found by software"], found["polyp 2, added by a reader"]
    assert lesion["bodySite"] == {
        "coding": [{"system": "http://snomed.info/sct", "code": "32713005", "display": "Cecum structure"}],
        "text": "Cecum",
    }
    said = {
        one["code"]["text"]: one["valueCodeableConcept"]["text"]
        for one in lesion["component"]
        if "valueCodeableConcept" in one
    }
    assert said == {
        "Judgement of readers": "A polyp",
        "Kind of lesion as readers see it": "Sessile serrated lesion",
        "Size of the lesion, estimated by readers": "6 to 9 mm",
        "Paris classification": "0-IIa slightly elevated",
        "NICE classification": "NICE 1",
    }
    assert lesion["note"][0]["text"].endswith("Judged by 2 readers, not named here; not verified.")
    # The software did not see what a reader added, and nobody judged that.
    assert "device" not in added and "bodySite" not in added and len(added["component"]) == 3
    assert added["note"][0]["text"].endswith("Nobody has judged this result.")
    scale = found["Boston Bowel Preparation Scale, total"]
    assert scale["valueInteger"] == 6 and "device" not in scale
    assert {one["code"]["text"][32:]: one["valueInteger"] for one in scale["component"]} == {
        "right colon": 2,
        "transverse colon": 1,
        "left colon": 3,
    }
    assert "polyp 3, found by software" not in found
    conclusion = bundle["entry"][0]["resource"]["conclusion"]
    assert conclusion.startswith("2 findings by software and 2 readers; 1 finding judged wrong left out. Research")


def test_a_part_of_the_scale_has_no_total() -> None:
    part = _reviewed() | {"reviewed": {"readers": ["Ann"], "bbps": [None, 1, None], "revision": 9}}
    scale = _by_text(bundle_of(part, USUAL))["Boston Bowel Preparation Scale, total"]
    assert "valueInteger" not in scale and [one["valueInteger"] for one in scale["component"]] == [1]
    without = _reviewed() | {"reviewed": {"readers": ["Ann"], "bbps": None, "revision": 9}}
    assert "Boston" not in fhir_text(without, USUAL)


def test_values_of_own_lists() -> None:
    """A code of SNOMED CT stands only where the list means what the code says."""
    own = JudgementLists({**USUAL.values, "place": {"cecum": "Cecal pouch"}, "size": {"large": "20 mm and more"}})
    contents = _reviewed()
    contents["findings"][0]["review"].update(size="large")
    lesion = _by_text(bundle_of(contents, own))["polyp 1, found by software"]
    assert lesion["bodySite"] == {"text": "Cecal pouch"}
    assert "20 mm and more" in json.dumps(lesion)


@pytest.mark.parametrize("contents", [_contents(), _reviewed()])
def test_nobody_is_named_and_nothing_is_final(contents: dict[str, Any]) -> None:
    text = fhir_text(contents, USUAL)
    for word in ("subject", "Patient", "effective", "performer", "Practitioner", "final"):
        assert f'"{word}' not in text, word
    assert "Secret" not in text
    assert {one["resource"].get("status", "preliminary") for one in json.loads(text)["entry"]} == {"preliminary"}


def test_the_same_report_gives_the_same_bundle() -> None:
    assert fhir_text(_contents(), USUAL) == fhir_text(_contents(), USUAL)
    one, other = bundle_of(_contents(), USUAL), bundle_of(_contents(procedure="b"), USUAL)
    assert one["entry"][0]["fullUrl"] != other["entry"][0]["fullUrl"]
