"""Codes of the structured report: those of public vocabularies mean what their dictionaries say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

pytest.importorskip("highdicom", reason="needs polypstream[dicom]")
from pydicom.sr import _concepts_dict
from pydicom.sr.coding import Code

from stream.hospital.dicom import findings

_BEYOND = {"73761001": "Colonoscopy"}  # of SNOMED CT; the dictionary holds the part of it that the standard uses


def test_codes_are_those_of_the_dictionary() -> None:
    codes = [one for one in vars(findings).values() if isinstance(one, Code) and one.scheme_designator[:2] != "99"]
    assert codes
    for code in codes:
        known: Collection[Mapping[str, Any]] = vars(_concepts_dict)["concepts"][code.scheme_designator].values()
        meanings = {entry[code.value][0] for entry in known if code.value in entry} or {_BEYOND.get(code.value)}
        assert code.meaning in meanings, code
