"""From a detector and its data sets to its quicker networks, their gates and what tells of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.precisions import candidates, making
from calibration.precisions.emulated_runtime import EmulatedRuntime
from calibration.precisions.gate import ACCEPTED_FALLS, GateResult
from calibration.precisions.making import PrecisionPlan, add_precisions
from calibration.precisions.material import FrameMaterial
from calibration.precisions.representative import choose_representative, frames_as_record
from engine.bundle import Task, load_bundle
from engine.conversion import bundle_changes
from engine.conversion.onnx_graph import session_of
from engine.errors import InputError, RunError
from engine.machine import Processor, processor
from engine.runtime import RuntimeSettings
from engine.runtimes.opening import open_runtime
from engine.runtimes.precision_choice import int8_doubt
from polypstream import cli
from stream.lesion.classifier import Classifier
from stream.sources.picture_reader import read_picture
from tests.kit.conv_bundle import make_conv_bundle, make_spot_data
from tests.kit.tiny_bundle import make_tiny_classifier
from train.data.datasets import Split, read_dataset

pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")


def test_a_detector_gets_its_quicker_networks(tmp_path: Path) -> None:
    make_conv_bundle(tmp_path / "spots")
    data = make_spot_data(tmp_path / "data")
    told: list[str] = []
    bundle = load_bundle(tmp_path / "spots")
    material = FrameMaterial(read_dataset(data), most_judged=600)
    report = add_precisions(bundle, material, plan=PrecisionPlan(representative=6, compared=3), tell=told.append)
    made = load_bundle(tmp_path / "spots")
    assert set(made.networks) == {"fp32", "fp16", "int8", "int8-tensorrt"}
    assert made.record["precisions"].keys() >= {"fp16", "int8", "int8-tensorrt"}
    for name, gate in made.record["precisions"].items():
        assert gate["pictures"] == 4 and gate["passed"] is True, name
        assert gate["fp32"]["centroid_f1"] == 1.0 and abs(gate["falls"]["centroid_f1"]) <= 0.005, name
    details = json.loads((tmp_path / "spots" / "precisions.json").read_text(encoding="utf-8"))
    assert details["representative"]["count"] == 6 and len(details["representative"]["frames"]["data"]) == 6
    assert {row["method"] for row in details["methods"]} == {"minmax", "percentile", "entropy"}
    assert len(details["layers"]) == 3
    ranges = json.loads((tmp_path / "spots" / "fp16_ranges.json").read_text(encoding="utf-8"))
    assert {"node_conv0", "node_sum"} <= {row["node"] for row in ranges["layers"]}
    assert all(row["margin"] > 100 for row in ranges["layers"])
    assert any("gate passed" in line for line in told)
    assert report.bundle.record == made.record
    pictures = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    for runtime in ("openvino", "onnxruntime"):
        with (
            open_runtime(made, runtime, RuntimeSettings(precision="int8")) as quick,
            open_runtime(made, runtime, RuntimeSettings(precision="fp32")) as full,
        ):
            apart = np.abs(quick.run(pictures)["logits"] - full.run(pictures)["logits"]).max()
            assert apart > 0
            assert apart < 0.5 or int8_doubt(processor())  # where sums are clipped, nothing is promised


def _full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def _drifts(*_: object, **__: object) -> None:
    raise RunError("the FP16 network drifts")


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("home", "name", "failing", "error", "message"),
    [
        (making, "fp16_network", _drifts, RunError, "drifts"),
        (making, "choose_int8", _interrupted, KeyboardInterrupt, ""),
        (making, "figures_of", _interrupted, KeyboardInterrupt, ""),  # while the draft is judged
        (bundle_changes, "write_together", _full_disk, InputError, "spots' cannot be written .*No space left.*; copy"),
        (Path, "write_bytes", _full_disk, InputError, "spots' cannot be written .*No space left.*; copy"),  # the draft
    ],
)
def test_a_failure_midway_leaves_the_bundle_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made_before: Path,
    home: object,
    name: str,
    failing: Callable[..., None],
    error: type[BaseException],
    message: str,
) -> None:
    """Of a bundle that has its networks already: none of them, and nothing that tells of them, changes."""
    folder = tmp_path / "spots"
    shutil.copytree(made_before / "spots", folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    material = FrameMaterial(read_dataset(made_before / "data"), most_judged=600)
    bundle = load_bundle(folder)
    monkeypatch.setattr(home, name, failing)
    with pytest.raises(error, match=message):
        add_precisions(bundle, material, plan=PrecisionPlan(representative=4, compared=2))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert load_bundle(folder).record == bundle.record


@pytest.fixture(scope="module")
def made_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle `spots` that has its quicker networks, and the data set `data` that they come from."""
    folder = tmp_path_factory.mktemp("made")
    bundle = make_conv_bundle(folder / "spots")
    material = FrameMaterial(read_dataset(make_spot_data(folder / "data")), most_judged=600)
    add_precisions(bundle, material, plan=PrecisionPlan(representative=6, compared=3))
    return folder


