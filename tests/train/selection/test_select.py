"""`prepare select` over real recordings, with a detector that takes what is bright for a polyp."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from polypstream.cli import main
from tests.kit.labelled import write_dataset
from tests.kit.studies import make_recording
from tests.kit.tiny_bundle import make_tiny_bundle
from train.labels.importing import import_labels

_FRAMES = 50
_SPOT = [40.0, 30.0, 90.0, 80.0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_bundle(tmp_path_factory.mktemp("model") / "tiny").folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Event lines with candidates of three recordings: two differ, and the third shows what the first does."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "videos").mkdir()
    for name, seed in (("one", 1), ("two", 2), ("copy", 1)):
        video = make_recording(folder / "videos" / f"{name}.mp4", seed, frames=_FRAMES)
        lines = []
        for frame in range(_FRAMES):
            score = 0.3 if name != "two" and frame % 20 < 10 else 0.55
            seen = {"box_xyxy": _SPOT, "score": score, "label": "polyp"}
            shown = [{**seen, "track_id": 1}] if score > 0.5 else []
            event = {"frame": frame, "time_s": frame / 25, "field_of_view_xyxy": [0, 0, 160, 128]}
            lines.append({**event, "detections": shown, "candidates": [seen]})
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
        source = {"kind": "video", "path": str(video), "resolution_wh": [160, 128]}
        record = {"source": source, "settings": {"threshold": 0.5}, "model": {"name": "tiny"}}
        (folder / f"{name}.run.json").write_text(json.dumps(record))
    return folder


def test_the_command(results: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ["prepare", "select", str(results), "--model", model, "--frames", "16", "--spacing", "0.2"]
    assert main([*told, "--output", str(tmp_path / "out")]) == 0
    assert "finished: " in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "selection.csv").read_text().splitlines()))
    assert 4 <= len(rows) <= 16
    assert {row["procedure"] for row in rows} >= {"two"} and all(float(row["worth"]) > 0 for row in rows)
    assert not {row["frame"] for row in rows if row["procedure"] == "one"} & {
        row["frame"] for row in rows if row["procedure"] == "copy"
    }  # no two that look the same, also of two recordings
    page = (tmp_path / "out" / "index.html").read_text()
    for row in rows:
        assert (tmp_path / "out" / row["image"]).is_file() and row["image"] in page
    assert "a box is shown whose score is near the threshold" in page and "<rect " in page
    shown = sum(row["procedure"] == "two" or int(row["frame"]) % 20 >= 10 for row in rows)
    back = import_labels(tmp_path / "out", tmp_path / "back")  # frames without a box are not labelled
    assert (back.boxed, back.negative) == (shown, 0)
    assert main([*told, "--output", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "selection.csv").read_text() == (tmp_path / "out" / "selection.csv").read_text()


@pytest.mark.slow
def test_a_training_set_makes_frames_novel(
    results: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data")
    told = ["prepare", "select", str(results), "--model", model, "--frames", "4", "--data", str(data)]
    assert main([*told, "--output", str(tmp_path / "out"), "--format", "coco", "--field-only"]) == 0
    assert "look at every frame before you import them" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "selection.csv").read_text().splitlines()))
    assert any(float(row["novel"]) == 1 for row in rows)
    assert [Path(row["image"]).stem for row in rows] == [f"{number:06d}" for number in range(1, len(rows) + 1)]


def test_what_cannot_be_selected_from(
    results: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert main(["prepare", "select", *arguments, "--output", str(tmp_path / "out")]) == 2
        assert not (tmp_path / "out").exists() or not any((tmp_path / "out").glob("*.*"))
        return capsys.readouterr().err

    assert "holds no results" in said(str(tmp_path), "--model", model)
    assert "--frames" in said(str(results), "--model", model, "--frames", "0")
    assert "was looked at by model 'tiny'; name its bundle with --model" in said(str(results))
    record = json.loads((results / "one.run.json").read_text())
    lines = [json.loads(line) for line in (results / "one.jsonl").read_text().splitlines()]
    (tmp_path / "exam.run.json").write_text(json.dumps(record))
    bare = [{key: value for key, value in line.items() if key != "candidates"} for line in lines]
    (tmp_path / "exam.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in bare))
    assert "--candidates" in said(str(tmp_path / "exam.jsonl"), "--model", model)
