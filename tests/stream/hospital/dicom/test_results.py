"""Results as DICOM objects: what validators, DCMTK and our own reader say of them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError, PolypstreamError
from polypstream import cli
from stream.sources.containers.dicom.objects import quiet
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from tests.kit.examined import examined_cut, findings_of, write_record
from tests.kit.reviewing import DONE, review

pytest.importorskip("pydicom", reason="needs polypstream[dicom]")
pytest.importorskip("highdicom", reason="needs polypstream[dicom]")
from pydicom import uid
from pydicom.dataset import Dataset

from stream.hospital.dicom.export import ExportSettings, export_procedure
from stream.hospital.dicom.identity import read_worklist
from stream.hospital.dicom.pictures import PHOTOGRAPHIC
from tests.kit.dicom_media import items, make_video_object, read, run_dcmtk, validator_errors
from tests.kit.dicom_standard import missing_attributes, standard_errors

FRAMES = 60
WORKLIST = {
    "PatientID": "P-1",
    "PatientName": "Müller^Jürgen",
    "PatientBirthDate": "19600229",
    "PatientSex": "M",
    "StudyDate": "20260301",
    "StudyTime": "101500",
    "AccessionNumber": "A-7",
    "StudyID": "S-1",
    "ReferringPhysicianName": "Doctor^D",
    "StudyInstanceUID": "1.2.3.4",
}


def _write_list(path: Path, values: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(values))
        table.writeheader()
        table.writerow(values)
    return path


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Event lines of a short clip."""
    folder = tmp_path_factory.mktemp("exam")
    return examined_cut(folder, FRAMES, change=_with_kind)


def _with_kind(event: dict[str, Any]) -> None:
    for one in event["detections"]:
        one["classes"] = {"neoplastic": 0.8, "non_neoplastic": 0.2}


@pytest.fixture(scope="module")
def written(exam: Path) -> Path:
    """The objects of the clip, of a patient whom a work list names."""
    listed = _write_list(exam.parent / "list.csv", {"path": "colon.mp4", **WORKLIST})
    folder = exam.parent / "objects"
    command = ["report", str(exam), "--pdf", "--dicom", str(folder), "--worklist", str(listed)]
    assert cli.main([*command, "--uid-root", "1.2.826.0.1.3680043.10.999"]) == 0
    return folder


def _objects(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    paths = sorted(folder.glob("*.dcm"))
    assert paths
    return ((path, read(path)) for path in paths)


def test_what_is_written(exam: Path, written: Path) -> None:
    findings = findings_of(exam.with_suffix(".report") / "report.json")
    assert findings
    pictures = [f"finding-{one['number']:02d}.dcm" for one in findings]
    names = {path.name for path, _ in _objects(written)}
    assert names == {"video-01.dcm", *pictures, "findings.dcm", "report.dcm"}
    assert [path.name for path in written.iterdir() if path.name.startswith(".video")] == []


def test_all_objects_are_of_one_patient_and_study(written: Path) -> None:
    objects = [found for _, found in _objects(written)]
    for name, value in WORKLIST.items():
        assert {str(found[name].value) for found in objects} == {value}, name
    for found in objects:
        made = [found.SOPInstanceUID, found.SeriesInstanceUID]
        assert all(one.startswith("1.2.826.0.1.3680043.10.999.") and one.is_valid for one in made)
        assert "not for diagnosis" in found.to_json(bulk_data_threshold=0, bulk_data_element_handler=lambda element: "")
    assert len({found.SOPInstanceUID for found in objects}) == len(objects)
    series = {(found.Modality, found.SeriesInstanceUID) for found in objects}
    assert sorted(modality for modality, _ in series) == ["DOC", "ES", "ES", "SR"]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dicom3tools")
def test_validators_find_no_error(written: Path) -> None:
    for path, _ in _objects(written):
        assert validator_errors(path) == [], path.name


def test_attributes_that_the_standard_demands_are_there(written: Path) -> None:
    for path, found in _objects(written):
        assert missing_attributes(found) == [], path.name


def test_dicom_validator_finds_no_error(written: Path) -> None:
    paths = [path for path, _ in _objects(written)]
    assert standard_errors(paths) == {path.name: [] for path in paths}


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="needs dcmtk")
def test_dcmtk_reads_them(written: Path) -> None:
    for path, _ in _objects(written):
        run_dcmtk("dcmdump", path)
    said = run_dcmtk("dsrdump", written / "findings.dcm")
    assert "Comprehensive 3D SR Document" in said
    assert "Completion Flag     : COMPLETE" in said and "Verification Flag   : UNVERIFIED" in said


