"""From a folder of class folders to a bundle: everything real, the network small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from calibration.shipping.classifier_recipe import ClassifierRecipe, figure_text, train_classifier
from calibration.shipping.cross_validation import cross_validate, figures_of, named_classes, train_on
from engine.errors import InputError
from engine.runtimes.opening import open_runtime
from polypstream.cli import main
from stream.lesion.classifier import Classifier
from stream.sources.picture_reader import read_picture
from train.data.class_folders import read_class_folders
from train.export.classifier import bundle_classifier
from train.networks.registry import build_network
from train.networks.window_network import MapClassifier, WindowSpec
from train.run.checkpoints import load_checkpoint, save_checkpoint
from train.windows.fit import WindowFitSettings

FIT = WindowFitSettings(network="cnn1", input_px=32, epochs=8, batch_size=8, rate=3e-3, balance=True, bf16=False)


def _make(folder: Path, *, count: int = 12) -> Path:
    """Reddish and greenish pictures of random scenes; every third is of another subset."""
    record = {}
    for label, name in enumerate(("green", "red")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            coarse = np.random.default_rng([label, number]).integers(20, 120, (5, 5, 3)).astype(np.uint8)
            picture = cv2.resize(coarse, (40, 40), interpolation=cv2.INTER_CUBIC)
            picture[:, :, 1 + label] = np.minimum(picture[:, :, 1 + label] + 110, 255)
            cv2.imwrite(str(folder / name / f"{number}.png"), picture)
            record[f"{name}/{number}.png"] = {"subset": "third" if number % 3 == 0 else "rest"}
    (folder / "pictures.json").write_text(json.dumps({"pictures": record, "view": {"context": 1.5}}))
    return folder


@pytest.mark.slow
def test_from_pictures_to_a_bundle_that_classifies(tmp_path: Path) -> None:
    recipe = ClassifierRecipe(_make(tmp_path / "data"), tmp_path / "run", fit=FIT, folds=3, notes=("A note.",))
    result = train_classifier(recipe)
    figures = result.figures
    assert figures["pictures"] == 24 and figures["counts"] == {"green": 12, "red": 12}
    assert figures["auc"]["value"] > 0.9 and figures["accuracy"]["value"] > 0.8
    low, high = figures["auc"]["interval"]
    assert low <= figures["auc"]["value"] <= high
    assert figures["subsets"]["third"]["pictures"] == 8 and figures["subsets"]["rest"]["pictures"] == 16
    assert any("24 pictures are few" in remark for remark in result.remarks)
    written = json.loads((recipe.folder / "cross_validation.json").read_text())
    assert len(written["pictures"]) == 24 and {row["fold"] for row in written["pictures"]} == {0, 1, 2}
    card = (result.bundle.folder / "README.md").read_text()
    assert "| third | 8 |" in card and "- A note." in card and "not a" in card
    assert result.bundle.record["metrics"]["cross_validation"]["folds"] == 3
    assert str(tmp_path) not in (result.bundle.folder / "model.json").read_text()
    with Classifier.open(str(result.bundle.folder), runtime="onnxruntime") as classifier:
        assert classifier.context == 1.5 and not classifier.shows_where
        red = read_picture(tmp_path / "data" / "red" / "1.png")
        assert classifier.classify([classifier.picture(red)[0]])[0].named == "red"


def test_nothing_of_a_fold_is_seen_before_it_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of a test fold are turned round: nothing that is said of this fold may change."""
    data = read_class_folders(_make(tmp_path / "data"), size=32)
    settings = replace(FIT, epochs=1)
    found = cross_validate(settings, data, tmp_path / "one", folds=3, views=1, feature_cache=tmp_path / "features")
    turned = data.windows.labels.copy()
    turned[found.folds == 0] = 1 - turned[found.folds == 0]
    other = replace(data, windows=replace(data.windows, labels=turned))
    monkeypatch.setattr("calibration.shipping.cross_validation.group_folds", lambda *_, **__: found.folds)
    again = cross_validate(settings, other, tmp_path / "two", folds=3, views=1, feature_cache=tmp_path / "features")
    test = found.folds == 0
    np.testing.assert_allclose(again.probabilities[test], found.probabilities[test], atol=1e-6)
    assert (again.named[test] == found.named[test]).all()
    assert not np.allclose(again.probabilities[~test], found.probabilities[~test], atol=1e-3)


