"""Codes of public vocabularies, and what they mean: the dictionary of pydicom, and what was looked up beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr import _concepts_dict

#: Codes that the dictionary lacks, or words otherwise. Those of SNOMED CT and LOINC were looked up in HL7's guides: the
#: one of Lithuania for screening by colonoscopy, whose value sets a terminology server expanded, and C-CDA.
_LOOKED_UP = {
    ("SCT", "73761001"): "Colonoscopy",
    ("SCT", "399505005"): "Polyp of large intestine",
    ("SCT", "85774003"): "Structure of distal portion of ileum",
    ("SCT", "722819004"): "Boston bowel preparation scale finding",
    ("SCT", "276214006"): "Finding category",  # as PS3.16, TID 1501 words it
    ("LN", "18746-8"): "Colonoscopy study",
    ("RFC5646", "en-US"): "English (United States)",
}
_OWN = "99"  # schemes that begin so are private (PS3.16, 8.2)


def known_meanings(scheme: str, code: str) -> set[str]:
    """What a code means, in each of its wordings, without "(body structure)" and the like; none where it is unknown."""
    concepts: Mapping[str, Mapping[str, Mapping[str, Any]]] = vars(_concepts_dict)["concepts"]
    found = {str(entry[code][0]).partition(" (")[0] for entry in concepts.get(scheme, {}).values() if code in entry}
    return found | {meaning for key, meaning in _LOOKED_UP.items() if key == (scheme, code)}


def coded_of(found: Dataset) -> Iterator[tuple[str, str, str]]:
    """Scheme, code and meaning of each code in an object, at any depth, but for private ones."""
    for one in _all(found):
        scheme = str(one.get("CodingSchemeDesignator") or "")
        if scheme and "CodeMeaning" in one and not scheme.startswith(_OWN):
            yield scheme, str(one.get("CodeValue") or one.LongCodeValue), str(one.CodeMeaning)


def _all(found: Dataset) -> Iterator[Dataset]:
    yield found
    for element in found:
        if element.VR == "SQ":
            for item in element.value:
                yield from _all(item)
