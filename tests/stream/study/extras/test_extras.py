"""What is written beside the reports of a study where it is asked: tables of frames, and annotated recordings."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from engine.errors import InputError
from stream.record.track.marking import Marking
from stream.study.concluding import conclude
from stream.study.extras.videos import write_videos
from stream.study.extras.wanted import Extras
from stream.study.fingerprints import deciders_of
from stream.study.ledger import Ledger
from stream.study.settings import StudySettings
from stream.study.tasks import ConcludeTask, Part
from tests.kit.studies import make_recording

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str]]
needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs the extra tables")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _times(folder: Path, *patterns: str) -> dict[str, int]:
    """When files were written, by their paths."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
    }


def _frames(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


@needs_pyarrow
def test_a_table_of_frames_says_what_the_event_lines_say(run: Run, copied: Path) -> None:
    from pyarrow import parquet

    assert run("--frames-table")[0] == 1  # one recording is broken
    folder = copied / "out" / "exam1"
    rows, lines = parquet.read_table(folder / "frames.parquet").to_pylist(), _lines(folder / "events.jsonl")
    assert len(rows) == len(lines) == 80
    for row, line in zip(rows, lines, strict=True):
        assert (row["procedure"], row["state"]) == ("exam1", line.get("state", "useful"))
        assert [row[name] for name in ("recording", "frame", "time_s")] == [
            line[name] for name in ("recording", "frame", "time_s")
        ]
        assert row["useful"] == line.get("useful", True)
        assert row["instrument"] == (pytest.approx(line["instrument"]) if "instrument" in line else None)
        scores = [one["score"] for one in line["candidates"]]
        assert row["best_score"] == (pytest.approx(max(scores)) if scores else None)
        boxes = [[one[side] for side in ("x1", "y1", "x2", "y2")] for one in row["boxes"]]
        assert boxes == [pytest.approx(one["box_xyxy"]) for one in line["detections"]]
        assert [one["track_id"] for one in row["boxes"]] == [one["track_id"] for one in line["detections"]]
    assert sum(row["instrument"] is not None for row in rows) > 2
    whole = parquet.read_table([str(path) for path in sorted((copied / "out").glob("*/frames.parquet"))])
    assert set(whole["procedure"].to_pylist()) == {"below/other", "copy", "exam1"}


@needs_pyarrow
def test_a_table_is_made_anew_with_its_events_and_goes_where_it_is_not_wanted(run: Run, copied: Path) -> None:
    run("--frames-table")
    before = _times(copied / "out", "*/frames.parquet")
    assert len(before) == 3
    assert run("--frames-table")[0] == 1
    assert _times(copied / "out", "*/frames.parquet") == before
    assert run()[0] == 1  # nothing is to be done: what was asked for before still says what is so
    assert _times(copied / "out", "*/frames.parquet") == before
    assert run("--threshold", "0.3")[0] == 1
    assert not _times(copied / "out", "*/frames.parquet")


def test_pyarrow_that_is_missing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # as if it were not installed
    with pytest.raises(InputError, match=r"pip install 'polypstream\[tables\]'"):
        Extras(frames_table=True).check()


def test_videos_are_written_and_kept_as_long_as_they_say_what_is_so(run: Run, copied: Path) -> None:
    results = copied / "out"
    assert run("--videos", "burned")[0] == 1
    videos = _times(results, "*/videos/*")
    assert sorted(videos) == [
        f"{name}/videos/{number}.{ending}"
        for name, number in (("below-other", "01"), ("copy", "01"), ("exam1", "01"), ("exam1", "02"))
        for ending in ("json", "mp4")
    ]
    assert [_frames(results / "exam1" / "videos" / name) for name in ("01.mp4", "02.mp4")] == [50, 30]
    # A report that is lost makes the procedure be concluded again: its videos are as they should be.
    (results / "exam1" / "report.html").unlink()
    (results / "exam1" / "videos" / "02.mp4").unlink()
    assert run("--videos", "burned")[0] == 1
    again = _times(results, "*/videos/*")
    assert {name for name in videos if again[name] != videos[name]} == {"exam1/videos/02.json", "exam1/videos/02.mp4"}
    # Other marks take the place of the former, and what a user put there stays.
    (results / "exam1" / "videos" / "12 notes.txt").write_text("notes")
    (results / "exam1" / "videos" / "01.partial.mp4").write_bytes(b"of a killed run")
    assert run("--videos", "track")[0] == 1
    assert {Path(name).suffix for name in _times(results, "*/videos/*")} == {".mkv", ".json", ".txt"}
    record = json.loads((results / "exam1" / "videos" / "02.json").read_text())
    assert (record["marks"], record["frames"]) == ("track", 30)
    with av.open(str(results / "exam1" / "videos" / "01.mkv")) as container:
        assert [stream.type for stream in container.streams] == ["video", "subtitle"]


def test_a_recording_that_no_track_can_stand_beside_keeps_its_report(run: Run, copied: Path) -> None:
    make_recording(copied / "in" / "exam1_003.avi", 4, frames=20, codec="rawvideo")  # which Matroska does not take
    status, said = run("--videos", "track")
    assert status == 1 and "an annotated recording is missing: Matroska cannot hold" in said
    assert "burn the marks in: --videos burned" in said and "--output" not in said
    assert (copied / "out" / "below-other" / "videos" / "01.mkv").is_file()
    with (copied / "out" / "procedures.csv").open(newline="") as table:
        states = {row["procedure"]: row["state"] for row in csv.DictReader(table)}
    assert (states["exam1"], states["below/other"], states["copy"]) == ("done", "done", "done")
    folder = copied / "out" / "exam1"
    assert (folder / "report.html").is_file() and len(_lines(folder / "events.jsonl")) == 80
    assert sorted(path.name for path in (folder / "videos").iterdir()) == ["01.json", "01.mkv", "02.json", "02.mkv"]
    assert "an annotated recording is missing" in (copied / "out" / "index.html").read_text()


def test_a_recording_that_changed_gets_no_video(run: Run, copied: Path) -> None:
    folder = copied / "out" / "copy"
    shutil.copy(copied / "in" / "exam1_001.mpg", copied / "in" / "copy.mkv")
    with pytest.raises(InputError, match="has changed since it was looked at"):
        write_videos(folder, Marking.BURNED, on_step=lambda: None)
    assert not list((folder / "videos").glob("*.mp4"))


def test_deciding_anew_reads_kept_pictures(run: Run, copied: Path) -> None:
    """The report of a procedure whose recordings are gone for a moment is made of the pictures that were kept."""
    pictures = _times(copied / "out", ".pictures/*/*.png")
    assert pictures
    (copied / "out" / "copy" / "report.html").unlink()
    assert run("--decide-only")[0] == 1
    assert _times(copied / "out", ".pictures/*/*.png") == pictures


def test_a_recording_that_goes_meanwhile_is_said_with_what_to_do(run: Run, copied: Path) -> None:
    """It is there when stock is taken, and not when the report needs a picture of it."""
    settings = StudySettings(copied / "in", copied / "out", model=str(copied / "tiny"), runtime="onnxruntime")
    deciders = deciders_of(settings)
    with Ledger(copied / "out" / "ledger.sqlite") as ledger:
        entry = next(one for one in ledger.recordings() if one.procedure == "copy")
    task = ConcludeTask(
        procedure="copy",
        folder=copied / "out" / "copy",
        store=copied / "out" / ".perceived",
        parts=(Part(copied / "in" / "gone.mkv", entry.key or "", entry.size_bytes, entry.sha256),),
        rule=deciders.rule,
        threshold=deciders.threshold,
        listed={},
        extras=Extras(),
        most_picture_bytes=0,
    )
    with pytest.raises(InputError, match=r"cannot read the recording .*gone.mkv.*; see where it is, and run the same"):
        conclude(task, lambda: None)
    assert not list((copied / "out" / ".pictures").iterdir())  # none may be kept