def test_a_resumed_cross_validation_takes_up_only_what_saw_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = read_class_folders(_make(tmp_path / "data"), size=32)
    settings = replace(FIT, epochs=1)

    def judged(name: str, *, folds: int, resume: bool = True) -> object:
        found = cross_validate(
            settings, data, tmp_path / name, folds=folds, views=1, feature_cache=tmp_path / "features", resume=resume
        )
        return found.logits.tolist(), found.probabilities.tolist(), found.named.tolist()

    three, four = judged("kept", folds=3, resume=False), judged("fresh", folds=4, resume=False)
    with monkeypatch.context() as patch:
        patch.setattr("calibration.shipping.cross_validation.fit_windows", None)  # nothing is trained again
        assert judged("kept", folds=3) == three and not caplog.records
    assert judged("kept", folds=4) == four
    assert "fold0-inner holds a training with other settings or on other pictures; it is done anew" in caplog.text
    data = replace(data, windows=replace(data.windows, labels=1 - data.windows.labels))
    assert judged("kept", folds=4) == judged("turned", folds=4, resume=False) != four


def test_a_training_that_was_cut_off_goes_on_with_its_own_pictures_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read_class_folders(_make(tmp_path / "data"), size=32)
    settings, everything = replace(FIT, epochs=2), np.ones(24, bool)
    some = np.arange(24) % 3 > 0

    class Killed(Exception):
        pass

    def dying(state: dict[str, object], path: Path) -> None:
        if state["epoch"] == 2:
            raise Killed
        save_checkpoint(state, path)

    def weights(folder: str, chosen: np.ndarray, *, resume: bool, fit: WindowFitSettings = settings) -> torch.Tensor:
        found = train_on(fit, data, chosen, tmp_path / folder, views=1, feature_cache=tmp_path, resume=resume)
        return torch.cat([value.float().flatten() for value in load_checkpoint(found.checkpoint)["network"].values()])

    for folder in ("same", "other", "longer"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr("train.run.epochs.save_checkpoint", dying)
            weights(folder, everything, resume=False)
    started: list[int] = []
    real = np.random.default_rng

    def watched(seed: object = None) -> np.random.Generator:
        if isinstance(seed, list) and len(seed) == 2:  # an epoch's order
            started.append(seed[1])
        return real(seed)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("numpy.random.default_rng", watched)
        gone_on = weights("same", everything, resume=True)
    assert started == [1]  # the second epoch alone
    torch.testing.assert_close(gone_on, weights("whole", everything, resume=False), rtol=1e-4, atol=1e-5)
    assert torch.equal(weights("other", some, resume=True), weights("some", some, resume=False))
    longer = replace(settings, epochs=3)
    assert torch.equal(
        weights("longer", everything, resume=True, fit=longer),
        weights("three", everything, resume=False, fit=longer),
    )


def test_figures_by_hand(tmp_path: Path) -> None:
    data = read_class_folders(_make(tmp_path / "data", count=5), size=32)
    found = cross_validate(
        replace(FIT, epochs=1), data, tmp_path / "run", folds=3, views=1, feature_cache=tmp_path / "features"
    )
    probabilities = np.full((10, 2), 0.5)
    probabilities[:, 0] = [0.9, 0.8, 0.7, 0.4, 0.6, 0.5, 0.3, 0.2, 0.1, 0.1]  # green is the first class
    probabilities[:, 1] = 1 - probabilities[:, 0]
    made = replace(found, probabilities=probabilities, named=named_classes(probabilities, 0.5))
    figures = figures_of(made, data)
    assert figures["confusion"] == [[4, 1], [1, 4]]
    assert figures["sensitivity"]["value"] == figures["specificity"]["value"] == figures["accuracy"]["value"] == 0.8
    assert figures["auc"]["value"] == pytest.approx(0.96)
    assert figures["majority_share"] == 0.5
    assert figures_of(made, data, np.arange(10) < 5)["specificity"]["value"] is None
    assert figure_text({"value": None, "interval": None}) == "unknown"
    assert figure_text({"value": 0.5, "interval": None}) == "0.500"


@pytest.mark.parametrize("name", ["cnn1", pytest.param("efficientnet_lite0_map", marks=pytest.mark.long)])
def test_maps_of_the_exported_graph_are_what_the_logits_are_made_of(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, WindowSpec(3, 64)).eval()
    bundle = bundle_classifier(
        network,
        tmp_path / "bundle",
        name="three",
        input_px=64,
        classes=("a", "b", "c"),
        shifts=(0.5, -1.0, 0.5),
        temperature=2.0,
        threshold=0.5,
        card="card",
        facts={},
    )
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(pictures).numpy() + np.array([0.5, -1.0, 0.5], np.float32)
    with open_runtime(bundle, "onnxruntime") as runtime:
        outputs = runtime.run((pictures * 255 / 255).numpy())
    np.testing.assert_allclose(outputs["logits"], expected, atol=2e-3)
    mapped = isinstance(network.head(), MapClassifier)
    assert bundle.record["maps"] is mapped and ("maps" in outputs) is mapped
    if mapped:
        assert outputs["maps"].shape == (2, 3, 2, 2)
        np.testing.assert_allclose(outputs["maps"].mean((2, 3)), outputs["logits"], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "1"], "3 folds or more. Received: 1"),
        (["--views", "0"], "1 view or more. Received: 0"),
        (["--network", "cnn1"], "freezing blocks needs weights"),
        (["--train-blocks", "some"], "--train-blocks must be all or a number from 0. Received: 'some'"),
        (["--network", "cnn1", "--train-blocks", "all", "--seed", "-1"], "seed must be within 0 to 4294967295. Receiv"),
        (["--network", "cnn1", "--train-blocks", "all", "--epochs", "0"], "epochs must be at least 1. Received: 0"),
        (["--network", "cnn1", "--train-blocks", "all", "--size", "0"], "at least 32 pixels wide. Received: 0"),
        (["--patience", "3"], "--task classify does not know --patience (only detect, windows); leave it out"),
    ],
)
def test_command_line_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _make(tmp_path / "data", count=5)
    command = ["train", "--task", "classify", "--data", str(data), "--output", str(tmp_path / "run"), "--size", "32"]
    assert main([*command, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert main(["train", "--task", "classify", "--data", "a", "b", "--output", str(tmp_path)]) == 2
    assert "--task classify takes one folder with --data. Received: 2" in capsys.readouterr().err


def test_values_of_none_are_no_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ClassifierRecipe] = []

    def train(recipe: ClassifierRecipe) -> None:
        seen.append(recipe)
        raise InputError("enough")

    monkeypatch.setattr("calibration.shipping.classifier_recipe.train_classifier", train)
    command = ["train", "--task", "classify", "--data", "a", "--output", str(tmp_path), "--network", "cnn1"]
    command += ["--train-blocks", "all"]
    assert main(command) == main([*command, "--seed", "0", "--size", "32", "--epochs", "1"]) == 2
    assert [(one.fit.seed, one.fit.input_px, one.fit.epochs) for one in seen] == [(1, 192, 15), (0, 32, 1)]


def test_a_file_is_no_folder_for_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, taken = _make(tmp_path / "data", count=5), tmp_path / "taken"
    taken.write_text("a file")
    command = ["train", "--task", "classify", "--network", "cnn1", "--train-blocks", "all", "--size", "32"]
    assert main([*command, "--data", str(data), "--output", str(taken)]) == 2
    assert "taken' cannot be made (a file is there); give another folder" in capsys.readouterr().err
    assert taken.read_text() == "a file"


def test_two_folds_leave_nothing_to_train_on(tmp_path: Path) -> None:
    data = read_class_folders(_make(tmp_path / "data", count=6), size=32)
    with pytest.raises(InputError, match="3 folds or more"):
        cross_validate(FIT, data, tmp_path / "run", folds=2, views=1, feature_cache=tmp_path)
