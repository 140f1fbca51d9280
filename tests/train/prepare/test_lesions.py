"""Lesions cut from frames whose masks name classes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Pixels
from engine.errors import InputError, OutputError
from polypstream.cli import main
from stream.frame import FieldOfView
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from tests.train.data.test_mask_reader import palette_png

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from train.prepare.lesions import ENHANCED, WHITE_LIGHT, LesionSettings, is_enhanced, lesions_of, prepare_lesions

_PINK, _BROWN = (110, 130, 210), (60, 130, 190)  # BGR


def _frame(colour: tuple[int, int, int], seed: int) -> Pixels:
    coarse = np.random.default_rng(seed).normal(1, 0.15, (5, 6, 1))
    light = cv2.resize(coarse, (240, 200), interpolation=cv2.INTER_CUBIC)[:, :, None]
    return np.clip(np.array(colour) * light, 0, 255).astype(np.uint8)


def _make(folder: Path) -> Path:
    for name in ("images", "classes"):
        (folder / name).mkdir(parents=True)
    frames = {"a": _frame(_PINK, 1), "b": _frame(_BROWN, 2), "c": _frame(_PINK, 3)}
    frames["d"] = np.clip(frames["c"].astype(int) + 6, 0, 255).astype(np.uint8)  # near-duplicate of c
    for name, image in frames.items():
        classes = np.zeros(image.shape[:2], np.uint8)
        cv2.circle(classes, (60, 80), 25, 1 if name != "b" else 2, cv2.FILLED)
        if name == "a":  # both in one frame, and a slip of the pen
            cv2.rectangle(classes, (150, 100), (189, 119), 2, cv2.FILLED)
            classes[5:7, 5:7] = 1
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 97])
        cv2.imwrite(str(folder / "classes" / f"{name}.png"), classes)
    return folder


def test_every_lesion_is_cut_into_its_class_and_its_group_is_kept(tmp_path: Path) -> None:
    data = _make(tmp_path / "set")
    counts = prepare_lesions(data, tmp_path / "out", LesionSettings(context=1.5, size=48))
    assert counts == {"neoplastic": 3, "non_neoplastic": 2}
    record = json.loads((tmp_path / "out" / "pictures.json").read_text())
    assert record["view"] == {"context": 1.5} and record["frames"] == 4 and record["frame_groups"] == 3
    pictures = record["pictures"]
    assert set(pictures) == {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("*/*")}
    assert pictures["neoplastic/c-0.png"]["group"] == pictures["neoplastic/d-0.png"]["group"]
    assert pictures["neoplastic/a-0.png"]["group"] == pictures["non_neoplastic/a-1.png"]["group"]
    assert pictures["neoplastic/a-0.png"]["group"] != pictures["neoplastic/c-0.png"]["group"]
    assert pictures["non_neoplastic/b-0.png"]["subset"] == ENHANCED
    assert pictures["neoplastic/a-0.png"]["subset"] == WHITE_LIGHT
    assert pictures["non_neoplastic/a-1.png"]["box_xyxy"] == [150, 100, 190, 120]
    cut = cv2.imread(str(tmp_path / "out" / "neoplastic" / "a-0.png"))
    assert cut is not None and cut.shape == (48, 48, 3)
    with pytest.raises(OutputError, match="holds something already; give a new folder"):
        prepare_lesions(data, tmp_path / "out", LesionSettings())
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot be made"):
        prepare_lesions(data, tmp_path / "file" / "out", LesionSettings())


def test_classes_of_sixteen_bits_and_of_a_palette(tmp_path: Path) -> None:
    data = _make(tmp_path / "set")
    deep = cv2.imread(str(data / "classes" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert deep is not None
    cv2.imwrite(str(data / "classes" / "a.png"), deep.astype(np.uint16))
    path = data / "classes" / "b.png"
    plain = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert plain is not None
    path.write_bytes(palette_png(plain, [(0, 0, 0), (128, 0, 0), (0, 128, 0)]))
    counts = prepare_lesions(data, tmp_path / "out", LesionSettings(size=48))
    assert counts == {"neoplastic": 3, "non_neoplastic": 2}


def _in_red(classes: Pixels) -> Pixels:
    return np.dstack([classes * 0, classes * 0, np.where(classes > 0, 255, 0)]).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_in_red, r"class mask '.*d\.png' is in colour; write a grey PNG of numbers: 0 background, 1, 2"),
        (
            lambda classes: np.where(classes > 0, 255, 0).astype(np.uint8),
            r"d\.png' holds 255, which is no class number; write 0 for background, 1 to 2 for the classes",
        ),
        (lambda classes: classes * 3, r"d\.png' holds class 3; name 3 classes"),
        (lambda classes: classes[:20], "has another size than its frame: 240x20 against 240x200"),
    ],
)
def test_a_failure_in_the_last_frame_leaves_nothing_behind(
    tmp_path: Path, change: Callable[[Pixels], Pixels], message: str
) -> None:
    data = _make(tmp_path / "set")
    path = data / "classes" / "d.png"
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    cv2.imwrite(str(path), change(mask))
    with pytest.raises(InputError, match=message):
        prepare_lesions(data, tmp_path / "out", LesionSettings())
    assert not (tmp_path / "out").exists()


def test_no_lesion_at_all(tmp_path: Path) -> None:
    data = _make(tmp_path / "set")
    for path in (data / "classes").iterdir():
        cv2.imwrite(str(path), np.zeros((200, 240), np.uint8))
    with pytest.raises(InputError, match=r"no lesion found in '.*set'; classes/ must hold 1, 2, \.\.\."):
        prepare_lesions(data, tmp_path / "out", LesionSettings())
    assert not (tmp_path / "out").exists()


def test_regions_of_one_class_that_touch_another_are_apart() -> None:
    classes = np.zeros((100, 100), np.uint8)
    classes[10:30, 10:30], classes[10:30, 30:60] = 1, 2
    assert list(lesions_of(classes, 2, "mask")) == [(0, (10, 10, 30, 30)), (1, (30, 10, 60, 30))]
    with pytest.raises(InputError, match="'mask' holds class 2; name 2 classes"):
        list(lesions_of(classes, 1, "mask"))


@pytest.mark.parametrize(
    ("colour", "expected"), [(_PINK, False), (_BROWN, True), ((90, 150, 140), True), ((0, 0, 0), False)]
)
def test_light(colour: tuple[int, int, int], expected: bool) -> None:
    assert is_enhanced(np.full((60, 80, 3), colour, np.uint8), FieldOfView((0, 0, 80, 60))) is expected


def test_what_cannot_be_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", "lesions", "--data", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(command) == 2 and "needs images/ and classes/" in capsys.readouterr().err
    data = _make(tmp_path / "set")
    command[3] = str(data)
    assert main([*command, "--context", "0.5"]) == 2
    assert "the context must be 1 to 4 times the lesion. Received: 0.5" in capsys.readouterr().err
    assert main([*command, "--classes", "one", "one"]) == 2 and "two or more different" in capsys.readouterr().err
    assert main([*command, "--size", "8"]) == 2 and "32 pixels" in capsys.readouterr().err
    cv2.imwrite(str(data / "classes" / "a.png"), np.zeros((10, 10), np.uint8))
    assert main(command) == 2 and "has another size than its frame: 10x10 against 240x200" in capsys.readouterr().err
    (data / "classes" / "a.png").unlink()
    assert main(command) == 2 and "has no mask in classes/" in capsys.readouterr().err


@pytest.mark.data
def test_light_of_real_frames(data_dir: Path) -> None:
    """About a fifth of NeoPolyp is FICE."""
    paths = sorted((data_dir / "bkai-neopolyp" / "images").iterdir())[::25]
    images = [read_picture(path) for path in paths]
    assert 0.08 <= np.mean([is_enhanced(image, find_field_of_view(image)) for image in images]) <= 0.4


@pytest.mark.data
def test_masks_agree_with_the_list_of_labels(data_dir: Path) -> None:
    folder = data_dir / "bkai-neopolyp"
    with (folder / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[::20]
    for row in rows:
        path = folder / "classes" / f"{Path(row['image']).stem}.png"
        labels = {label for label, _ in lesions_of(read_picture(path)[:, :, 0], 2, str(path))}
        assert labels == {k for k, name in enumerate(("neoplastic", "non_neoplastic")) if row[name] == "1"}
