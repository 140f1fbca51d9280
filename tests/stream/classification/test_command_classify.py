"""`polypstream classify`, and `detect --classify`, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from engine.arrays import Image
from polypstream.cli import main
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle, make_tiny_classifier


@pytest.fixture
def classifier(tmp_path: Path) -> str:
    folder = tmp_path / "classifier"
    make_tiny_classifier(folder, context=1.0)
    return str(folder)


@pytest.fixture
def detector(tmp_path: Path) -> str:
    folder = tmp_path / "detector"
    make_tiny_bundle(folder)
    return str(folder)


def _plain(path: Path, red: int, green: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((48, 64, 3), (0, green, red), np.uint8))
    return path


def _scene() -> Image:
    """Dark mucosa with grain, and one bright reddish lesion that the tiny detector finds."""
    scene = np.random.default_rng(3).integers(30, 90, (240, 320, 3)).astype(np.uint8)
    cv2.ellipse(scene, (160, 120), (40, 40), 0, 0, 360, (230, 205, 255), cv2.FILLED)
    return scene


def test_a_folder_becomes_a_table_lines_and_heat_maps(
    tmp_path: Path, classifier: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    _plain(pictures / "2.png", 255, 0)
    _plain(pictures / "10.png", 0, 255)
    (pictures / "3.jpg").write_bytes(b"no picture")
    lines, maps = tmp_path / "out.jsonl", tmp_path / "maps"
    command = ["classify", str(pictures), "--model", classifier, "--runtime", "onnxruntime"]
    assert main([*command, "--json", str(lines), "--heatmap", str(maps)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in told[:3]] == [["file", "class"], ["2.png", "red"], ["10.png", "green"]]
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(row["file"], row["class"]) for row in rows] == [("2.png", "red"), ("10.png", "green")]
    assert rows[0]["probabilities"]["red"] > 0.99 and sum(rows[0]["probabilities"].values()) == pytest.approx(1)
    assert sorted(path.name for path in maps.iterdir()) == ["10.png", "2.png"]
    pair = cv2.imread(str(maps / "2.png"))
    assert pair is not None and pair.shape == (48, 128, 3) and (pair[:, :64] == (0, 0, 255)).all()
    assert np.abs(pair[:, 64:].astype(int) - (0, 0, 255)).max() > 30
    # What is there is not written over unasked.
    assert main([*command, "--json", str(lines)]) == 2
    assert main([*command, "--heatmap", str(maps)]) == 2
    assert main([*command, "--heatmap", str(maps), "--json", str(lines), "--overwrite"]) == 0


def test_lesions_are_found_first(tmp_path: Path, classifier: str, detector: str) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    cv2.imwrite(str(frames / "a.png"), _scene())
    cv2.imwrite(str(frames / "b.png"), np.random.default_rng(3).integers(30, 90, (240, 320, 3)).astype(np.uint8))
    lines = tmp_path / "out.jsonl"
    command = ["classify", str(frames), "--model", classifier, "--find", detector, "--runtime", "onnxruntime"]
    assert main([*command, "--json", str(lines), "--heatmap", str(tmp_path / "maps")]) == 0
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert rows and all(row["file"] == "a.png" and row["class"] == "red" for row in rows)
    x1, y1, x2, y2 = rows[0]["box_xyxy"]
    assert x1 < 160 < x2 and y1 < 120 < y2
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "nowhere.png"),
        (["PICTURE", "--model", "unheard-of"], "unknown model 'unheard-of'"),
        (["PICTURE", "--model", "DETECTOR"], "'tiny' is no classifier but a detector"),
        (["PICTURE", "--model", "WHOLE", "--find", "DETECTOR"], "made for whole pictures, not for lesions"),
        (["PICTURE", "--find", "CLASSIFIER"], "'red-or-green' is no detector but a classifier"),
        (["PICTURE", "--heatmap", "map.txt"], "map.txt"),
        (["FOLDER", "--heatmap", "map.png"], "must be a new or empty folder"),
        (["PICTURE", "--json", "out.txt"], "out.txt"),
        (["VIDEO"], "detect"),
        (["PICTURE", "--runtime", "magic"], "unknown runtime 'magic'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path,
    classifier: str,
    detector: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = _plain(tmp_path / "one" / "picture.png", 200, 0)
    if "WHOLE" in arguments:
        make_tiny_classifier(tmp_path / "whole")
    if "VIDEO" in arguments:
        make_video(tmp_path / "video.mp4", frames=3)
    known = {
        "PICTURE": str(picture),
        "FOLDER": str(picture.parent),
        "VIDEO": str(tmp_path / "video.mp4"),
        "DETECTOR": detector,
        "WHOLE": str(tmp_path / "whole"),
        "CLASSIFIER": classifier,
    }
    command = ["classify", *(known.get(word, word) for word in arguments)]
    for option, value in (("--model", classifier), ("--runtime", "onnxruntime")):
        if option not in command:
            command += [option, value]
    assert main(command) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in told if line.startswith("polypstream: ")]) == 1 and message in told[-1]
    assert not (tmp_path / "out.txt").exists()


def test_detect_adds_classes_to_tracks(tmp_path: Path, classifier: str, detector: str) -> None:
    make_video(tmp_path / "video.mp4", frames=40, size=(320, 240), draw=lambda number, size: _scene())
    command = ["detect", str(tmp_path / "video.mp4"), "--model", detector, "--runtime", "onnxruntime"]
    outputs = ["--events", str(tmp_path / "e.jsonl"), "--output", str(tmp_path / "o.mp4")]
    assert main([*command, *outputs, "--classify", classifier]) == 0
    events = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert len(events) == 40
    first, last = events[0]["detections"][0], events[-1]["detections"][0]
    # A track is told of after three looks, which come 0.2 s apart.
    assert first["classes"] is None and last["classes"]["red"] > 0.5
    record = json.loads((tmp_path / "e.run.json").read_text())
    assert record["settings"]["classify"] == classifier
    assert record["classifier"]["name"] == "red-or-green"
    assert any(stage["name"] == "classification" for stage in record["timings"]["stages"])
    assert main([*command, "--events", str(tmp_path / "plain.jsonl")]) == 0
    plain = json.loads((tmp_path / "plain.jsonl").read_text().splitlines()[-1])
    assert "classes" not in plain["detections"][0]


def test_detect_classifies_each_picture_of_a_folder(tmp_path: Path, classifier: str, detector: str) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    cv2.imwrite(str(frames / "a.png"), _scene())
    command = ["detect", str(frames), "--model", detector, "--runtime", "onnxruntime", "--classify", classifier]
    assert main([*command, "--events", str(tmp_path / "e.jsonl")]) == 0
    event = json.loads((tmp_path / "e.jsonl").read_text())
    assert event["detections"][0]["classes"]["red"] > 0.5
    assert main([*command[:-1], detector]) == 2


def test_pages_and_all_formats_are_classified_and_the_rest_is_named(
    tmp_path: Path, classifier: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    _plain(pictures / "1.png", 255, 0)
    _plain(pictures / "1.ppm", 0, 255)
    colours = [np.full((48, 64, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0))]
    tifffile.imwrite(pictures / "2.tif", np.stack(colours), photometric="rgb")
    (pictures / "notes.txt").write_text("no picture")
    lines, maps = tmp_path / "out.jsonl", tmp_path / "maps"
    command = ["classify", str(pictures), "--model", classifier, "--runtime", "onnxruntime"]
    assert main([*command, "--json", str(lines), "--heatmap", str(maps)]) == 0
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(row["file"], row.get("page"), row["class"]) for row in rows] == [
        ("1.png", None, "red"),
        ("1.ppm", None, "green"),
        ("2.tif", 1, "red"),
        ("2.tif", 2, "green"),
    ]
    assert sorted(path.name for path in maps.iterdir()) == ["1.png.png", "1.ppm.png", "2.1.png", "2.2.png"]
    assert "left out: 1 x .txt (notes.txt)" in caplog.text
    assert "2.tif, page 2" in capsys.readouterr().out


def test_an_animation_is_for_detect(tmp_path: Path, classifier: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (Pillow.fromarray(np.full((48, 64, 3), value, np.uint8)) for value in (20, 200))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], duration=100)
    assert main(["classify", str(tmp_path / "a.gif"), "--model", classifier]) == 2
    assert "is a video" in capsys.readouterr().err
