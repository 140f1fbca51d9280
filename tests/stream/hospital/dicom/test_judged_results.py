"""The structured report of a procedure that people judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from polypstream import cli
from tests.kit.examined import examined_cut
from tests.kit.reviewing import DONE, judged, review

pytest.importorskip("pydicom", reason="needs polypstream[dicom]")
pytest.importorskip("highdicom", reason="needs polypstream[dicom]")
from pydicom.dataset import Dataset

from tests.kit.codes import coded_of, known_meanings
from tests.kit.dicom_media import items, read, validator_errors

_FRAMES, _SECOND_FROM = 60, 31
_MOVED = [210.0, 110.0, 290.0, 190.0]
_DRAWN = {"40": [200, 100, 260, 160], "50": [210, 100, 270, 160]}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reviewed recording of two tracks: one is a lesion, one is none, and a reader added another lesion."""
    events = examined_cut(
        tmp_path_factory.mktemp("judged"), _FRAMES, track_of=lambda polyp, frame: 1 + (frame >= _SECOND_FROM)
    )
    (events.parent / "review.toml").write_text('[kind]\ninflammatory = "An inflammatory one\\\\pseudopolyp"\n')
    said = {"kind": "inflammatory", "size": "6-9", "paris": "0-IIa+IIc", "nice": "2", "place": "sigmoid"}
    review(
        events,
        "exam",
        *judged("1", verdict="unsure", **said, text="of Mr Secret"),
        {"do": "box", "finding": "1", "recording": 0, "frame": 0, "box": _MOVED},
        *judged("2", verdict="wrong", cause="fold"),
        {"do": "add", "recording": 0, "boxes": _DRAWN},
        {"do": "bbps", "value": [2, None, 3]},
        DONE,
        reader="Ann Secret",
    )
    return events


@pytest.fixture(scope="module")
def objects(events: Path) -> Path:
    """The objects of its report."""
    assert cli.main(["report", str(events), "--dicom", str(events.parent / "objects")]) == 0
    return events.parent / "objects"


@pytest.fixture(scope="module")
def groups(objects: Path) -> dict[str, list[Dataset]]:
    """Measurement groups of the report, by their tracking identifier."""
    found: dict[str, list[Dataset]] = {}
    for group in items(read(objects / "findings.dcm"), "CONTAINER"):
        name = next((one.TextValue for one in _own(group, "TEXT") if _name(one) == "Tracking Identifier"), None)
        if name is not None:
            found.setdefault(name, []).append(group)
    return found


def _own(group: Dataset, kind: str) -> list[Dataset]:
    return [one for one in group.get("ContentSequence", ()) if one.ValueType == kind]


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def _codes(group: Dataset) -> dict[str, tuple[str, str, str]]:
    coded = {_name(one): one.ConceptCodeSequence[0] for one in _own(group, "CODE")}
    return {
        name: (str(one.get("CodeValue") or one.LongCodeValue), one.CodingSchemeDesignator, one.CodeMeaning)
        for name, one in coded.items()
    }


def _numbers(group: Dataset) -> dict[str, float]:
    return {_name(one): float(one.MeasuredValueSequence[0].NumericValue) for one in _own(group, "NUM")}


def test_what_is_said_of_the_procedure(groups: dict[str, list[Dataset]]) -> None:
    assert _numbers(groups["summary"][0]) == {
        "Number of findings": 2,
        "Number of findings judged wrong and left out": 1,
        "Number of readers who judged": 1,
        "Boston Bowel Preparation Scale, right colon": 2,
        "Boston Bowel Preparation Scale, left colon": 3,
    }
    assert sorted(groups) == ["finding 1", "finding 2", "summary"]


def test_what_is_said_of_a_lesion(groups: dict[str, list[Dataset]]) -> None:
    codes = _codes(groups["finding 1"][0])
    assert codes["Finding Site"] == ("60184004", "SCT", "Sigmoid colon structure")
    own = "99POLYPSTREAM"
    assert codes["Judgement of readers"] == ("verdict-unsure", own, "Not sure")
    assert codes["Kind of lesion as readers see it"] == ("kind-inflammatory", own, "An inflammatory one/pseudopolyp")
    assert codes["Size of the lesion, estimated by readers"] == ("size-6-9", own, "6 to 9 mm")
    assert codes["Paris classification"] == ("paris-0-IIa+IIc", own, "0-IIa+IIc elevated and depressed")
    assert codes["NICE classification"] == ("nice-2", own, "NICE 2")


def test_regions_are_those_of_the_review(groups: dict[str, list[Dataset]]) -> None:
    """A box that a reader drew has no score, and no algorithm found it."""
    regions: dict[tuple[str, int], tuple[list[float], bool]] = {}
    for name in ("finding 1", "finding 2"):
        for group in groups[name]:
            for shape in _own(group, "SCOORD"):
                frame = int(shape.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber) - 1
                corners = np.array(shape.GraphicData).reshape(-1, 2)
                by_software = "Certainty of Finding" in _numbers(group)
                assert by_software == ("Algorithm Name" in {_name(one) for one in _own(group, "TEXT")})
                regions[name, frame] = [*corners.min(0).tolist(), *corners.max(0).tolist()], by_software
    assert regions["finding 1", 0] == (_MOVED, False)
    assert regions["finding 1", _SECOND_FROM - 1][1]
    drawn = {int(frame): ([float(side) for side in box], False) for frame, box in _DRAWN.items()}
    assert {frame: one for (name, frame), one in regions.items() if name == "finding 2"} == drawn
    assert "Certainty of Finding" not in _numbers(groups["finding 2"][0])


def test_each_code_means_what_its_vocabulary_says(objects: Path) -> None:
    coded = {one for path in objects.glob("*.dcm") for one in coded_of(read(path))}
    assert {scheme for scheme, _, _ in coded} == {"SCT", "DCM", "UCUM", "RFC5646"} and len(coded) > 15
    wrong = [one for one in coded if one[2] not in known_meanings(*one[:2])]
    assert not wrong, [(one, known_meanings(*one[:2])) for one in wrong]


def test_no_reader_is_named(objects: Path) -> None:
    assert not [path.name for path in objects.glob("*.dcm") if b"Secret" in path.read_bytes()]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dicom3tools")
def test_the_validator_finds_no_error(objects: Path) -> None:
    assert {path.name: validator_errors(path) for path in objects.glob("finding*.dcm")} == {
        name: [] for name in ("finding-01.dcm", "finding-02.dcm", "findings.dcm")
    }


def test_a_review_that_went_on_is_not_mixed_in(events: Path, tmp_path: Path) -> None:
    """The objects follow the report; `report` writes it anew, so only a judgement in between can do this."""
    from engine.errors import InputError
    from stream.hospital.dicom.regions import judged_findings_of
    from stream.procedure.reading import read_procedure

    report = json.loads((events.with_suffix(".report") / "report.json").read_text())
    procedure = read_procedure(events)
    assert sorted(judged_findings_of(events, procedure, report)) == ["1", "2", "n1"]
    report["reviewed"]["revision"] -= 1
    with pytest.raises(InputError, match="judged again since its report was written"):
        judged_findings_of(events, procedure, report)
