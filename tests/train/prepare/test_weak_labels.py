"""Weak labels: the shipped detector outlines polyps in rendered frames, whose true outlines are known."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from engine.errors import InputError, OutputError
from tests.kit.media import make_video
from train.augmentation.synthetic import synthetic_frames
from train.data.cache import CachedFrame
from train.data.datasets import Split, read_dataset, read_sample
from train.prepare.weak_labels import WeakLabelSettings, _outlined, label_frames


@pytest.fixture(scope="module")
def polyps() -> list[CachedFrame]:
    return [frame for frame in synthetic_frames(12, seed=5) if frame.mask.mean() > 0.01]


@pytest.fixture
def folder(tmp_path: Path, polyps: list[CachedFrame]) -> Path:
    path = tmp_path / "shown"
    path.mkdir()
    for number, frame in enumerate(polyps):
        cv2.imwrite(str(path / f"{number:02d}.png"), frame.image)
    return path


def test_outlines_are_those_of_the_polyps(tmp_path: Path, folder: Path, polyps: list[CachedFrame]) -> None:
    output = tmp_path / "weak"
    made = label_frames("polyp", [folder], output, WeakLabelSettings(least=0.2))
    assert made.frames == len(polyps) >= 4 and made.kept >= 0.7 * made.frames and str(output) in made.text()
    samples = read_dataset(output)
    assert len(samples) == made.kept and all(sample.split is Split.TRAIN for sample in samples)
    with (output / "weak_labels.csv").open(newline="") as stream:
        rows = {row["image"]: row for row in csv.DictReader(stream)}
    overlaps = []
    for sample in samples:
        row = rows[sample.image.stem]
        assert row["source"] == "shown" and float(row["score"]) >= 0.2
        truth = polyps[int(Path(row["frame"]).stem)].mask > 0
        _, mask = read_sample(sample)
        assert mask.shape == truth.shape
        overlaps.append((truth & (mask > 0)).sum() / (truth | (mask > 0)).sum())
    assert np.median(overlaps) > 0.5, overlaps
    assert cv2.imread(str(output / "preview.png")) is not None
    # What a person finds wrong on the sheet is taken out by deleting the picture.
    samples[0].image.unlink()
    assert len(read_dataset(output)) == made.kept - 1


def test_frames_without_a_place_sure_enough_are_left_out(tmp_path: Path, folder: Path) -> None:
    made = label_frames("polyp", [folder], tmp_path / "weak", WeakLabelSettings(least=1.0, sure=1.0))
    assert made.kept == 0 and not (tmp_path / "weak" / "preview.png").exists()


def test_what_was_labelled_before_a_failure_is_kept_with_its_sheet(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        label_frames("polyp", [folder, tmp_path / "gone.mp4"], tmp_path / "weak", WeakLabelSettings(least=0.2))
    assert read_dataset(tmp_path / "weak") and cv2.imread(str(tmp_path / "weak" / "preview.png")) is not None


def test_frames_of_a_video_lie_apart(tmp_path: Path) -> None:
    path = make_video(tmp_path / "polyp.mp4", frames=30)
    settings = WeakLabelSettings(least=0.0, spacing_s=0.5)
    assert label_frames("polyp", [path], tmp_path / "weak", settings).frames == 3  # at 0, 0.52, 1.04 s


@pytest.mark.parametrize(("level", "share"), [(0.9, 1.0), (0.1, np.pi / 4)])
def test_a_box_without_mask_gets_an_ellipse(level: float, share: float) -> None:
    box = np.array([20, 30, 80, 70], np.float32)
    shares = np.zeros((100, 120), np.float32)
    shares[30:70, 20:80] = level
    mask = _outlined(shares, box)
    assert mask.sum() == pytest.approx(share * 60 * 40, rel=0.06)
    assert mask[50, 50] == 1 and mask[:29].sum() == mask[:, 82:].sum() == 0


def test_what_cannot_be_labelled(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(OutputError, match="holds something already"):
        label_frames("polyp", [folder], tmp_path / "full")
    labelled = tmp_path / "labelled"
    (labelled / "images").mkdir(parents=True)
    (labelled / "masks").mkdir()
    with pytest.raises(InputError, match="labels of its own"):
        label_frames("polyp", [labelled], tmp_path / "weak")
    with pytest.raises(InputError, match="belongs to data set 'labelled', which has labels; name the set"):
        label_frames("polyp", [labelled / "images"], tmp_path / "weak")
    with pytest.raises(InputError, match="no such file"):
        label_frames("polyp", [tmp_path / "gone.mp4"], tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(InputError, match=r"Received: 0\.6, 0\.5"):
        WeakLabelSettings(least=0.6)
    with pytest.raises(InputError, match="spacing must be at least 0"):
        WeakLabelSettings(spacing_s=-1)
