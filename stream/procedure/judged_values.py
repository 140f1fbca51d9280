"""What people said of a procedure, in words and codes, for reports that other programs read.

Readers' names and what they wrote in their own words are left out: neither has a place where it would be protected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream.judgements.lists import USUAL, JudgementLists

#: Fields of a finding that are reported, but for its place. No code says just this: a kind is what the lesion looks
#: like to a reader, and no diagnosis.
_TITLES = {
    "verdict": "Judgement of readers",
    "kind": "Kind of lesion as readers see it",
    "size": "Size of the lesion, estimated by readers",
    "paris": "Paris classification",
    "nice": "NICE classification",
}

#: Body structures of SNOMED CT, for the usual places.
_PLACES = {
    "ileum": ("85774003", "Structure of distal portion of ileum"),
    "cecum": ("32713005", "Cecum structure"),
    "ascending": ("9040008", "Ascending colon structure"),
    "hepatic-flexure": ("48338005", "Structure of right colic flexure"),
    "transverse": ("485005", "Transverse colon structure"),
    "splenic-flexure": ("72592005", "Structure of left colic flexure"),
    "descending": ("32622004", "Descending colon structure"),
    "sigmoid": ("60184004", "Sigmoid colon structure"),
    "rectum": ("34402009", "Rectum structure"),
}

BBPS = "Boston Bowel Preparation Scale"
_SEGMENTS = ("right colon", "transverse colon", "left colon")


@dataclass(frozen=True, slots=True)
class JudgedValue:
    """What readers said of a finding in one field.

    Attributes:
        field: verdict, kind, size, paris, nice or place.
        title: of the field, for people.
        value: that was chosen.
        text: of the value, for people.
        snomed: code and name in SNOMED CT; None where it has none, or a list gives the value another meaning.
    """

    field: str
    title: str
    value: str
    text: str
    snomed: tuple[str, str] | None = None


def judged_values(finding: Mapping[str, Any], lists: JudgementLists) -> list[JudgedValue]:
    """What readers said of a finding of `report.json`, but for its place.

    Args:
        finding: of the report.
        lists: texts of the values.
    """
    review = finding.get("review") or {}
    return [
        JudgedValue(name, title, review[name], lists.text_of(name, review[name]))
        for name, title in _TITLES.items()
        if review.get(name)
    ]


def judged_place(finding: Mapping[str, Any], lists: JudgementLists) -> JudgedValue | None:
    """Where readers saw a finding of `report.json`; None where they did not say.

    Args:
        finding: of the report.
        lists: texts of the values.
    """
    value = (finding.get("review") or {}).get("place")
    if not value:
        return None
    text = lists.text_of("place", value)
    is_usual = USUAL.values["place"].get(value) == text
    return JudgedValue("place", "Place in the colon", value, text, _PLACES[value] if is_usual else None)


def bowel_preparation(contents: Mapping[str, Any]) -> dict[str, int]:
    """Points on the Boston scale by segment, without those that nobody gave.

    Args:
        contents: of `report.json`.
    """
    points = (contents.get("reviewed") or {}).get("bbps") or ()
    return {segment: int(one) for segment, one in zip(_SEGMENTS, points, strict=False) if one is not None}


def total_preparation(contents: Mapping[str, Any]) -> int | None:
    """Sum of the points on the Boston scale, 0 to 9; None where a segment has none.

    Args:
        contents: of `report.json`.
    """
    points = bowel_preparation(contents)
    return sum(points.values()) if len(points) == len(_SEGMENTS) else None