@pytest.mark.parametrize("instruction_sets", [("AVX2",), ("AVX2", "AVX-512", "VNNI")])
def test_int8_is_judged_by_exact_arithmetic(
    instruction_sets: tuple[str, ...], made_before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor without VNNI clips sums; its figures would say nothing of those that INT8 is made for."""
    made = load_bundle(made_before / "spots")
    monkeypatch.setattr(candidates, "processor", lambda: Processor("some", 2, 2, instruction_sets))
    exact = "VNNI" not in instruction_sets
    with candidates.open_judged(made, "int8") as opened:
        assert isinstance(opened, EmulatedRuntime) is exact
        assert ("stands for a processor with VNNI" in opened.description.reason) is exact
        pictures = np.random.default_rng(0).random((2, 3, 64, 64), np.float32).astype(np.float16).astype(np.float32)
        if exact:
            session = session_of(made.networks["int8"].path.read_bytes(), as_written=True)
            np.testing.assert_allclose(
                opened.run(pictures)["logits"], session.run(["logits"], {"pictures": pictures})[0], atol=1e-4
            )


def test_build_makes_precisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_conv_bundle(tmp_path / "spots").folder
    data = make_spot_data(tmp_path / "data", frames=6)
    assert cli.main(["build", str(folder), "--precisions", "--data", str(data), "--frames", "4"]) == 0
    printed = capsys.readouterr().out
    assert "4 representative pictures" in printed and "int8: centroid_f1 falls by" in printed
    assert cli.main(["build", str(folder), "--precisions"]) == 2
    assert "--precisions needs pictures" in capsys.readouterr().err
    assert cli.main(["build", str(folder), "--data", str(data)]) == 2
    assert "--data belongs to --precisions" in capsys.readouterr().err
    assert cli.main(["build", str(folder), "--precisions", "--data", str(data), "--frames", "513"]) == 2
    assert "must be 1 to 512. Received: 513" in capsys.readouterr().err


def _class_folders(folder: Path, *, pictures: int = 8) -> Path:
    """Writes pictures that are red or green, each of another pattern, so that none are near-duplicates."""
    random = np.random.default_rng(0)
    for channel, name in ((2, "red"), (1, "green")):
        (folder / name).mkdir(parents=True)
        for number in range(pictures):
            cells = random.integers(0, 90, (8, 8, 3), np.uint8)
            cells[:, :, channel] += 120
            picture = cv2.resize(cells, (64, 64), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    return folder


def test_a_classifier_gets_its_quicker_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_tiny_classifier(tmp_path / "model")
    lesions = _class_folders(tmp_path / "classes")
    command = ["build", str(bundle.folder), "--precisions", "--frames", "6", "--data"]
    assert cli.main([*command, str(lesions)]) == 0
    printed = capsys.readouterr().out
    assert "int8: accuracy falls by" in printed and "8 to judge by" in printed
    made = load_bundle(bundle.folder)
    assert set(made.networks) == {"fp32", "fp16", "int8", "int8-tensorrt"}
    gates = made.record["precisions"]
    assert gates.keys() >= {"fp16", "int8", "int8-tensorrt"}
    for name, gate in gates.items():
        assert gate["passed"] is True and gate["fp32"] == {"accuracy": 1.0, "auc": 1.0}, name
    chosen = json.loads((made.folder / "precisions.json").read_text(encoding="utf-8"))["representative"]
    assert chosen["count"] == 6 and sum(file.startswith("red/") for file in chosen["pictures"]) == 3
    with Classifier.open(str(made.folder)) as classifier:
        picture = read_picture(lesions / "red" / "0.png")
        answer = classifier.classify([picture])[0]
        described = classifier.runtime.description
        assert described.precision != "fp32" or "no VNNI found" in described.reason
        assert answer.named == "red" and answer.maps is not None and answer.maps.shape == (2, 4, 4)
    other = tmp_path / "other"
    (lesions / "red").rename(lesions / "blue")
    assert cli.main([*command, str(lesions)]) == 2
    assert "the folders are of the classes blue, green" in capsys.readouterr().err
    assert cli.main([*command, str(lesions), str(other)]) == 2
    assert "takes one folder with a sub-folder for each class. Received: 2" in capsys.readouterr().err


def test_data_that_cannot_be_judged_on(tmp_path: Path) -> None:
    bundle = make_conv_bundle(tmp_path / "spots")
    samples = read_dataset(make_spot_data(tmp_path / "data", frames=6))
    with pytest.raises(InputError, match="no validation frame with a polyp"):
        FrameMaterial([one for one in samples if one.split is Split.TRAIN], most_judged=600)
    validation = FrameMaterial([one for one in samples if one.split is Split.VALIDATION], most_judged=600)
    with pytest.raises(InputError, match="no training frame"):
        add_precisions(bundle, validation)
    kept = read_dataset(make_spot_data(tmp_path / "cvc-colondb", frames=3))
    with pytest.raises(InputError, match="'cvc-colondb' is kept for testing"):
        FrameMaterial([*samples, *kept], most_judged=600)


def test_representative_frames_hold_the_rare_kinds_of_every_set(tmp_path: Path) -> None:
    """Two sets; in the larger one, 2 of 40 frames are blue: by chance five frames would mostly miss them."""
    random = np.random.default_rng(0)
    for name, count in (("large", 40), ("small", 4)):
        (tmp_path / name / "images").mkdir(parents=True)
        for number in range(count):
            picture = random.integers(80, 120, (48, 48, 3), np.uint8)
            if name == "large" and number in (7, 31):
                picture[..., 0] = 250
            cv2.imwrite(str(tmp_path / name / "images" / f"{number:02}.png"), picture)
        names = "\n".join(f"{number:02}" for number in range(count))
        (tmp_path / name / "negatives.txt").write_text(names, encoding="utf-8")
        (tmp_path / name / "split_train.txt").write_text(names, encoding="utf-8")
    samples = [*read_dataset(tmp_path / "large"), *read_dataset(tmp_path / "small")]
    chosen = choose_representative(samples, count=10)
    record = frames_as_record(chosen)
    assert record["count"] == len(chosen) <= 10
    assert len(record["frames"]["small"]) == 4  # a small set is in whole, the large one has what is left
    assert {"07.png", "31.png"} & set(record["frames"]["large"])
    assert frames_as_record(choose_representative(list(reversed(samples)), count=10)) == record


@pytest.mark.parametrize("count", [0, 513])
def test_number_of_representative_frames(tmp_path: Path, count: int) -> None:
    with pytest.raises(InputError, match=f"must be 1 to 512. Received: {count}"):
        choose_representative(read_dataset(make_spot_data(tmp_path / "data", frames=3)), count=count)


@pytest.mark.parametrize(
    ("f1", "ap50", "passed"),
    [
        (0.9, 0.8, True),
        (0.895, 0.8, True),  # as far as is accepted
        (0.894, 0.8, False),
        (0.9, 0.789, False),
        (0.95, 0.9, True),  # better is no fault
        (None, 0.8, False),  # not measured is not passed
        (float("nan"), 0.8, False),
    ],
)
def test_gate(f1: float | None, ap50: float | None, passed: bool) -> None:
    found = {"centroid_f1": f1, "ap50": ap50, "quiet_share": 1.0}
    result = GateResult(10, {"centroid_f1": 0.9, "ap50": 0.8}, found, ACCEPTED_FALLS[Task.DETECT])
    assert result.passed is passed
    assert result.as_json()["passed"] is passed
