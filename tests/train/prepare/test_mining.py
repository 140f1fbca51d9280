"""Hard negatives, by a detector that takes what is bright for a polyp."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from engine.errors import InputError, OutputError
from tests.kit.tiny_bundle import make_tiny_bundle
from train.data.datasets import Split, read_dataset, read_sample
from train.dense.batches import Mixture
from train.dense.fit import FitSettings, fit
from train.dense.material import Material, gather
from train.networks.dense import DenseSettings
from train.prepare.mining import MiningSettings, mine
from train.run.checkpoints import load_checkpoint, save_checkpoint

_WIDTH, _HEIGHT = 256, 256
_LEFT, _RIGHT = (20, 80, 90, 150), (170, 80, 240, 150)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_bundle(tmp_path_factory.mktemp("model") / "tiny").folder)


def _picture(*bright: tuple[int, int, int, int]) -> np.ndarray:
    image = np.random.default_rng(0).integers(60, 90, (_HEIGHT, _WIDTH, 3)).astype(np.uint8)
    for x1, y1, x2, y2 in bright:
        image[y1:y2, x1:x2] = 250
    return image


def _add(folder: Path, name: str, image: np.ndarray, polyp: tuple[int, int, int, int] | None) -> None:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
    mask = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    if polyp is not None:
        mask[polyp[1] : polyp[3], polyp[0] : polyp[2]] = 255
    cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    _add(folder, "right", _picture(_LEFT), _LEFT)  # the polyp is found, and nothing else
    _add(folder, "both", _picture(_LEFT, _RIGHT), _LEFT)
    _add(folder, "normal", _picture(_RIGHT), None)
    _add(folder, "quiet", _picture(), None)
    _add(folder, "held_out", _picture((60, 10, 200, 60), (30, 200, 90, 240)), None)
    (folder / "split_train.txt").write_text("right\nboth\nnormal\nquiet\n")
    (folder / "split_val.txt").write_text("held_out\n")
    return folder


def test_false_alarms_become_training_negatives(tmp_path: Path, model: str, dataset: Path) -> None:
    mined = mine(model, [dataset], tmp_path / "mined")
    assert (mined.frames, mined.kept) == (4, 2) and str(tmp_path / "mined") in mined.text()
    samples = read_dataset(tmp_path / "mined")
    assert all(sample.mask is None and sample.split is Split.TRAIN for sample in samples)
    assert {sample.group for sample in samples} == {"sequence-frames"}
    with (tmp_path / "mined" / "false_alarms.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["source"], row["frame"]) for row in rows] == [("frames", "both"), ("frames", "normal")]
    assert all(float(row["score"]) > 0.5 for row in rows)
    beside, whole = (read_sample(sample)[0] for sample in samples)
    # The strip right of the polyp, with the false alarm and without the polyp.
    assert beside.shape[0] == _HEIGHT and beside.shape[1] == pytest.approx(_WIDTH - _LEFT[2], abs=12)
    assert (beside > 240).all(axis=2).sum() == 70 * 70
    assert whole.shape == (_HEIGHT, _WIDTH, 3)


def test_a_strip_too_narrow_is_left_out(tmp_path: Path, model: str) -> None:
    folder = tmp_path / "frames"
    polyp = (0, 0, 190, 256)
    _add(folder, "a", _picture((195, 100, 250, 160)), polyp)
    (folder / "split_train.txt").write_text("a\n")
    assert mine(model, [folder], tmp_path / "mined").kept == 0


def test_pictures_known_to_show_no_polyp(tmp_path: Path, model: str) -> None:
    folder = tmp_path / "normal"
    folder.mkdir()
    for name, image in (("a", _picture(_LEFT)), ("b", _picture()), ("c", _picture(_RIGHT))):
        cv2.imwrite(str(folder / f"{name}.png"), image)
    mined = mine(model, [folder], tmp_path / "mined")
    assert (mined.frames, mined.kept) == (3, 2)
    assert mine(model, [folder], tmp_path / "none", MiningSettings(threshold=1.0)).kept == 0


def test_frames_of_a_video_lie_apart(tmp_path: Path, model: str) -> None:
    from tests.kit.media import make_video

    path = make_video(tmp_path / "normal.mp4", frames=30)
    loose = mine(model, [path], tmp_path / "loose", MiningSettings(threshold=0.0, spacing_s=0.5))
    dense = mine(model, [path], tmp_path / "dense", MiningSettings(threshold=0.0, spacing_s=0.0))
    assert dense.frames == loose.frames == 30 and dense.kept == 30
    assert loose.kept == 3  # 30 frames of 25 a second: at 0, 0.52, 1.04 s


def test_what_cannot_be_mined(tmp_path: Path, model: str, dataset: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(OutputError, match="holds something already"):
        mine(model, [dataset], tmp_path / "full")
    unseen = tmp_path / "cvc-colondb"
    dataset.rename(unseen)
    with pytest.raises(InputError, match="'cvc-colondb' is kept for testing"):
        mine(model, [unseen], tmp_path / "mined")
    with pytest.raises(InputError, match="belongs to data set 'cvc-colondb', which has labels"):
        mine(model, [unseen / "images"], tmp_path / "mined")
    with pytest.raises(InputError, match="no such file"):
        mine(model, [tmp_path / "gone.mp4"], tmp_path / "other")
    with pytest.raises(InputError, match="spacing must be at least 0"):
        MiningSettings(spacing_s=-1)


@pytest.mark.slow
def test_a_checkpoint_is_mined_and_the_result_is_trained_on(tmp_path: Path, dataset: Path) -> None:
    material = gather([dataset], tmp_path / "cache", synthetic=1, erased=False, transplanted=0)
    settings = FitSettings(
        network=DenseSettings(trunk="lite0_short", channels=16, head_layers=1),
        mixture=Mixture(normal_crops=0.1, negatives=0.3, synthetic=0.1),
        input_wh=(64, 64),
        epochs=1,
        steps_per_epoch=1,
        batch_size=2,
    )
    from train.dense.recipe import imagenet_weights

    run = tmp_path / "run"
    best = fit(settings, material.pools, material.validation, run, imagenet=imagenet_weights("lite0_short"))
    mean = tmp_path / "mean.pt"  # as `train --join --mean weights` writes it
    save_checkpoint({**load_checkpoint(best), "figures": {}}, mean)
    with pytest.raises(InputError, match=r"mean\.pt' was not judged.*give --threshold"):
        mine(str(mean), [dataset], tmp_path / "mined")
    mined = mine(str(mean), [dataset], tmp_path / "mined", MiningSettings(threshold=0.0))
    assert mined.kept > 0
    more: Material = gather([dataset, mined.folder], tmp_path / "cache", synthetic=1, erased=False, transplanted=0)
    assert len(more.pools.negatives) == len(material.pools.negatives) + mined.kept
    again = fit(settings, more.pools, more.validation, tmp_path / "second", start_from=best)
    assert again.is_file()
