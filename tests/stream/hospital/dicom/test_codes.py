"""Codes mean what the dictionaries of their vocabularies say."""

from __future__ import annotations

import pytest

pytest.importorskip("highdicom", reason="needs polypstream[dicom]")
from pydicom.sr.coding import Code

from stream.hospital.deidentify.writing import profile
from stream.hospital.dicom import findings, instances
from stream.procedure import judged_values
from stream.procedure.fhir import codes as fhir
from tests.kit.codes import known_meanings

_SCHEMES = {"http://snomed.info/sct": "SCT", "http://loinc.org": "LN"}


def _written() -> list[tuple[str, str, str]]:
    """Scheme, code and meaning of each code in our own tables."""
    reported = [one for one in vars(findings).values() if isinstance(one, Code)]
    found = [(one.scheme_designator, one.value, one.meaning) for one in reported]
    found += [("SCT", code, meaning) for code, meaning in judged_values._PLACES.values()]
    found += [("DCM", code, meaning) for code, meaning in profile._CODES]
    code, scheme, meaning = instances._COLON
    found += [(scheme, code, meaning)]
    coded = [one for one in vars(fhir).values() if isinstance(one, tuple) and len(one) == 3]
    found += [(_SCHEMES[system], code, display) for display, system, code in coded]
    return [one for one in found if not one[0].startswith("99")]


def test_codes_are_those_of_the_dictionary() -> None:
    written = _written()
    assert {scheme for scheme, _, _ in written} == {"SCT", "DCM", "UCUM", "LN"} and len(written) > 20
    wrong = [one for one in written if one[2] not in known_meanings(*one[:2])]
    assert not wrong, [(one, known_meanings(*one[:2])) for one in wrong]


def test_what_a_lesion_is_said_to_be() -> None:
    """The same in the structured report and in FHIR; lesions of the rectum are none of the colon in SNOMED CT."""
    assert ("Polyp of large intestine", "http://snomed.info/sct", findings._POLYP.value) == fhir.POLYP