def test_the_video_is_the_recording(exam: Path, written: Path) -> None:
    """High Profile already, so its pictures are copied as they are."""
    found = read(written / "video-01.dcm")
    assert found.file_meta.TransferSyntaxUID == uid.MPEG4HP41
    assert (found.NumberOfFrames, found.FrameTime, found.PhotometricInterpretation) == (FRAMES, 40, "YBR_PARTIAL_420")
    with open_source(exam.parent / "colon.mp4") as plain, open_source(written / "video-01.dcm") as source:
        assert not source.info.has_audio
        for one, other in zip(plain, source, strict=True):
            assert one.pts == other.pts
            for plane, same in zip(one.picture.planes, other.picture.planes, strict=True):
                np.testing.assert_array_equal(plane, same)


def test_regions_are_those_of_the_events(exam: Path, written: Path) -> None:
    video, report = read(written / "video-01.dcm"), read(written / "findings.dcm")
    seen: dict[int, list[list[float]]] = {}
    for line in map(json.loads, exam.read_text().splitlines()):
        seen[line["frame"]] = [one["box_xyxy"] for one in line["detections"]]
    regions = list(items(report, "SCOORD"))
    assert regions
    for region in regions:
        reference = region.ContentSequence[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == video.SOPInstanceUID
        left, top, right, bottom = (
            region.GraphicData[0],
            region.GraphicData[1],
            region.GraphicData[4],
            region.GraphicData[5],
        )
        boxes = seen[int(reference.ReferencedFrameNumber) - 1]
        assert any(np.allclose(box, [left, top, right, bottom], atol=1e-3) for box in boxes)
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    named = {one.ReferencedSOPInstanceUID for series in evidence for one in series.ReferencedSOPSequence}
    assert {video.SOPInstanceUID} < named


def test_the_report_says_what_it_was_made_with(exam: Path, written: Path) -> None:
    report = read(written / "findings.dcm")
    texts = {item.ConceptNameCodeSequence[0].CodeMeaning: item.TextValue for item in items(report, "TEXT")}
    assert texts["Algorithm Name"].startswith("polypstream model")
    assert any("sha256" in item.TextValue for item in items(report, "TEXT"))
    codes = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeMeaning
        for item in items(report, "CODE")
    }
    assert codes["Finding"] == "Polyp of large intestine"
    assert codes["Kind of lesion, estimated"] == "neoplastic"


def test_pictures_name_their_frame(exam: Path, written: Path) -> None:
    video = read(written / "video-01.dcm")
    for entry in findings_of(exam.with_suffix(".report") / "report.json"):
        path = written / f"finding-{entry['number']:02d}.dcm"
        (source,) = read(path).SourceImageSequence
        assert (source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber) == (
            video.SOPInstanceUID,
            entry["best_frame"] + 1,
        )
        jpeg = exam.with_suffix(".report") / entry["picture"]
        np.testing.assert_array_equal(read_picture(path), read_picture(jpeg))


def test_what_stands_there_is_kept(exam: Path, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in written.glob("*.dcm")}
    again = ["report", str(exam), "--output", str(exam.parent / "again"), "--dicom", str(written)]
    assert cli.main(again) == 2
    assert "holds DICOM objects already" in capsys.readouterr().err
    assert not (exam.parent / "again").exists()
    assert {path.name: path.read_bytes() for path in written.glob("*.dcm")} == before


