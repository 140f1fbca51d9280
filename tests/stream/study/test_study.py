"""`polypstream study` from recordings to results, with real workers."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream.procedure.index import kept_index
from stream.study import pool
from stream.study.ledger import Ledger, State
from tests.kit.reviewing import DONE, review
from tests.kit.studies import make_recording, results_of
from tests.kit.tiny_bundle import change_record

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str]]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _perceived(folder: Path) -> dict[str, int]:
    """When each kept result was written, by its name."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "out" / ".perceived").iterdir()}


def _concluded(folder: Path) -> dict[str, int]:
    """When each procedure's report was written, by its folder."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (folder / "out").glob("*/report.json")}


def test_parts_are_joined_in_time(done: Path) -> None:
    folder = done / "out" / "exam1"
    lines, record = _lines(folder / "events.jsonl"), json.loads((folder / "run.json").read_text())
    index = kept_index(folder / "events.jsonl")
    assert index is not None and len(index.times_s) == len(lines)  # the review page opens at once
    assert [line["frame"] for line in lines] == list(range(80))
    assert [line["recording"] for line in lines] == [0] * 50 + [1] * 30
    assert [line["time_s"] for line in lines] == pytest.approx([index / 25 for index in range(80)], abs=1e-3)
    starts = [(one["name"], one["start_s"], one["duration_s"], one["frames"]) for one in record["recordings"]]
    assert starts == [("exam1_001.mpg", 0.0, 2.0, 50), ("exam1_002.mpg", 2.0, 1.2, 30)]
    assert record["duration_s"] == 3.2 and record["counts"]["frames"] == 80
    tracks = {one["track_id"] for line in lines for one in line["detections"]}
    assert tracks == set(range(1, record["counts"]["tracks"] + 1))
    report = json.loads((folder / "report.json").read_text())
    assert report["findings"] and report["times"]["recording_s"] == 3.2
    looked_at = [line["time_s"] for line in lines if "instrument" in line]
    assert looked_at == pytest.approx([0.0, 0.52, 1.0, 1.52, 2.0, 2.52, 3.0], abs=0.02)
    assert report["instruments"]["name"] == record["instruments"]["name"] == "instruments"
    assert "instrument" in report["shares"]
    assert {"report.html", "findings"} <= {path.name for path in folder.iterdir()}


def test_the_same_bytes_are_looked_at_once(done: Path) -> None:
    with Ledger(done / "out" / "ledger.sqlite") as ledger:
        recordings = {Path(one.path).name: one for one in ledger.recordings()}
        procedures = {one.name: one.state for one in ledger.procedures()}
    assert recordings["copy.mkv"].same_as == str(done / "in" / "below" / "other.mkv")
    assert recordings["copy.mkv"].key == recordings["other.mkv"].key
    assert len(_perceived(done)) == 2 * 3  # three recordings, each with lines and a record
    events = [(done / "out" / name / "events.jsonl").read_bytes() for name in ("copy", "below-other")]
    assert events[0] == events[1]
    assert procedures == {
        "below/other": State.DONE,
        "broken": State.FAILED,
        "copy": State.DONE,
        "exam1": State.DONE,
    }


def test_tables_name_every_procedure(done: Path) -> None:
    with (done / "out" / "procedures.csv").open(newline="") as file:
        rows = {row["procedure"]: row for row in csv.DictReader(file)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "below/other": "done",
        "broken": "failed",
        "copy": "done",
        "exam1": "done",
    }
    assert 0 <= float(rows["exam1"]["share_instrument"]) <= 1
    assert "is not a video that can be read" in rows["broken"]["error"]
    with (done / "out" / "findings.csv").open(newline="") as file:
        findings = list(csv.DictReader(file))
    for name, row in rows.items():
        assert int(row["findings"] or 0) == sum(finding["procedure"] == name for finding in findings)
    assert all((done / "out" / finding["picture"]).is_file() for finding in findings)


def test_the_same_command_does_nothing_again(copied: Path, run: Run) -> None:
    before, reports = _perceived(copied), _concluded(copied)
    status, said = run()
    assert (status, _perceived(copied), _concluded(copied)) == (1, before, reports)
    assert "5 recordings of 4 procedures" in said and "exam1: exam1_001.mpg, exam1_002.mpg joined" in said
    assert "left out, no video: notes.txt" in said and "failed: " in said and "broken.mp4" in said
    assert "failed in part: 3 of 4 procedures" in said


def test_recordings_that_were_moved_are_not_looked_at_again(copied: Path, run: Run) -> None:
    before = _perceived(copied)
    (copied / "in").rename(copied / "moved")
    assert run(source="moved")[0] == 1
    assert _perceived(copied) == before
    record = json.loads((copied / "out" / "copy" / "run.json").read_text())
    assert record["recordings"][0]["path"] == str(copied / "moved" / "copy.mkv")


def test_another_threshold_only_decides_anew(copied: Path, run: Run) -> None:
    before = _perceived(copied)
    assert run("--decide-only", "--threshold", "0.3")[0] == 1
    assert _perceived(copied) == before
    record = json.loads((copied / "out" / "exam1" / "run.json").read_text())
    assert record["settings"]["threshold"] == 0.3
    change_record(copied / "tiny", threshold=0.6)  # the model is calibrated anew
    assert run()[0] == 1
    assert _perceived(copied) == before
    assert json.loads((copied / "out" / "exam1" / "run.json").read_text())["settings"]["threshold"] == 0.6


def test_a_review_concludes_its_procedure_anew(copied: Path, run: Run) -> None:
    perceived, reports = _perceived(copied), _concluded(copied)
    review(copied / "out", "exam1", {"do": "bbps", "value": [2, 2, 3]}, DONE)
    assert run("--decide-only")[0] == 1
    again = _concluded(copied)
    assert {name for name in again if again[name] != reports[name]} == {"exam1"}
    report = json.loads((copied / "out" / "exam1" / "report.json").read_text())
    assert report["reviewed"]["readers"] == ["Ann"] and report["reviewed"]["bbps"] == [2, 2, 3]
    assert run("--decide-only")[0] == 1
    assert (_concluded(copied), _perceived(copied)) == (again, perceived)


def test_what_changes_is_done_anew_and_said(copied: Path, run: Run) -> None:
    perceived, reports = _perceived(copied), _concluded(copied)
    make_recording(copied / "in" / "exam1_002.mpg", 9, codec="mpeg2video", frames=20)
    make_recording(copied / "in" / "broken.mp4", 4)
    status, said = run()
    assert status == 0
    assert "1 recording changed since" in said and "exam1_002.mpg" in said
    new = _perceived(copied)
    assert {name: new[name] for name in perceived} == perceived and len(new) == len(perceived) + 4
    again = _concluded(copied)
    assert {name for name in again if again[name] != reports.get(name)} == {"exam1", "broken"}
    assert len(_lines(copied / "out" / "exam1" / "events.jsonl")) == 70
    status, said = run("--runtime", "openvino", "--decide-only")
    assert status == 1 and "settings changed (runtime onnxruntime -> openvino)" in said
    assert "not looked at with these settings yet; run without --decide-only" in said


def test_another_way_of_decoding_looks_anew(copied: Path, run: Run) -> None:
    status, said = run("--deinterlace", "frame")
    assert status == 1 and "settings changed (deinterlace not set -> frame): 4 recordings to be looked at anew" in said
    record = json.loads((copied / "out" / "exam1" / "run.json").read_text())
    assert record["settings"]["deinterlace"] == "frame"
    assert list((copied / "out" / ".pictures").glob("*-frame/*.png"))
    status, said = run("--stream", "7")
    path = copied / "in" / "below" / "other.mkv"
    assert status == 1 and f"\n--stream 7: {path} has no such video stream; it holds 0: video" in said


def test_what_is_lost_is_made_again(copied: Path, run: Run) -> None:
    reports = _concluded(copied)
    shutil.rmtree(copied / "out" / "copy")
    gone = next((copied / "out" / ".perceived").glob("*.gz"))
    gone.unlink()
    status, said = run()
    assert status == 1 and "what was perceived is missing, and perceived anew" in said
    assert gone.is_file() and set(_concluded(copied)) == set(reports)
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (copied / "out" / name).unlink(missing_ok=True)
    before = _perceived(copied)
    assert run()[0] == 1
    assert _perceived(copied) == before, "what was perceived is known without the ledger"


def test_what_is_done_stays_so_where_it_cannot_be_looked_at_again(
    copied: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = _concluded(copied)
    with Ledger(copied / "out" / "ledger.sqlite") as ledger:
        lost = next(one.key for one in ledger.recordings() if one.path.endswith("copy.mkv"))
    (copied / "out" / ".perceived" / f"{lost}.run.json").unlink()
    monkeypatch.setattr(pool, "_START", "raise ValueError('nothing works')")
    status, said = run()
    assert status == 1 and "its worker ended (1): ValueError: nothing works (attempt 3 of 3, given up)" in said
    assert _concluded(copied) == reports
    with Ledger(copied / "out" / "ledger.sqlite") as ledger:
        assert {one.name for one in ledger.procedures() if one.state is State.DONE} == {"below/other", "copy", "exam1"}


def test_a_list_with_times_and_more(copied: Path, run: Run) -> None:
    (copied / "list.csv").write_text(
        "path,procedure,cecum_time,site\nin/below/other.mkv,first,1.0,=north\nin/exam1_001.mpg,second,9:59,south\n"
    )
    status, said = run(source="list.csv")
    assert status == 1 and "failed: second: " in said  # it has not so many minutes
    assert "no longer in the study, their folders stay: below/other, broken, copy and 1 more" in said
    with (copied / "out" / "procedures.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["cecum_s"], first["withdrawal_s"]) == ("1.0", "1.0")
    assert (first["site"], second["site"], second["state"]) == ("'=north", "south", "failed")


def test_recordings_that_break_off_are_done_and_said(copied: Path, run: Run) -> None:
    path = make_recording(copied / "in" / "cut.mkv", 7, frames=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    status, said = run()
    assert status == 1 and f"not whole: {path}" in said
    assert 0 < len(_lines(copied / "out" / "cut" / "events.jsonl")) < 100
    assert f"not whole: {path}" in run()[1], "it is done, and stays broken"


def test_results_are_for_the_user_alone(done: Path) -> None:
    if os.name != "posix":
        pytest.skip("rights of Unix")
    for path in [done / "out", *(done / "out").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_results_can_be_compared(done: Path) -> None:
    found = results_of(done / "out")
    assert {"exam1", "exam1 events", "findings.csv"} <= set(found)


def test_the_longest_is_looked_at_first(copied: Path, run: Run) -> None:
    """However few bytes it has: what is long must not be left for the end, when the other workers are idle."""
    folder = copied / "lengths"
    folder.mkdir()
    long = make_recording(folder / "a_long.mp4", 1, frames=60)
    short = make_recording(folder / "b_short.avi", 2, codec="mjpeg", frames=20)
    assert short.stat().st_size > long.stat().st_size
    assert run("--workers", "1", source="lengths")[0] == 0
    with Ledger(copied / "out" / "ledger.sqlite") as ledger:
        keys = {Path(one.path).name: one.key for one in ledger.recordings()}
    written = _perceived(copied)
    assert written[f"{keys['a_long.mp4']}.run.json"] < written[f"{keys['b_short.avi']}.run.json"]
