"""Reports of the sample clip: what they say, what they leave behind, and what they refuse."""

from __future__ import annotations

import contextlib
import json
import re
import stat
import zlib
from pathlib import Path
from typing import Any

import cv2
import pytest

from polypstream import cli
from stream.procedure.report import report_folder, write_report
from tests.kit.examined import examined_clip, examined_parts, findings_of

_FIGURES = {"sensitivity": 0.8, "specificity": 0.98, "frames_with": 200, "frames_without": 3000}


def _twice(polyp: int, frame: int) -> int | None:
    """The first polyp has two tracks with a gap between them; the others are not detected."""
    if polyp != 1:
        return None
    return 1 if frame < 100 else None if frame < 140 else 2


def _exam(folder: Path, frames: int = 200) -> Path:
    def change(event: dict[str, Any]) -> None:
        if event["frame"] >= 180:
            event.update(state="black", useful=False)
        if event["frame"] % 12 == 0:
            event["instrument"] = 0.9 if 90 < event["frame"] < 150 else 0.1
        for one in event["detections"]:
            one["classes"] = {"neoplastic": 0.8, "non_neoplastic": 0.2} if event["frame"] > 50 else None

    return examined_clip(folder, frames=frames, track_of=_twice, change=change)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report as page, PDF and JSON, of a run that looked for instruments."""
    events = _exam(tmp_path_factory.mktemp("exam <b>&'"))
    path = events.with_suffix(".run.json")
    told = {"name": "tells", "files": {"model.json": "ef" * 32}, "threshold": 0.5, "figures": _FIGURES}
    path.write_text(json.dumps({**json.loads(path.read_text()), "instruments": told}))
    assert cli.main(["report", str(events), "--pdf", "--fhir", "--cecum-time", "0:03"]) == 0
    return report_folder(events)


def test_the_same_lesion_is_one_finding(written: Path) -> None:
    (finding,) = findings_of(written / "report.json")
    assert finding["tracks"] == [1, 2]
    assert finding["looks"] == 2
    assert finding["phase"] == "insertion and withdrawal"
    assert finding["first_s"] == pytest.approx(0.32, abs=0.5)
    assert finding["kind"] == {"neoplastic": 0.8, "non_neoplastic": 0.2}
    assert finding["score_max"] == 0.9


def test_times_and_shares(written: Path) -> None:
    report = json.loads((written / "report.json").read_text())
    assert report["format"] == 1
    assert report["times"]["recording_s"] == pytest.approx(8.0)
    assert report["times"]["inside_s"] == pytest.approx(7.2)
    assert report["times"]["insertion_s"] == pytest.approx(3.0)
    assert report["times"]["withdrawal_s"] == pytest.approx(4.2)
    assert report["shares"]["black"] == pytest.approx(0.1)
    assert report["shares"]["instrument"] == pytest.approx(0.3, abs=0.01)
    assert report["times"]["not_counted_s"] == {"instrument": pytest.approx(2.4, abs=0.1)}
    assert report["times"]["net_withdrawal_s"] == pytest.approx(1.8, abs=0.1)
    assert report["instruments"] == {"name": "tells", "sha256": "ef" * 32, "threshold": 0.5, "figures": _FIGURES}
    assert "80% of 200 with an instrument are told, and 98% of 3000" in report["not_told"][0]
    assert report["recordings"][0]["sha256"] is not None
    assert report["model"]["figures"] is None  # nobody has this model


def test_fhir_says_the_same(written: Path) -> None:
    report, finding, *_ = (one["resource"] for one in json.loads((written / "report.fhir.json").read_text())["entry"])
    assert report["conclusion"].startswith("1 finding by software")
    assert finding["component"][0]["valueQuantity"]["value"] == 0.9


def test_pictures_show_the_field_of_view(written: Path) -> None:
    plain, marked = (cv2.imread(str(written / "findings" / name)) for name in ("01.jpg", "01-marked.jpg"))
    assert plain is not None and marked is not None
    assert plain.shape == marked.shape == (452, 519, 3)
    assert cv2.absdiff(plain, marked).max() > 100


def test_files_are_for_the_user_alone(written: Path) -> None:
    files = [path for path in written.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert sorted(path.name for path in files) == [
        "01-marked.jpg",
        "01.jpg",
        "report.fhir.json",
        "report.html",
        "report.json",
        "report.pdf",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_page_needs_nothing_else(written: Path) -> None:
    page = (written / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page)
    assert "@import" not in page and "<script" not in page
    assert "not a medical device" in page
    assert "Pattern of instrument" in page and "tells, threshold 0.50" in page


def test_the_pdf_has_its_pages(written: Path) -> None:
    data = (written / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    parts = b""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL):
        with contextlib.suppress(zlib.error):
            parts += zlib.decompress(stream)
    assert len(re.findall(rb"/Type ?/Page\b", data + parts)) >= 2


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    folder = examined_parts(tmp_path, listed={"<script>alert(1)</script>": "<img src=x onerror=alert(1)>"})
    record = json.loads((folder / "run.json").read_text())
    record["procedure"] = "</title><script>alert(2)</script>\x1b"
    (folder / "run.json").write_text(json.dumps(record))
    write_report(folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<img src=x" not in page and "\x1b" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_procedure_of_two_recordings_with_its_listed_turn(tmp_path: Path) -> None:
    folder = examined_parts(tmp_path, listed={"cecum_time": "0:15", "patient": "17"})
    written = write_report(folder)
    assert written.files[-1] == folder / "report.json"
    # Both recordings show the same: each lesion is one finding all the same.
    assert [one["tracks"] for one in written.contents["findings"]] == [[1, 11], [2, 12], [3, 13]]
    assert written.contents["times"]["recording_s"] == pytest.approx(40.0)
    assert written.contents["times"]["withdrawal_s"] == pytest.approx(25.0)
    assert written.contents["listed"]["patient"] == "17"
    assert not (folder / "report.pdf").exists()
    # Nobody looked for instruments, so there is no share of them.
    assert "instrument" not in written.contents["shares"] and written.contents["instruments"] is None
    assert "Instruments and washing are not recognised" in written.contents["not_told"][0]
    assert "Pattern of instrument" not in (folder / "report.html").read_text(encoding="utf-8")


def test_no_findings_are_a_report_too(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=50, track_of=lambda polyp, frame: None)
    (tmp_path / "colon.mp4").unlink()  # nobody looks at it
    written = write_report(events)
    assert written.contents["findings"] == []
    assert "Nothing was marked" in (tmp_path / "exam.report" / "report.html").read_text(encoding="utf-8")


def test_a_report_is_replaced_where_that_is_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = _exam(tmp_path)
    assert cli.main(["report", str(events), "--pdf", "--fhir"]) == 0
    folder = report_folder(events)
    (folder / "findings" / "07.jpg").write_bytes(b"of an earlier report")
    (folder / "findings" / "notes.txt").write_text("mine")
    before = (folder / "report.json").read_bytes()
    assert cli.main(["report", str(events)]) == 2
    assert "report.json exists already" in capsys.readouterr().err
    assert (folder / "report.json").read_bytes() == before
    assert cli.main(["report", str(events), "--overwrite"]) == 0
    assert sorted(path.name for path in (folder / "findings").iterdir()) == ["01-marked.jpg", "01.jpg", "notes.txt"]
    # They would tell of another report.
    assert not (folder / "report.pdf").exists() and not (folder / "report.fhir.json").exists()


def test_recordings_that_were_moved_or_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = _exam(tmp_path)
    recording, moved = tmp_path / "colon.mp4", tmp_path / "archive" / "colon.mp4"
    moved.parent.mkdir()
    recording.rename(moved)
    assert cli.main(["report", str(events)]) == 2
    assert "cannot read the recording" in (said := capsys.readouterr().err) and "--recordings" in said
    assert not report_folder(events).exists()
    for place in (moved, moved.parent):
        assert cli.main(["report", str(events), "--recordings", str(place), "--overwrite"]) == 0
    capsys.readouterr()
    moved.write_bytes(moved.read_bytes() + b"\0")
    assert cli.main(["report", str(events), "--recordings", str(moved), "--overwrite"]) == 2
    assert "has changed since it was looked at" in capsys.readouterr().err


def test_another_recording_without_checksum_is_found_out(tmp_path: Path) -> None:
    events = _exam(tmp_path)
    record = json.loads(events.with_suffix(".run.json").read_text())
    del record["source_file"]
    events.with_suffix(".run.json").write_text(json.dumps(record))
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    events.write_text("".join(json.dumps({**line, "time_s": line["time_s"] * 2}) + "\n" for line in lines))
    assert cli.main(["report", str(events)]) == 2


def test_a_recording_that_is_shorter_than_its_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(event: dict[str, Any]) -> None:
        if event["frame"] == 510:
            seen = {"box_xyxy": [200, 200, 260, 260], "score": 0.9, "label": "polyp", "track_id": 4}
            event["detections"] = [seen]

    events = examined_clip(tmp_path, frames=520, track_of=lambda polyp, frame: None, change=change)
    assert cli.main(["report", str(events)]) == 2
    assert "it ends after 500 frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cecum-time", "noon"], "--cecum-time 'noon' is no time; write"),
        (["--cecum-time", "1:00"], "lies outside the procedure, which lasts 8.0 s"),
        (["--recordings", "nowhere.mp4"], "cannot read the recording 'nowhere.mp4'"),
        (["--output", "exam.jsonl"], "cannot be made"),
    ],
)
def test_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    _exam(tmp_path)
    assert cli.main(["report", "exam.jsonl", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.rglob("report.json"))


def test_a_listed_turn_that_is_no_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(examined_parts(tmp_path, listed={"cecum_time": "after lunch"}))]) == 2
    assert "'after lunch' is no time" in (said := capsys.readouterr().err) and "list of the study" in said