def test_a_recording_that_is_an_object_is_referred_to(
    exam: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its patient and study are taken over, and what it does not say stays empty. No list gives it to another."""
    shutil.copy(exam, tmp_path / "exam.jsonl")
    source = make_video_object(
        tmp_path / "IM1",
        exam.parent / "colon.mp4",
        uid.MPEG4HP41,
        size_wh=(640, 480),
        frames=FRAMES,
        PatientName="Wang^XiaoDong=王^小东",
        SpecificCharacterSet="GB18030",
        ReferringPhysicianName="",
    )
    write_record(tmp_path / "exam.run.json", source)
    assert cli.main(["report", str(tmp_path / "exam.jsonl"), "--dicom", str(tmp_path / "out")]) == 0
    original = read(source)
    names = {path.name for path, _ in _objects(tmp_path / "out")}
    assert "video-01.dcm" not in names and "findings.dcm" in names
    for _, found in _objects(tmp_path / "out"):
        assert found.StudyInstanceUID == original.StudyInstanceUID
        assert (found.PatientName, found.PatientID) == (original.PatientName, "P-17")
        assert found.ReferringPhysicianName == ""
    for region in items(read(tmp_path / "out" / "findings.dcm"), "SCOORD"):
        reference = region.ContentSequence[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == original.SOPInstanceUID
    listed = _write_list(tmp_path / "list.csv", {"path": "IM1", "PatientID": "P-18"})
    command = ["report", str(tmp_path / "exam.jsonl"), "--output", str(tmp_path / "again")]
    assert cli.main([*command, "--dicom", str(tmp_path / "other"), "--worklist", str(listed)]) == 2
    assert "the work list names another PatientID" in capsys.readouterr().err
    assert not (tmp_path / "again").exists() and not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("broken", "unknown", "refers"),
    [
        ({"SOPInstanceUID": None, "SeriesInstanceUID": None, "SpecificCharacterSet": "ISO_IR 999"}, None, False),
        ({"SpecificCharacterSet": "ISO_IR 999", "PatientName": "x" * 65, "StudyID": "y" * 17}, "PatientName", True),
    ],
)
def test_attributes_that_cannot_be_taken_over(
    exam: Path, tmp_path: Path, broken: dict[str, str | None], unknown: str | None, refers: bool
) -> None:
    """What DICOM does not allow stays empty; an object without UIDs cannot be referred to, so it is written again."""
    source = make_video_object(
        tmp_path / "IM1", exam.parent / "colon.mp4", uid.MPEG4HP41, size_wh=(640, 480), frames=FRAMES
    )
    with quiet():
        changed = read(source)
        for name, value in broken.items():
            delattr(changed, name) if value is None else setattr(changed, name, value)
        changed.save_as(source)
    shutil.copy(exam, tmp_path / "exam.jsonl")
    write_record(tmp_path / "exam.run.json", source, FRAMES)
    done = export_procedure(
        tmp_path / "exam.jsonl", tmp_path / "out", ExportSettings(), report=exam.with_suffix(".report")
    )
    assert (tmp_path / "out" / "video-01.dcm").exists() is not refers
    assert done.unknown == ((unknown, "StudyID") if unknown else ())
    for path, found in _objects(tmp_path / "out"):
        assert (found.SpecificCharacterSet, found.PatientID) == ("ISO_IR 192", "P-17")
        assert missing_attributes(found) == [], path.name


def test_a_procedure_without_findings(tmp_path: Path) -> None:
    events = examined_cut(tmp_path, FRAMES, track_of=lambda polyp, frame: None)
    done = export_procedure(events, tmp_path / "out", ExportSettings())
    assert [path.name for path in done.files] == ["video-01.dcm", "findings.dcm"]
    assert "PatientID" in done.unknown
    counts = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.MeasuredValueSequence[0].NumericValue
        for item in items(read(tmp_path / "out" / "findings.dcm"), "NUM")
    }
    assert counts == {"Number of findings": 0}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dicom3tools")
def test_photographic_objects(exam: Path, tmp_path: Path) -> None:
    """Some viewers show photographic video, and no endoscopic one."""
    settings = ExportSettings(kinds=PHOTOGRAPHIC)
    export_procedure(exam, tmp_path / "out", settings, report=exam.with_suffix(".report"))
    classes = {path.name: (found.SOPClassUID, found.Modality) for path, found in _objects(tmp_path / "out")}
    assert classes["video-01.dcm"] == (uid.VideoPhotographicImageStorage, "XC")
    assert classes["finding-01.dcm"] == (uid.VLPhotographicImageStorage, "XC")
    for path, found in _objects(tmp_path / "out"):
        assert (validator_errors(path), missing_attributes(found)) == ([], []), path.name


def test_a_run_that_fails_leaves_no_report_of_other_objects(exam: Path, written: Path, tmp_path: Path) -> None:
    """Where `findings.dcm` stands, all that it refers to does; so the old one goes before they are replaced."""
    events, objects = tmp_path / "exam.jsonl", tmp_path / "objects"
    shutil.copy(exam, events)
    shutil.copytree(written, objects)
    (tmp_path / "colon.mp4").write_bytes(b"no video any more")
    write_record(events.with_suffix(".run.json"), tmp_path / "colon.mp4")
    report = exam.with_suffix(".report")
    with pytest.raises(InputError, match="the report in .* cannot be read"):
        export_procedure(events, objects, ExportSettings(overwrite=True), report=tmp_path)  # holds no report
    assert (objects / "findings.dcm").is_file()
    with pytest.raises(PolypstreamError, match=r"colon\.mp4"):
        export_procedure(events, objects, ExportSettings(overwrite=True), report=report)
    assert {path.name for path, _ in _objects(written)} - {path.name for path, _ in _objects(objects)} == {
        "findings.dcm"
    }


@pytest.mark.slow
def test_detect_makes_objects_of_an_object(exam: Path, tmp_path: Path) -> None:
    """As users run it: the network looks at a DICOM object, and its annotated video is one again."""
    source = make_video_object(
        tmp_path / "IM1", exam.parent / "colon.mp4", uid.MPEG4HP41F, size_wh=(640, 480), frames=FRAMES, fragments=3
    )
    command = ["detect", str(source), "--output", str(tmp_path / "marked.mp4"), "--dicom", str(tmp_path / "out")]
    assert cli.main(command) == 0
    assert (tmp_path / "out" / "events.jsonl").is_file()
    video = read(tmp_path / "out" / "video-01.dcm")
    original = read(source)
    assert video.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert (video.PatientID, video.StudyInstanceUID) == (original.PatientID, original.StudyInstanceUID)
    with open_source(tmp_path / "marked.mp4") as marked, open_source(tmp_path / "out" / "video-01.dcm") as found:
        assert [frame.pts for frame in marked] == [frame.pts for frame in found]
    assert cli.main([*command, "--overwrite", "--from", str(tmp_path / "out" / "events.jsonl")]) == 2


@pytest.mark.slow
def test_study_makes_objects_of_each_procedure(exam: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    make_video_object(tmp_path / "in" / "IM1", exam.parent / "colon.mp4", uid.MPEG4HP41, frames=FRAMES)
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no video")
    command = ["study", str(tmp_path / "in"), "--output", str(tmp_path / "results"), "--workers", "1"]
    command += ["--dicom", str(tmp_path / "out")]
    assert cli.main(command) == 1
    said = capsys.readouterr()
    assert "failed: " in said.err and "broken.mp4" in said.err and "DICOM objects of 1 procedure in " in said.out
    made = tmp_path / "out" / "IM1" / "findings.dcm"
    first = read(made).SOPInstanceUID
    (tmp_path / "in" / "broken.mp4").unlink()
    assert cli.main(command) == 0
    assert "1 procedure stood there before" in capsys.readouterr().out and read(made).SOPInstanceUID == first
    made.unlink()  # as where a run was killed midway
    assert cli.main(command) == 0
    second = read(made).SOPInstanceUID
    assert second != first
    review(tmp_path / "results", "IM1", {"do": "bbps", "value": [1, 2, 3]}, DONE)
    assert cli.main(command) == 0
    assert read(made).SOPInstanceUID != second and "Boston" in str(read(made))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"path": "colon.mp4", "PatientSize": "1.80"}, "does not know the column 'PatientSize'"),
        ({"PatientID": "1"}, "has no column path or procedure"),
        ({"path": "colon.mp4", "StudyDate": "1 March"}, "StudyDate must be a date as YYYYMMDD"),
        ({"path": "colon.mp4", "PatientSex": "male"}, "PatientSex must be M, F or O"),
        ({"path": "colon.mp4", "StudyInstanceUID": "1.02"}, "StudyInstanceUID must be a UID"),
        ({"path": "colon.mp4", "AccessionNumber": "x" * 17}, "AccessionNumber must be a text of 16"),
        ({"path": "colon.mp4", "PatientName": "a\\b"}, "without a backslash"),
        ({"path": "colon.mp4", "PatientName": "x" * 65}, "PatientName must be a name of 64 characters at most in each"),
        ({"path": "other.mp4", "PatientID": "1"}, "names neither 'exam' nor its recordings"),
    ],
)
def test_work_lists_that_cannot_be_used(
    exam: Path, tmp_path: Path, values: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = _write_list(tmp_path / "list.csv", values)
    with pytest.raises(InputError, match=re.escape(said)):
        export_procedure(exam, tmp_path / "out", ExportSettings(read_worklist(listed)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--uid-root", "1.2"], "has no effect without --dicom"),
        (["--photographic"], "--photographic has no effect without --dicom"),
        (["--dicom", "out", "--uid-root", "1.02"], "--uid-root must be numbers with points"),
        (["--dicom", "out", "--uid-root", "1." + "2" * 50], "--uid-root must be numbers with points"),
        (["--dicom", "out", "--worklist", "missing.csv"], "work list 'missing.csv' cannot be read"),
    ],
)
def test_options_that_cannot_be_used(
    exam: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", str(exam), "--output", "again", *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
