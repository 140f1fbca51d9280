"""Exports of data sets and results: what is written, what is left out, and what other tools read."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import InputError, RunError
from polypstream.cli import main
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.view.field_of_view import find_field_of_view
from tests.kit.endoscope_pictures import octagon, on_margin, tissue, with_text
from tests.kit.labelled import HEIGHT, WIDTH, Box, write_dataset, write_events, write_pictures, write_results
from tests.kit.media import make_video
from tests.kit.odd_files import Film, write_streams
from train.data.datasets import read_dataset
from train.labels.copying import field_alone
from train.labels.export_writer import ExportSettings, Format
from train.labels.exporting import export_labels
from train.labels.importing import ImportSettings, import_labels

_TRACK: dict[int, dict[int, Box]] = {1: {frame: (20.0, 20.0, 60.0, 60.0) for frame in range(3, 9)}}


def test_pycocotools_reads_what_is_written(tmp_path: Path) -> None:
    coco_tools = pytest.importorskip("pycocotools.coco")
    export_labels(write_dataset(tmp_path / "in"), tmp_path / "out", ExportSettings(Format.COCO))
    coco = coco_tools.COCO(str(tmp_path / "out" / "instances_train.json"))
    by_name = {image["file_name"]: key for key, image in coco.imgs.items()}
    assert sorted(by_name) == ["a.png", "b.jpg"]
    outlined = coco.loadAnns(coco.getAnnIds([by_name["a.png"]]))
    assert sorted(one["bbox"] for one in outlined) == [[10, 10, 40, 30], [70, 50, 30, 40]]
    for one in outlined:  # polygons run through the pixels of the edge
        assert abs(int(coco.annToMask(one).sum()) - one["area"]) <= one["bbox"][2] + one["bbox"][3]


def test_yolo_files_of_frames_that_nobody_looked_at_are_left_out(tmp_path: Path) -> None:
    events = write_results(tmp_path, "exam", _TRACK, frames=12)
    export_labels(events, tmp_path / "out", ExportSettings(Format.YOLO, spacing_s=0))
    pictures = sorted(path.stem for path in (tmp_path / "out" / "images" / "train").iterdir())
    assert pictures == sorted(path.stem for path in (tmp_path / "out" / "labels" / "train").iterdir())
    assert pictures == [f"exam_{frame:06d}" for frame in range(3, 9)]


@pytest.mark.parametrize("name", ["-exam", "+exam"])
def test_a_group_comes_back_whose_name_spreadsheets_take_for_a_formula(tmp_path: Path, name: str) -> None:
    export_labels(write_results(tmp_path, name, _TRACK, frames=12), tmp_path / "out", ExportSettings(Format.YOLO))
    import_labels(tmp_path / "out", tmp_path / "back")
    assert {sample.group for sample in read_dataset(tmp_path / "back")} == {f"sequence-{name}"}


@pytest.mark.parametrize(("stream", "deinterlace"), [(1, "auto"), (0, "field")])
def test_pictures_are_of_the_frames_that_were_looked_at(tmp_path: Path, stream: int, deinterlace: str) -> None:
    """Another video stream of the file, and two pictures for each frame."""
    video = write_streams(
        tmp_path / "exam.mp4", [Film(range(6), (WIDTH, HEIGHT)), Film(range(40, 46), (WIDTH, HEIGHT))]
    )
    with open_source(video, stream=stream, deinterlace=Deinterlace(deinterlace)) as opened:
        shown = [frame.image.copy() for frame in opened]
    last = len(shown) - 1
    assert last == (5 if deinterlace == "auto" else 11)
    source = {"kind": "video", "path": str(video), "resolution_wh": [WIDTH, HEIGHT], "stream": stream}
    events = write_events(tmp_path / "exam.jsonl", source, {1: {last: (20.0, 20.0, 60.0, 60.0)}}, frames=last + 1)
    record = {"source": source, "settings": {"deinterlace": deinterlace}}
    events.with_name("exam.run.json").write_text(json.dumps(record))
    export_labels(events, tmp_path / "out", ExportSettings(Format.COCO))
    (written,) = (tmp_path / "out" / "images").iterdir()
    assert (cv2.imread(str(written)) == shown[last]).all()
    if deinterlace == "field":  # CVAT plays the recording, which has half as many pictures
        with pytest.raises(InputError, match="two pictures a frame"):
            export_labels(events, tmp_path / "cvat", ExportSettings(Format.CVAT))


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", ["one.png", "two.png"])
    source = {"kind": "folder", "path": str(tmp_path / "pictures")}
    events = write_events(tmp_path / "found.jsonl", source, {1: {1: (10.0, 10.0, 50.0, 50.0)}}, frames=2)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    named = [{**line, "image": name} for line, name in zip(lines, ("one.png", "two.png"), strict=True)]
    events.write_text("".join(f"{json.dumps(one)}\n" for one in named))
    done = export_labels(events, tmp_path / "out", ExportSettings(Format.LABEL_STUDIO))
    assert (done.pictures, done.labels) == (2, 1)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert tasks[0].keys() == {"data"}  # nobody said that it shows nothing
    assert tasks[1]["predictions"][0]["result"][0]["value"]["rectanglelabels"] == ["polyp"]
    back = import_labels(tmp_path / "out", tmp_path / "back", ImportSettings(predictions=True))
    assert (back.boxed, back.negative) == (1, 0)
    for format in (Format.COCO, Format.YOLO, Format.VOC, Format.CVAT):
        export_labels(events, tmp_path / format.value, ExportSettings(format))
        back = import_labels(tmp_path / format.value, tmp_path / f"{format.value}-back")
        assert (back.boxed, back.negative) == (1, 0), format


def test_results_of_a_study(tmp_path: Path) -> None:
    """A procedure of two recordings, whose frames are counted on."""
    folder = tmp_path / "study" / "exam"
    folder.mkdir(parents=True)
    sources = []
    for name in ("exam_1.mp4", "exam_2.mp4"):
        make_video(tmp_path / name, frames=5, size=(WIDTH, HEIGHT))
        source = {"kind": "video", "path": str(tmp_path / name), "resolution_wh": [WIDTH, HEIGHT]}
        sources.append({"name": name, "path": str(tmp_path / name), "frames": 5, "source": source})
    tracks: dict[int, dict[int, Box]] = {1: {1: (10.0, 10.0, 40.0, 40.0)}, 2: {7: (20.0, 20.0, 50.0, 50.0)}}
    events = write_events(folder / "events.jsonl", {}, tracks, frames=10)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    events.write_text("".join(f"{json.dumps({**line, 'recording': line['frame'] // 5})}\n" for line in lines))
    (folder / "events.run.json").unlink()
    (folder / "run.json").write_text(json.dumps({"recordings": sources, "source": sources[0]["source"]}))
    done = export_labels(tmp_path / "study", tmp_path / "out", ExportSettings(Format.CVAT))
    assert (done.recordings, done.labels) == (2, 2)
    assert sorted(path.parent.name for path in (tmp_path / "out").rglob("annotations.xml")) == ["exam-1", "exam-2"]
    back = import_labels(tmp_path / "out" / "exam-2", tmp_path / "back", ImportSettings((tmp_path,)))
    assert back.boxed == 1 and next(iter((tmp_path / "back" / "images").iterdir())).stem == "000002"


def test_the_field_of_view_alone() -> None:
    inside = octagon((320, 240), (60, 10, 300, 230))
    frame = with_text(on_margin(tissue((320, 240)), inside), 4, 40)
    shown = field_alone(frame, find_field_of_view(frame))
    assert not shown[:, :50].any() and frame[:, :50].max() > 100
    assert np.array_equal(shown[60:180, 80:280], frame[60:180, 80:280])


@pytest.mark.parametrize("format", [Format.CVAT, Format.VOC, Format.COCO])
def test_recordings_without_what_lies_beside_the_field(tmp_path: Path, format: Format) -> None:
    """Names are numbers, pictures hold no text of the recording, and labels stay where they were."""
    events = write_results(tmp_path, "Surname_Name", _TRACK, frames=12)
    export_labels(events, tmp_path / "out", ExportSettings(format, field_only=True, spacing_s=0))
    written = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")]
    assert len(written) > 6 and not any("Surname" in name for name in written)
    for path in (one for one in (tmp_path / "out").rglob("*.*") if one.suffix in (".xml", ".json", ".csv")):
        assert "Surname" not in path.read_text()
    told = ImportSettings(unlabelled_are_negative=True)
    back = import_labels(tmp_path / "out", tmp_path / "back", told)
    assert (back.boxed, back.negative) == (6, 6 if format is Format.CVAT else 0)


def test_what_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = write_results(tmp_path, "exam", _TRACK, frames=12)
    output = ["--output", str(tmp_path / "out")]

    def said(*arguments: str) -> str:
        assert main(["prepare", "export", *arguments, *output]) == 2
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.*"))
        return capsys.readouterr().err

    assert "does not exist" in said(str(tmp_path / "none"), "--format", "coco")
    assert "neither a data set" in said(str(tmp_path / "videos"), "--format", "coco")
    assert "--tolerance" in said(str(events), "--format", "cvat", "--tolerance", "2")
    assert "Label Studio plays recordings as they are" in said(str(events), "--format", "label-studio", "--field-only")
    (tmp_path / "videos" / "exam.mp4").rename(tmp_path / "exam.mp4")
    assert "name its folder with --pictures" in said(str(events), "--format", "cvat")
    lines = events.read_text()
    events.write_text(lines + '{"frame": 12, "time_s": NaN}\n')
    assert "line 13 of" in said(str(events), "--format", "cvat", "--pictures", str(tmp_path))
    events.write_text(lines)
    (tmp_path / "exam.run.json").unlink()
    assert "the record of the run" in said(str(events), "--format", "cvat")


def test_a_recording_that_is_shorter_than_its_results(tmp_path: Path) -> None:
    events = write_results(tmp_path, "exam", _TRACK, frames=12)
    make_video(tmp_path / "videos" / "exam.mp4", frames=6, size=(WIDTH, HEIGHT))
    with pytest.raises(RunError, match="exam.mp4 ends before frame 6, which is in its results; is it another record"):
        export_labels(events, tmp_path / "out", ExportSettings(Format.YOLO, spacing_s=0))


def test_label_studio_knows_one_rate(tmp_path: Path) -> None:
    events = write_results(tmp_path, "exam", _TRACK, frames=12)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    slow = [{**line, "time_s": line["frame"] / 10} for line in lines]
    uneven = [{**line, "time_s": line["time_s"] + (line["frame"] > 5) * 0.2} for line in lines]
    for name, events_of in (("slow", slow), ("uneven", uneven)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in events_of))
        (tmp_path / name / "b.run.json").write_bytes((tmp_path / "exam.run.json").read_bytes())
    (tmp_path / "slow" / "a.jsonl").write_bytes(events.read_bytes())
    (tmp_path / "slow" / "a.run.json").write_bytes((tmp_path / "exam.run.json").read_bytes())
    with pytest.raises(InputError, match="recordings have 10, 25 frames a second, and Label Studio knows one rate"):
        export_labels(tmp_path / "slow", tmp_path / "out", ExportSettings(Format.LABEL_STUDIO))
    done = export_labels(tmp_path / "uneven", tmp_path / "out", ExportSettings(Format.LABEL_STUDIO))
    assert "b has no even frame rate" in done.notes[0]
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    tasks[0]["predictions"][0]["result"][0]["value"]["framesCount"] = 24
    (tmp_path / "out" / "tasks.json").write_text(json.dumps(tasks))
    with pytest.raises(
        InputError, match="count 24 frames, and exam.mp4 has about 12: it was labelled at another frame rate"
    ):
        import_labels(tmp_path / "out", tmp_path / "back", ImportSettings((tmp_path / "videos",), predictions=True))


def test_the_command_and_what_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = write_results(tmp_path, "exam", _TRACK, frames=12)
    (tmp_path / "moved").mkdir()
    (tmp_path / "videos" / "exam.mp4").rename(tmp_path / "moved" / "exam.mp4")
    told = ["--format", "cvat", "--output", str(tmp_path / "out"), "--pictures", str(tmp_path / "moved")]
    assert main(["prepare", "export", str(events), *told]) == 0
    assert "finished: 1 recording with 6 labels" in capsys.readouterr().out
    assert (tmp_path / "out" / "annotations.xml").is_file()
    picture = cv2.imread(str(tmp_path / "moved" / "exam.mp4"))
    assert picture is None  # the recording is left where it is, and is no picture
