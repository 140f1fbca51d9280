from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.precisions import half_precision
from calibration.precisions.building import BuildOptions, build_model
from calibration.precisions.half_precision import ParityGate, open_candidate, read_frames, require_parity, verify
from engine.bundle import Task, load_bundle
from engine.errors import InputError, RunError
from engine.gpu import library as tensorrt_library
from engine.runtime import Runtime, RuntimeSettings, Tensors
from engine.runtimes.opening import open_runtime
from polypstream import cli
from tests.kit.tiny_bundle import make_tiny_bundle

pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: None)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A folder of three pictures with a bright spot each."""
    folder = tmp_path / "frames"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        picture = random.integers(60, 110, (160, 200, 3), np.uint8)
        cv2.circle(picture, (60 + 30 * number, 80), 25, (250, 250, 250), -1)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def test_build_makes_the_fp16_network_and_verifies_it(tmp_path: Path, frames: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    lines = list(build_model(BuildOptions(tmp_path / "tiny", frames)))
    assert lines[0].startswith("FP16 network: drift") and lines[0].endswith("nodes kept in FP32: none")
    assert lines[-1].startswith("parity on 3 frames: scores within")
    assert "0 of" in lines[-1] and lines[-1].endswith("CPU)")
    assert "fp16" in load_bundle(tmp_path / "tiny").networks


def test_build_with_the_real_builder(tmp_path: Path, frames: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")
    make_tiny_bundle(tmp_path / "tiny")
    command = ["build", str(tmp_path / "tiny"), "--library", "tensorrt_rtx", "--inspect", "--level", "0"]
    assert cli.main([*command, "--verify", str(frames)]) == 0
    assert cli.main(command) == 0  # now without frames
    printed = capsys.readouterr().out
    assert "HALF   POOLING" in printed
    assert "engine builds with TensorRT-RTX" in printed and "not kept: no NVIDIA driver" in printed


def test_build_without_fp16_network_asks_for_frames(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    with pytest.raises(InputError, match="'tiny' has no FP16 network yet; it is made with --verify FRAMES"):
        list(build_model(BuildOptions(tmp_path)))


def test_gate_refuses_a_runtime_that_answers_otherwise(tmp_path: Path, frames: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    list(build_model(BuildOptions(tmp_path / "tiny", frames)))
    bundle, seen = load_bundle(tmp_path / "tiny"), read_frames(frames)
    with open_candidate(bundle) as candidate:
        strict = verify(bundle, candidate, seen, gate=ParityGate(score=0.0))
        assert not strict.passed
        with pytest.raises(
            RunError, match=r"onnxruntime fp16 .* is too far from FP32: scores differ by .* \(accepted 0\)"
        ):
            require_parity(strict)
        assert verify(bundle, candidate, seen).passed
    with open_runtime(bundle, "openvino") as same:
        report = verify(bundle, same, seen)
    assert report.passed and report.detections.detections > 0
    assert report.as_json()["detections"]["changed"] == 0


def test_build_that_fails_leaves_the_bundle_as_it_was(
    tmp_path: Path, frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny").folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(half_precision, "PARITY", {Task.DETECT: ParityGate(score=0.0)})
    lines = build_model(BuildOptions(folder, frames))
    assert next(lines).startswith("FP16 network: drift")
    with pytest.raises(RunError, match="is too far from FP32"):
        list(lines)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_classifiers_are_verified_by_the_classes_they_name(frames: Path) -> None:
    bundle, seen = load_bundle("lesion"), read_frames(frames)
    with open_runtime(bundle, "openvino", RuntimeSettings(precision="fp32")) as same:
        report = verify(bundle, same, seen)
    assert report.passed and report.detections.detections == 3 and report.detections.changed == 0

    class Reversed:
        """The same network with its classes the wrong way round."""

        def __init__(self, runtime: Runtime) -> None:
            self.runtime, self.description = runtime, runtime.description

        def run(self, pictures: np.ndarray) -> Tensors:
            outputs = self.runtime.run(pictures)
            return {**outputs, "logits": outputs["logits"][:, ::-1]}

    with open_runtime(bundle, "openvino", RuntimeSettings(precision="fp32")) as runtime:
        wrong = verify(bundle, Reversed(runtime), seen)  # type: ignore[arg-type]
    assert not wrong.passed and wrong.detections.changed > 0 and wrong.detections.score > 0.01


def test_frames_are_spread_over_what_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_precision, "_MOST", 4)
    for number in range(21):
        picture = np.random.default_rng(0).integers(60, 200, (64, 64, 3), np.uint8)
        picture[0, 0] = 100 + number
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), picture)
    seen = read_frames(tmp_path)
    shown = [int(image[0, 0, 0]) - 100 for image in seen.images]
    assert 2 <= len(shown) <= 4
    assert shown == sorted(shown) and shown[0] == 0 and shown[-1] >= 10


def test_frames_without_a_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r"no frame of .* shows a picture"):
        read_frames(tmp_path)
