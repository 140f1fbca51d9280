"""FHIR bundles: what another program makes of them, and what they must not say."""

from __future__ import annotations

import json
from typing import Any

import pytest

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


@pytest.mark.parametrize(
    "changed", [{}, {"findings": [], "times": {}}, {"recordings": [{"sha256": None}], "model": {"name": None}}]
)
def test_another_program_reads_it(changed: dict[str, Any]) -> None:
    """Every resource holds what the standard demands of it, and nothing that it does not know (FHIR R4B)."""
    bundles = pytest.importorskip("fhir.resources.R4B.bundle", reason="needs fhir.resources")
    read = bundles.Bundle.model_validate_json(fhir_text(_contents(**changed)))
    assert read.entry[0].resource.get_resource_type() == "DiagnosticReport"


def test_what_it_says() -> None:
    bundle = bundle_of(_contents())
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


def test_nobody_is_invented_and_nothing_is_final() -> None:
    text = fhir_text(_contents())
    for word in ("subject", "Patient", "effective", "performer", "Practitioner", "final"):
        assert f'"{word}' not in text, word
    assert {one["resource"].get("status", "preliminary") for one in json.loads(text)["entry"]} == {"preliminary"}


def test_the_same_report_gives_the_same_bundle() -> None:
    assert fhir_text(_contents()) == fhir_text(_contents())
    assert bundle_of(_contents())["entry"][0]["fullUrl"] != bundle_of(_contents(procedure="b"))["entry"][0]["fullUrl"]
