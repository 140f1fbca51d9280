"""Codes of FHIR resources: of LOINC and SNOMED CT where they say just this, our own words elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LOINC, _SNOMED, _UNITS = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
_CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"

#: A value of FHIR's JSON.
Json = dict[str, Any]

COLONOSCOPY = ("Colonoscopy study", _LOINC, "18746-8")
POLYP = ("Polyp of large intestine", _SNOMED, "399505005")  # of colon or rectum
SIZE = ("Polyp size, largest dimension", _SNOMED, "373197004")
PREPARATION = ("Boston bowel preparation scale finding", _SNOMED, "722819004")
#: What components and times are called; there is no code that says just this.
SCORE = "Confidence score of the detector, highest"
FIRST_SEEN, LAST_SEEN = "First seen, in the time of the recording", "Last seen, in the time of the recording"
IN_VIEW = "Time in view"
KIND = "Kind of polyp as the classifier sees it, probability"
WITHDRAWAL, NET_WITHDRAWAL, INSERTION = "Withdrawal time", "Withdrawal time, useful views only", "Insertion time"


def concept(text: str, *coding: tuple[str, str, str]) -> Json:
    """A CodeableConcept.

    Args:
        text: for people.
        coding: display, system and code of each code.
    """
    codes = [{"system": system, "code": code, "display": display} for display, system, code in coding]
    return {**({"coding": codes} if codes else {}), "text": text}


def snomed(coded: tuple[str, str] | None) -> list[tuple[str, str, str]]:
    """A code and its name in SNOMED CT, for `concept`; nothing where there is none."""
    return [] if coded is None else [(coded[1], _SNOMED, coded[0])]


def category(code: str) -> Json:
    """A category of observations, as in "imaging"."""
    return {"coding": [{"system": _CATEGORIES, "code": code}]}


def seconds(value: float) -> Json:
    """A length of time."""
    return {"valueQuantity": {"value": value, "unit": "s", "system": _UNITS, "code": "s"}}


def share(value: float) -> Json:
    """A number from 0 to 1."""
    return {"valueQuantity": {"value": value, "unit": "1", "system": _UNITS, "code": "1"}}


def component(text: str, value: Mapping[str, Any], *coding: tuple[str, str, str]) -> Json:
    """A component of an observation; coding as of `concept`."""
    return {"code": concept(text, *coding), **value}
