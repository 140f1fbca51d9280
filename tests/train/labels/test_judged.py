"""Judgements made on the real review page, in figures, in the agreement of readers, in exports and selections."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the review page is an extra: pip install polypstream[review]")

from engine.errors import InputError
from polypstream.cli import main
from stream.review.context import ReviewSettings
from stream.review.serving import ReviewPage
from stream.web.address import PageAddress
from tests.kit.labelled import HEIGHT, WIDTH, Box, boxes_in, write_events, write_pictures
from tests.kit.media import make_video
from tests.kit.review_reader import Reader, review_page
from train.labels.export_writer import ExportSettings, Format
from train.labels.exporting import export_labels
from train.labels.importing import ImportSettings, import_labels
from train.labels.judged import judges
from train.labels.results import read_results, tracks_of
from train.selection.signals import Reason, signals_of

_FRAMES = 200  # 8 seconds
_HERE: Box = (20.0, 20.0, 60.0, 60.0)
_THERE: Box = (70.0, 30.0, 110.0, 80.0)


def _track(first: int, last: int, box: Box = _HERE) -> dict[int, Box]:
    return dict.fromkeys(range(first, last + 1), box)


def _procedure(folder: Path, name: str, tracks: Mapping[int, Mapping[int, Box]]) -> None:
    video = make_video(folder / f"{name}.mp4", frames=_FRAMES, size=(WIDTH, HEIGHT))
    source = {"kind": "video", "path": str(video), "resolution_wh": [WIDTH, HEIGHT], "duration_s": _FRAMES / 25}
    events = write_events(folder / f"{name}.jsonl", source, tracks, frames=_FRAMES)
    lines = [{**json.loads(line), "candidates": []} for line in events.read_text().splitlines()]
    events.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    record = {"source": source, "counts": {"frames": _FRAMES}, "settings": {"threshold": 0.5}}
    (folder / f"{name}.run.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two procedures that a reader is done with, one of them two readers, and one that somebody has begun."""
    folder = tmp_path_factory.mktemp("results")
    tracks = {1: _track(10, 29), 2: _track(40, 59), 3: _track(100, 109), 4: _track(115, 124)}
    _procedure(folder, "exam", tracks)
    _procedure(folder, "clean", {1: _track(100, 109, _THERE)})
    _procedure(folder, "begun", {1: _track(10, 29)})
    with review_page(folder) as page:
        one, two = Reader(page, "A"), Reader(page, "B")
        one.judge("exam", "1", "right", kind="adenoma", size="1-5")
        one.change("exam", "box", finding="1", recording=0, frame=20, box=list(_THERE))
        one.judge("exam", "2", "wrong", cause="fold")
        one.change("exam", "join", findings=["3", "4"])
        one.judge("exam", "3", "right")
        one.change("exam", "add", recording=0, boxes={"140": list(_HERE), "150": list(_THERE)})
        one.change("exam", "turning_point", recording=0, time_s=2.0)
        one.change("exam", "state", value="done")
        one.judge("clean", "1", "wrong", cause="bubble")
        one.change("clean", "state", value="done")
        one.judge("begun", "1", "right")
        for finding, verdict in (("1", "right"), ("2", "right"), ("3", "right"), ("4", "unsure")):
            two.judge("exam", finding, verdict)
        two.judge("exam", "1", "right", kind="adenoma", size="6-9")
        two.change("exam", "state", value="done")
    return folder


