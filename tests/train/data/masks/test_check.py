"""Masks that mean something else are refused by what they are, with the option that says what is meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as PillowImage

from engine.errors import InputError
from polypstream import cli
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.train.data.test_mask_reader import palette_png
from train.data.datasets import read_sample
from train.data.label_reading import LabelReading, MaskOrientation
from train.data.masks.check import CheckedDataset, checked_dataset
from train.data.masks.facts import facts_of

Mask = npt.NDArray[np.uint8]
_WIDTH, _HEIGHT = 64, 48


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYPSTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _polyp(number: int) -> Mask:
    """An ellipse, 1 on 0."""
    mask = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    return np.asarray(cv2.ellipse(mask, (20 + 4 * number, 24), (12, 9 + number), 0, 0, 360, 1, -1), np.uint8)


def _write(path: Path, data: Mask | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else cv2.imencode(path.suffix, data)[1].tobytes())
    return path


def _make(folder: Path, draw: Callable[[int], Mask | bytes], *, ending: str = "png", count: int = 4) -> Path:
    for number in range(count):
        picture = np.random.default_rng(number).integers(40, 200, (_HEIGHT, _WIDTH, 3)).astype(np.uint8)
        _write(folder / "images" / f"f{number}.png", picture)
        _write(folder / "masks" / f"f{number}.{ending}", draw(number))
    (folder / "split_val.txt").write_text("".join(f"f{number}\n" for number in range(count)))
    return folder


def _ringed(number: int) -> Mask:
    """As VOC has it: the object is 1, its outline 255."""
    polyp = _polyp(number)
    ring = np.asarray(cv2.dilate(polyp, np.ones((3, 3), np.uint8)), np.uint8) - polyp
    return polyp + 255 * ring


def _in_alpha(number: int) -> Mask:
    return np.dstack([np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8), 255 * _polyp(number)])


def _outline(number: int) -> Mask:
    polyp = _polyp(number)
    return 255 * (polyp - np.asarray(cv2.erode(polyp, np.ones((3, 3), np.uint8)), np.uint8))


def _photograph(number: int) -> Mask:
    noise = np.random.default_rng(number).integers(40, 220, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def _voc_palette(number: int) -> bytes:
    colours = [(0, 0, 0), (128, 0, 0)] + [(0, 0, 0)] * 253 + [(224, 224, 192)]
    return palette_png(_ringed(number), colours)


def _half_open(number: int) -> Mask:
    return np.where(_polyp(number) > 0, 255, 128).astype(np.uint8)


def _two_classes(number: int) -> Mask:
    return _polyp(number) * (1 + number % 2)


def _three_greys(number: int) -> Mask:
    mask = 255 * _polyp(number)
    mask[:8] = 128
    return mask


@dataclass(frozen=True)
class _Case:
    draw: Callable[[int], Mask | bytes]
    says: str  # of the refusal
    remedy: LabelReading  # that reads it right


#: What it is, and the reading that is right.
_OTHER_MEANINGS = {
    "alpha": _Case(_in_alpha, r"4 of 4 masks .* transparency .* 'f0.png'; .*--mask-polyp alpha", LabelReading("alpha")),
    "VOC numbers": _Case(_ringed, r"values, first 'f0.png' with 0, 1, 255; .*--mask-polyp VALUE", LabelReading("1")),
    "VOC palette": _Case(_voc_palette, r"with 0, 1, 255; ", LabelReading("1")),
    "grey background": _Case(_half_open, r"with 128, 255; .*--mask-polyp 255", LabelReading("255")),
    "a third grey": _Case(_three_greys, r"with 0, 128, 255; ", LabelReading("255")),
    "inverted": _Case(lambda n: 255 * (1 - _polyp(n)), r"look inverted: in 'f0.png' .*--mask-polyp dark",
                      LabelReading("dark")),
    "inverted numbers": _Case(lambda n: 1 - _polyp(n), r"look inverted", LabelReading("0")),
    "class numbers": _Case(lambda n: _polyp(n) * 2, r"is 2, which says neither .*--mask-polyp.*holds 0, 2",
                           LabelReading("2")),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(_OTHER_MEANINGS))
def test_other_meanings_are_refused_and_can_be_said(kind: str, tmp_path: Path) -> None:
    case = _OTHER_MEANINGS[kind]
    folder = _make(tmp_path / "set", case.draw)
    with pytest.raises(InputError, match=case.says):
        checked_dataset(folder)
    found = checked_dataset(folder, case.remedy)
    for number, sample in enumerate(found.samples):
        assert (read_sample(sample)[1] == _polyp(number)).all()
    assert found.masks.polyp == case.remedy.polyp and case.remedy.polyp in found.masks.notes()[0]


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (_photograph, r"masks of .* look like pictures: 'f0.png' has .* % .*images/ and masks in masks/"),
        (_outline, r"4 of 4 masks .* outlines that are not filled, first 'f0.png'"),
        (_two_classes, r"highest value of mask .* is 2"),
    ],
)
def test_what_no_value_can_put_right(draw: Callable[[int], Mask], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        checked_dataset(_make(tmp_path / "set", draw))


def _soft(number: int) -> Mask:
    return np.asarray(cv2.GaussianBlur(255 * _polyp(number), (5, 5), 0), np.uint8)


def _jpeg_as_png(number: int) -> Mask:
    code = cv2.imencode(".jpg", 255 * _polyp(number), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)


def _opaque(number: int) -> Mask:
    polyp = 255 * _polyp(number)
    return np.dstack([polyp, polyp, polyp, np.full_like(polyp, 255)])


def _alike_in_alpha(number: int) -> Mask:
    polyp = 255 * _polyp(number)
    return np.dstack([polyp] * 4)


@pytest.mark.parametrize(
    ("draw", "ending"),
    [
        (lambda n: 255 * _polyp(n), "png"),
        (lambda n: _polyp(n), "png"),
        (lambda n: 255 * _polyp(n), "jpg"),
        (_soft, "png"),
        (_jpeg_as_png, "png"),
        (_opaque, "png"),
        (_alike_in_alpha, "png"),
        (lambda n: 255 * _polyp(n) if n else np.ones((_HEIGHT, _WIDTH), np.uint8), "png"),  # one polyp fills its frame
    ],
)
def test_usual_masks_are_taken_as_they_are(draw: Callable[[int], Mask], ending: str, tmp_path: Path) -> None:
    found = checked_dataset(_make(tmp_path / "set", draw, ending=ending))
    mask = read_sample(found.samples[3])[1]
    assert (mask != _polyp(3)).mean() < 0.02
    assert (found.masks.masks, found.masks.empty) == (4, 0)


def test_polyps_of_a_few_pixels_are_counted_and_said(tmp_path: Path) -> None:
    def draw(number: int) -> Mask:
        mask = np.zeros((_HEIGHT, _WIDTH), np.uint8)
        mask[4, 4] = 255
        return np.maximum(mask, 255 * _polyp(number)) if number else mask

    found = checked_dataset(_make(tmp_path / "set", draw)).masks
    assert (found.only_specks, found.specks) == (1, 4)
    (note,) = found.notes()
    assert note == "1 mask holds only pieces under 0.05 % of the frame, first 'f0.png': they count as without polyp"


def test_empty_masks_are_said(tmp_path: Path) -> None:
    found = checked_dataset(_make(tmp_path / "set", lambda _: np.zeros((_HEIGHT, _WIDTH), np.uint8))).masks
    assert found.empty == 4 and found.notes() == ["none of the 4 masks shows a polyp"]


def test_sizes_of_the_whole_set_are_checked(tmp_path: Path) -> None:
    folder = _make(tmp_path / "set", lambda n: 255 * _polyp(n) if n < 2 else 255 * _polyp(n)[::2, ::2])
    with pytest.raises(InputError, match=r"f2.png' has another size .* 32x24 against 64x48, and 1 more of"):
        checked_dataset(folder)


def _turned_picture(path: Path, orientation: int, *, square: bool = False) -> Mask:
    """A JPEG whose bright ellipse is stored as `_polyp(0)` and shown turned; returns the mask as it is stored."""
    stored = _polyp(0)[:, :_HEIGHT] if square else _polyp(0)
    exif = PillowImage.Exif()
    exif[274] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = PillowImage.fromarray(np.repeat((60 + 160 * stored)[:, :, None], 3, axis=2))
    picture.save(path, exif=exif.tobytes(), quality=95)
    return 255 * stored


def _turned_set(folder: Path, orientation: int, *, square: bool = False, shown: bool = False) -> Path:
    for number in range(3):
        mask = _turned_picture(folder / "images" / f"t{number}.jpg", orientation, square=square)
        if shown:
            image = cv2.imread(str(folder / "images" / f"t{number}.jpg"), cv2.IMREAD_GRAYSCALE)
            mask = 255 * (np.asarray(image) > 128).astype(np.uint8)
        _write(folder / "masks" / f"t{number}.png", mask)
    return folder


def _fits(found: CheckedDataset) -> bool:
    """Masks lie on the bright places of their pictures."""
    pairs = [read_sample(sample) for sample in found.samples]
    return all(((image[:, :, 0] > 128) == mask).mean() > 0.97 for image, mask in pairs)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("shown", [True, False])
def test_sizes_tell_on_which_pixels_masks_were_drawn(orientation: int, shown: bool, tmp_path: Path) -> None:
    found = checked_dataset(_turned_set(tmp_path / "set", orientation, shown=shown))
    assert _fits(found) and found.masks.turned == (0 if shown else 3)
    assert found.masks.notes() == ([] if shown else ["3 masks were drawn on the stored pixels, and turned as the "
                                                     "picture is"])  # fmt: skip


@pytest.mark.parametrize(("orientation", "square"), [(3, False), (2, False), (4, False), (6, True)])
@pytest.mark.parametrize("drawn", list(MaskOrientation))
def test_where_sizes_do_not_tell_it_has_to_be_said(
    orientation: int, square: bool, drawn: MaskOrientation, tmp_path: Path
) -> None:
    shown = drawn is MaskOrientation.SHOWN
    folder = _turned_set(tmp_path / "set", orientation, square=square, shown=shown)
    says = rf"3 of 3 masks .* \(EXIF orientation\), first 't0.png' \(orientation {orientation}\); .*--mask-orientation"
    with pytest.raises(InputError, match=says):
        checked_dataset(folder)
    assert _fits(checked_dataset(folder, LabelReading(orientation=drawn)))


def test_masks_drawn_in_two_ways_are_refused(tmp_path: Path) -> None:
    folder = _turned_set(tmp_path / "set", 6)
    shown = _turned_set(tmp_path / "other", 6, shown=True) / "masks" / "t0.png"
    (folder / "masks" / "t0.png").write_bytes(shown.read_bytes())
    with pytest.raises(InputError, match=r"on stored pixels \('t1.png'\) and on shown ones \('t0.png'\)"):
        checked_dataset(folder)


def test_facts_are_measured_once(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _make(tmp_path / "set", lambda n: 255 * _polyp(n))
    samples = checked_dataset(folder).samples
    before = facts_of(samples, LabelReading())
    monkeypatch.setattr("train.data.masks.facts._measured", None)  # would fail
    assert facts_of(samples, LabelReading()) == before
    with pytest.raises(TypeError):
        facts_of(samples, LabelReading("dark"))


@pytest.mark.parametrize("text", ["white", "-1", "70000", "1.5"])
def test_wrong_words(text: str) -> None:
    with pytest.raises(InputError, match="--mask-polyp must be"):
        LabelReading(text)


_COMMANDS = {
    "evaluate": ["evaluate", "tiny", "set", "--split", "all", "--json", "out.json"],
    "calibrate": ["calibrate", "tiny", "--data", "set", "--split", "all", "--output", "better"],
    "patches": ["prepare", "patches", "--data", "set", "--output", "windows", "--size", "16"],
    "hard negatives": ["prepare", "hard-negatives", "tiny", "--data", "set", "--output", "mined"],
    "train": ["train", "--data", "set", "--output", "run", "--epochs", "1"],
    "build": ["build", "tiny", "--precisions", "--data", "set"],
}


@pytest.mark.parametrize("command", list(_COMMANDS))
def test_every_command_refuses_before_it_works(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command in ("train", "hard negatives"):
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path / "tiny")
    _make(tmp_path / "set", lambda n: 255 * (1 - _polyp(n)))
    assert cli.main(_COMMANDS[command]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "look inverted" in told and "--mask-polyp dark" in told
    assert not any((tmp_path / name).exists() for name in ("out.json", "better", "windows", "mined"))


def test_reports_and_records_hold_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path / "tiny")
    _make(tmp_path / "set", lambda n: 255 * (1 - _polyp(n)))
    command = ["evaluate", "tiny", "set", "--split", "all", "--json", "out.json", "--report", "out.html"]
    assert cli.main([*command, "--mask-polyp", "dark"]) == 0
    result = json.loads((tmp_path / "out.json").read_text())["models"][0]["results"]["set"]
    assert result["masks"]["polyp"] == "dark" and result["masks"]["masks"] == 4
    assert 0.05 < result["masks"]["mean_share"] < 0.2
    assert "polyp in masks is what was asked for: dark" in (tmp_path / "out.html").read_text(encoding="utf-8")
    command = ["prepare", "patches", "--data", "set", "--output", "windows", "--size", "16"]
    assert cli.main([*command, "--mask-polyp", "dark"]) == 0
    summary = json.loads(next((tmp_path / "windows").glob("*.json")).read_text())
    assert summary["masks"]["set"]["polyp"] == "dark"


@pytest.mark.slow
@pytest.mark.data
def test_real_sets_are_taken_as_they_are(data_dir: Path) -> None:
    folders = [path.parent for path in sorted(data_dir.glob("*/masks")) if len(list(path.iterdir())) < 400]
    assert folders
    for folder in folders:
        found = checked_dataset(folder).masks
        assert found.masks > 100 and found.empty <= 1 and found.turned == found.whole_border == 0, folder
