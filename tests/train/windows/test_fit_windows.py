"""Training window classifiers end to end on windows of two colours: tiny, but the real thing."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

import train.windows.frozen_features as frozen_features_module
from engine.arrays import ImageStack
from engine.errors import InputError, OutputError, RunError, WriteError
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from tests.kit.tiny_bundle import make_tiny_windows_bundle
from train.data.datasets import Split
from train.data.windows import WindowSet, as_input, read_windows
from train.networks.registry import build_network
from train.networks.window_network import WindowSpec
from train.run.checkpoints import load_checkpoint, save_checkpoint
from train.windows.checkpoint import load_classifier
from train.windows.figures import window_figures
from train.windows.fit import WindowFitSettings, fit_windows
from train.windows.frozen_features import frozen_features
from train.windows.recipe import LEAKS, WindowRecipe, train_windows

FIT = WindowFitSettings(network="cnn1", input_px=32, epochs=2, batch_size=8, bf16=False)


def _windows(count: int, *, seed: int, size: int = 32) -> WindowSet:
    """Class 0 has a bright spot, class 1 has none."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(60, 120, (count, size, size, 3)).astype(np.uint8)
    labels = (np.arange(count) % 2).astype(np.int64)
    pictures[labels == 0, 8:24, 8:24] = 250
    return WindowSet(pictures, labels, ("polyp", "non_polyp"), False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Windows on disk, as `prepare patches` lays them."""
    for split, count in (("train", 24), ("validation", 12)):
        windows = _windows(count, seed=len(split))
        for number, (picture, label) in enumerate(zip(windows.pictures, windows.labels, strict=True)):
            path = tmp_path / "windows" / split / windows.classes[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture[:, :, ::-1])
    return tmp_path / "windows"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as ONNX."""
    bundle = make_tiny_windows_bundle(tmp_path_factory.mktemp("ready"))
    return bundle.networks["fp32"].path


@pytest.fixture
def quick_export(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every exported network is the one that is ready: for tests of all else, as exporting takes seconds."""
    monkeypatch.setattr("train.export.bundling.export_onnx", lambda _, path, **__: shutil.copyfile(ready, path))


def _epochs(run: Path) -> list[str]:
    with (run / "epochs.csv").open() as stream:
        return [row["epoch"] for row in csv.DictReader(stream)]


def test_it_learns_and_leaves_everything_behind(tmp_path: Path, curves: None) -> None:
    settings = replace(FIT, epochs=6)
    found = fit_windows(settings, _windows(48, seed=0), _windows(24, seed=1), tmp_path)
    assert found.figures["accuracy"] == 1.0 and found.figures["auc"] == 1.0
    assert found.figures["confusion"] == [[12, 0], [0, 12]] and found.figures["majority_share"] == 0.5
    assert found.start == "" and 1 <= found.epoch <= 6
    for name in ("last.pt", "best.pt"):
        assert load_checkpoint(tmp_path / name)["settings"]["network"] == "cnn1"
    assert len(_epochs(tmp_path)) <= 6
    pytest.importorskip("matplotlib")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None and picture.std() > 5
    network, record = load_classifier(found.checkpoint)
    assert record["classes"] == ["polyp", "non_polyp"] and not network.training


def test_resume_gives_what_one_run_gives(tmp_path: Path) -> None:
    training, validation = _windows(24, seed=0), _windows(12, seed=1)
    fit_windows(replace(FIT, epochs=3), training, validation, tmp_path / "whole")
    torch.manual_seed(99)
    run = tmp_path / "parts"

    class Killed(Exception):
        pass

    # Cut off in the second epoch: what is on disk afterwards is the end of the first.
    real = save_checkpoint

    def dying(state: dict[str, object], path: Path) -> None:
        if state["epoch"] == 2:
            raise Killed
        real(state, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.run.epochs.save_checkpoint", dying)
        with pytest.raises(Killed):
            fit_windows(replace(FIT, epochs=3), training, validation, run)
    assert load_checkpoint(run / "last.pt")["epoch"] == 1
    fit_windows(replace(FIT, epochs=3), training, validation, run, resume=True)
    whole, parts = load_checkpoint(tmp_path / "whole" / "last.pt"), load_checkpoint(run / "last.pt")
    assert whole["epoch"] == parts["epoch"] == 3
    assert _epochs(run) == ["1", "2", "3"]  # the epoch that was cut off is not told twice
    for key, value in whole["network"].items():
        assert torch.allclose(value.float(), parts["network"][key].float(), atol=1e-5), key


def test_a_new_run_does_not_add_to_the_old_log(tmp_path: Path) -> None:
    for _ in range(2):
        fit_windows(replace(FIT, epochs=1), _windows(16, seed=0), _windows(8, seed=1), tmp_path)
    assert _epochs(tmp_path) == ["1"]


def test_early_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = iter([(0.5, 0.7), (0.8, 0.6), (0.8, 0.5), (0.8, 0.5), (0.7, 0.4), (1.0, 0.1)])

    def judge(*_: object) -> dict[str, object]:
        accuracy, loss = next(script)
        return {"accuracy": accuracy, "loss": loss, "quiet_threshold": 0.5}

    monkeypatch.setattr("train.windows.fit._judge", judge)
    found = fit_windows(replace(FIT, epochs=40, patience=2), _windows(8, seed=0), _windows(8, seed=1), tmp_path)
    # Equal accuracy with a lower loss is better; two epochs without anything better end the run.
    assert found.epoch == 3 and _epochs(tmp_path) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("trained_blocks", [0, 1])
def test_frozen_blocks_stay_and_their_features_are_computed_once(
    tmp_path: Path, trained_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    start = build_network("cnn3", WindowSpec(2, 64))
    torch.save(start.state_dict(), tmp_path / "start.pth")
    settings = replace(
        FIT, network="cnn3", input_px=64, trained_blocks=trained_blocks, weights=tmp_path / "start.pth", epochs=2
    )
    training, validation = _windows(16, seed=0, size=64), _windows(8, seed=1, size=64)
    cache = tmp_path / "features"
    found = fit_windows(settings, training, validation, tmp_path / "run", feature_cache=cache)
    assert "classifier starts random" in found.start
    network, _ = load_classifier(found.checkpoint)
    frozen = 3 - trained_blocks
    for number, (now, before) in enumerate(zip(network.blocks(), start.blocks(), strict=True)):
        same = all(torch.equal(a, b) for a, b in zip(now.parameters(), before.parameters(), strict=True))
        assert same is (number < frozen)
    # Again, with other windows among them: only these are computed.
    seen: list[int] = []

    def counted(pictures: ImageStack) -> torch.Tensor:
        seen.append(len(pictures))
        return as_input(pictures)

    monkeypatch.setattr(frozen_features_module, "as_input", counted)
    mixed = np.concatenate([training.pictures[:4], _windows(3, seed=5, size=64).pictures])
    features = frozen_features(network, frozen, mixed, cache, bf16=False)
    assert sum(seen) == 3
    with torch.no_grad():
        expected = network.extract(as_input(mixed), frozen).numpy()
    assert np.abs(features - expected).max() < 2e-2


def test_blocks_that_are_not_in_the_file_are_not_frozen(tmp_path: Path) -> None:
    state = build_network("cnn3", WindowSpec(2, 64)).state_dict()
    torch.save({k: v for k, v in state.items() if not k.startswith("layers.2")}, tmp_path / "part.pth")
    settings = replace(FIT, network="cnn3", input_px=64, weights=tmp_path / "part.pth")
    windows = _windows(8, seed=0, size=64)
    with pytest.raises(InputError, match=r"block 3 of 'cnn3' is not in .* would be frozen at random"):
        fit_windows(replace(settings, trained_blocks=0), windows, windows, tmp_path / "run")
    found = fit_windows(replace(settings, trained_blocks=1, epochs=1), windows, windows, tmp_path / "run")
    assert "blocks 3 and the classifier start random" in found.start
    with pytest.raises(InputError, match="has 3 blocks: 0 to 2"):
        fit_windows(replace(settings, trained_blocks=3), windows, windows, tmp_path / "run")


def test_bad_data(folder: Path, tmp_path: Path) -> None:
    windows = _windows(8, seed=0)
    single = replace(windows, labels=np.zeros(8, np.int64))
    with pytest.raises(InputError, match="training windows are all of one class"):
        fit_windows(FIT, single, windows, tmp_path)
    with pytest.raises(InputError, match="validation windows are all of one class"):
        fit_windows(FIT, windows, single, tmp_path)
    with pytest.raises(InputError, match="unknown network 'vgg99'"):
        fit_windows(replace(FIT, network="vgg99"), windows, windows, tmp_path)
    with pytest.raises(InputError, match="test' does not exist"):
        read_windows(folder, Split.TEST, size=32)
    for path in (folder / "validation" / "polyp").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="polyp' holds no picture"):
        read_windows(folder, Split.VALIDATION, size=32)
    (folder / "validation" / "stool").mkdir()
    with pytest.raises(InputError, match="class 'stool' of .* is not among those of training"):
        read_windows(folder, Split.VALIDATION, size=32)
    (tmp_path / "one" / "train" / "polyp").mkdir(parents=True)
    with pytest.raises(InputError, match="at least two classes"):
        read_windows(tmp_path / "one", Split.TRAIN, size=32)


def test_loss_that_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the loss became nan"):
        fit_windows(replace(FIT, rate=float("inf"), epochs=3), _windows(32, seed=0), _windows(8, seed=1), tmp_path)


def test_checkpoint_of_another_network(tmp_path: Path) -> None:
    windows = _windows(8, seed=0)
    fit_windows(replace(FIT, epochs=1), windows, windows, tmp_path)
    with pytest.raises(InputError, match=r"another network or run \(network was cnn1, is cnn2\)"):
        fit_windows(replace(FIT, epochs=1, network="cnn2"), windows, windows, tmp_path, resume=True)
    torch.save({"average": {}}, tmp_path / "dense.pt")
    with pytest.raises(InputError, match="no checkpoint of a window classifier"):
        load_classifier(tmp_path / "dense.pt")


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint({"epoch": 1}, tmp_path / "last.pt")

    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WriteError, match="No space left on device.*free space and resume"):
        save_checkpoint({"epoch": 2}, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path / "last.pt") == {"epoch": 1}


@pytest.mark.parametrize("leaks", [None, False, True])
def test_a_bundle_says_whether_its_figures_leak(
    folder: Path, tmp_path: Path, quick_export: None, leaks: bool | None
) -> None:
    if leaks is not None:
        (folder / "manifest.csv").write_text(f"file,leaks\na.png,{str(leaks).lower()}\n")
    result = train_windows(WindowRecipe(data=folder, folder=tmp_path / "run", name="tiny", fit=replace(FIT, epochs=1)))
    assert result.leaks is leaks
    record = json.loads((result.bundle.folder / "model.json").read_text())
    card = (result.bundle.folder / "README.md").read_text()
    assert record["training"]["leaks"] is leaks and "not a medical device" in card
    assert (LEAKS in card) is (LEAKS in record["training"]["split"]) is bool(leaks)
    assert record["training"]["windows"]["train"] == {"polyp": 12, "non_polyp": 12}
    assert 0.5 <= result.bundle.threshold <= 0.99


def test_from_folder_to_detector(folder: Path, tmp_path: Path) -> None:
    result = train_windows(WindowRecipe(data=folder, folder=tmp_path / "run", name="tiny", fit=replace(FIT, epochs=6)))
    assert 0.5 <= result.bundle.threshold <= 0.99
    frame = np.random.default_rng(3).integers(60, 120, (64, 64, 3)).astype(np.uint8)
    frame[16:48, 16:48] = 250
    with Detector.open(str(result.bundle.folder), threshold=0.5) as detector:
        (found,) = detector.detect([frame], [FieldOfView((0, 0, 64, 64))])
    assert found and found[0].label == "polyp"
    x1, y1, x2, y2 = found[0].box_xyxy
    assert x1 < 32 < x2 and y1 < 32 < y2


def test_a_run_is_not_written_over(folder: Path, tmp_path: Path, quick_export: None) -> None:
    recipe = WindowRecipe(data=folder, folder=tmp_path / "run", name="tiny", fit=replace(FIT, epochs=1))
    train_windows(recipe)
    kept = (tmp_path / "run" / "last.pt").read_bytes()
    with pytest.raises(OutputError, match="run' holds a run already; go on with --resume, or give another folder"):
        train_windows(recipe)
    assert (tmp_path / "run" / "last.pt").read_bytes() == kept
    train_windows(replace(recipe, fit=replace(FIT, epochs=2), resume=True))
    assert _epochs(tmp_path / "run") == ["1", "2"]


@pytest.mark.parametrize(
    ("other", "told"), [({"rate": 0.5}, r"rate was 0\.\d+, is 0\.5"), ({}, "the windows are others")]
)
def test_a_run_goes_on_with_its_own_settings_and_windows_only(
    folder: Path, tmp_path: Path, quick_export: None, other: dict[str, Any], told: str
) -> None:
    recipe = WindowRecipe(data=folder, folder=tmp_path / "run", name="tiny", fit=replace(FIT, epochs=1))
    train_windows(recipe)
    kept = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.*")}
    assert kept
    if not other:
        next((folder / "train" / "polyp").iterdir()).unlink()
    with pytest.raises(InputError, match=rf"another network or run \({told}\); go on with the same"):
        train_windows(replace(recipe, fit=replace(FIT, epochs=2, **other), resume=True))
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_file_is_no_folder_for_a_run(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="taken' cannot be made"):
        train_windows(WindowRecipe(data=folder, folder=tmp_path / "taken", fit=FIT))
    assert (tmp_path / "taken").read_text() == "a file"


def test_figures_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]], np.float32)
    figures = window_figures(probabilities, np.array([0, 0, 1, 1, 1]), ("polyp", "non_polyp"))
    assert figures["accuracy"] == pytest.approx(3 / 5)
    assert figures["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert figures["confusion"] == [[1, 1], [1, 2]] and figures["majority_share"] == pytest.approx(3 / 5)
    assert figures["auc"] == pytest.approx((3 + 1.5) / 6)  # 0.4 against 0.4 is a tie
    assert "auc" not in window_figures(np.eye(3, dtype=np.float32), np.arange(3), ("a", "b", "c"))