def test_figures_and_agreement_over_http(results: Path) -> None:
    with review_page(results) as page:
        reader = Reader(page, "A")
        found = reader.get("/api/figures", reader="A")
        assert found["procedures"] == {"done": 2, "not_done": 1, "with_turning_point": 1}
        assert found["findings"] == {"right": 2, "added": 1, "wrong": 2, "unsure": 0, "not_judged": 0}
        figures = found["figures"]
        assert figures["sensitivity_per_lesion"]["value"] == pytest.approx(2 / 3, abs=1e-4)
        assert figures["false_positives_per_procedure_bubble"]["value"] == 0.5
        withdrawal = figures["false_positives_per_minute_of_withdrawal"]
        assert withdrawal["count"] == 1 and withdrawal["of"] == pytest.approx(0.1, abs=0.002)  # minutes
        rows = list(csv.DictReader(reader.get("/api/figures.csv", reader="A").splitlines()))
        assert float(rows[0]["value"]) == figures["sensitivity_per_lesion"]["value"]
        everybody = reader.get("/api/figures")
        assert everybody["readers"] == ["A", "B"] and everybody["findings"]["unsure"] == 1  # A and B differ on 2
        agreement = reader.get("/api/agreement", readers="A,B")
        assert agreement["procedures"] == ["exam"]
        verdict = agreement["fields"]["verdict"]
        assert verdict["table"] == [[2, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
        differences = reader.get("/api/differences", procedure="exam", readers="A,B")
        assert [one["differ"].keys() for one in differences] == [{"size"}, {"verdict"}, {"verdict"}, {"verdict"}]
        assert differences[0]["differ"]["size"] == ["1-5", "6-9"]
        with pytest.raises(AssertionError, match=r"400: .*name two readers, as readers=A,B"):
            reader.get("/api/agreement", readers="A")


def test_the_command_writes_figures(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", str(results), "--figures", str(tmp_path / "figures.csv")]) == 0
    assert "figures of 2 procedures that are done, 1 are not" in capsys.readouterr().out
    assert (tmp_path / "figures.csv").read_text().startswith("figure,value,low_95")


def test_labels_follow_what_was_judged(results: Path) -> None:
    read = read_results(results, judges=judges("A"))
    exam = next(one for one in read.recordings if one.name == "exam")
    tracks = tracks_of(exam)
    assert len(tracks) == 3  # 1; 3 and 4 joined; and what was added
    assert tracks["1"][1][20] == _THERE and tracks["1"][1][21] == _HERE
    assert sorted(tracks["3"][1]) == [*range(100, 110), *range(115, 125)]
    (added,) = (boxes for key, (_, boxes) in tracks.items() if key not in ("1", "3"))
    assert sorted(added) == list(range(140, 151)) and added[145] == (45.0, 25.0, 85.0, 70.0)
    assert not any(frame.labels for frame in exam.frames[40:60])  # judged wrong
    assert "exam: judged by A; this counts in the place of what was found" in read.notes
    begun = next(one for one in read.recordings if one.name == "begun")
    assert not any(frame.is_complete for frame in begun.frames) and "not to the end" in " ".join(read.notes)
    everybody = next(one for one in read_results(results, judges=judges()).recordings if one.name == "begun")
    assert everybody.judged is None  # nobody is done with it
    with pytest.raises(InputError, match="'C' has judged nothing"):
        read_results(results, judges=judges("C"))


def test_judgements_of_other_frames_are_left_aside(results: Path, tmp_path: Path) -> None:
    for name in ("clean.jsonl", "clean.run.json", "review.sqlite"):
        (tmp_path / name).write_bytes((results / name).read_bytes())
    lines = (tmp_path / "clean.jsonl").read_text().splitlines()
    (tmp_path / "clean.jsonl").write_text("".join(f"{line}\n" for line in lines[:150]))
    read = read_results(tmp_path / "clean.jsonl", judges=judges())
    assert read.recordings[0].judged is None and any(frame.labels for frame in read.recordings[0].frames)
    assert "clean: its frames are others than those that were judged; the judgements are left aside" in read.notes


def test_a_blind_review_gives_figures_of_one_reader_alone(results: Path) -> None:
    with ReviewPage(ReviewSettings(results, blind=True), PageAddress("127.0.0.1", 0), without_token=True) as page:
        reader = Reader(page, "B")
        with pytest.raises(AssertionError, match="400: .*this review is blind"):
            reader.get("/api/figures")
        assert reader.get("/api/figures", reader="B")["procedures"]["done"] == 1


def test_frames_without_polyp_become_negatives(results: Path, tmp_path: Path) -> None:
    told = ExportSettings(Format.YOLO, spacing_s=0.2, negative_spacing_s=2.0, reader="A")
    done = export_labels(results, tmp_path / "out", told)
    assert any("judged by A" in note for note in done.notes)
    back = import_labels(tmp_path / "out", tmp_path / "back")
    names = sorted((tmp_path / "back" / "negatives.txt").read_text().split())
    assert {name.split("_")[0] for name in names} == {"clean"}  # in `exam` a lesion is never far
    frames = [int(name.rsplit("_", 1)[1]) for name in names]
    assert [frame for frame in frames if 100 <= frame < 110] == [100, 105]  # the false alarm, at the narrow spacing
    assert [frame for frame in frames if not 100 <= frame < 110] == [0, 50, 110, 160]
    boxed = boxes_in(tmp_path / "back")
    assert back.negative == 6 and back.boxed == len(boxed) > 8
    plain = export_labels(results, tmp_path / "plain", ExportSettings(Format.YOLO, judgements=False))
    assert import_labels(tmp_path / "plain", tmp_path / "plain-back").negative == 0
    assert not any("judged" in note for note in plain.notes)


def test_what_nobody_is_sure_of_is_neither_polyp_nor_background(tmp_path: Path) -> None:
    """An unsure finding beside a right one, and a lesion that the second reader alone marked."""
    _procedure(tmp_path, "doubt", {1: _track(10, 49), 2: _track(30, 39, _THERE)})
    with review_page(tmp_path) as page:
        one, two = Reader(page, "A"), Reader(page, "B")
        one.judge("doubt", "1", "right")
        one.judge("doubt", "2", "unsure")
        one.change("doubt", "state", value="done")
        two.change("doubt", "add", recording=0, boxes={"120": list(_THERE), "129": list(_THERE)})
        two.change("doubt", "state", value="done")
    told = {form: ExportSettings(form, spacing_s=0, negative_spacing_s=0) for form in (Format.YOLO, Format.CVAT)}
    done = export_labels(tmp_path, tmp_path / "yolo", told[Format.YOLO])
    assert "doubt: left out, as nobody is sure what they show: 20 frames" in done.notes
    back = import_labels(tmp_path / "yolo", tmp_path / "yolo-back")
    frames = {int(name.removeprefix("doubt_")) for name in boxes_in(tmp_path / "yolo-back")}
    assert frames == {*range(10, 30), *range(40, 50)}
    negatives = {
        int(name.removeprefix("doubt_")) for name in (tmp_path / "yolo-back/negatives.txt").read_text().split()
    }
    assert negatives == set(range(180, _FRAMES)) and back.negative == len(negatives)
    assert "0: 'polyp'\n" in (tmp_path / "yolo" / "data.yaml").read_text()
    assert "unsure" not in (tmp_path / "yolo" / "data.yaml").read_text()
    export_labels(tmp_path, tmp_path / "cvat", told[Format.CVAT])
    assert (tmp_path / "cvat" / "annotations.xml").read_text().count('label="unsure" source="manual"') == 2
    said = import_labels(tmp_path / "cvat", tmp_path / "cvat-back", ImportSettings((tmp_path,))).notes
    assert "left out, as nobody is sure what they show: 20 pictures, as 'doubt/000030'" in said
    assert len(boxes_in(tmp_path / "cvat-back")) == 30


def test_pictures_that_nobody_is_sure_of_are_left_out(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "c.png"]
    write_pictures(tmp_path / "pictures", names)
    source = {"kind": "folder", "path": str(tmp_path / "pictures"), "resolution_wh": [WIDTH, HEIGHT]}
    events = write_events(tmp_path / "found.jsonl", source, {1: {0: _HERE}, 2: {1: _THERE}}, frames=3)
    lines = [
        {**json.loads(line), "image": name} for line, name in zip(events.read_text().splitlines(), names, strict=True)
    ]
    events.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    (tmp_path / "found.run.json").write_text(json.dumps({"source": source, "counts": {"frames": 3}, "settings": {}}))
    with review_page(tmp_path) as page:
        reader = Reader(page, "A")
        first, second = (finding["id"] for finding in reader.review("found")["findings"])
        reader.judge("found", first, "right")
        reader.judge("found", second, "unsure")
        reader.change("found", "state", value="done")
    for form in (Format.YOLO, Format.VOC, Format.COCO):
        done = export_labels(events, tmp_path / form.value, ExportSettings(form))
        assert "left out, as nobody is sure what they show: 1 picture" in done.notes
        assert (done.pictures, done.labels) == (2, 1)
        texts = [path for path in (tmp_path / form.value).rglob("*.*") if path.is_file() and path.suffix != ".png"]
        assert texts and not any("unsure" in path.read_text() for path in texts)
        import_labels(tmp_path / form.value, tmp_path / f"{form.value}-back")
        assert list(boxes_in(tmp_path / f"{form.value}-back")) == ["a"]
    export_labels(events, tmp_path / "cvat", ExportSettings(Format.CVAT))
    assert (tmp_path / "cvat" / "annotations.xml").read_text().count('label="unsure"') == 1


def test_recordings_of_tracks_say_what_was_judged(results: Path, tmp_path: Path) -> None:
    export_labels(results, tmp_path / "out", ExportSettings(Format.CVAT, tolerance=0, reader="A"))
    told = ImportSettings((results,))
    back = import_labels(tmp_path / "out" / "exam", tmp_path / "back", told)
    assert back.boxed == 20 + 20 + 11


def test_selections_ask_for_what_was_judged_wrong_and_missed(results: Path) -> None:
    read = read_results(results, judges=judges("A"))
    exam = next(one for one in read.recordings if one.name == "exam")
    found = signals_of(exam, 0.5)
    assert found[Reason.JUDGED_WRONG].nonzero()[0].tolist() == list(range(40, 60))
    assert found[Reason.MISSED].nonzero()[0].tolist() == list(range(140, 151))
    beside = found[Reason.BESIDE_WRONG]
    assert beside[39] > 0.9 and beside[60] > 0.9 and beside[50] == 0 and beside[120] == 0
