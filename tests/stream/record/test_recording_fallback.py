"""A GPU that is lost in the middle of a video: what the main job makes of it (the GPU is a stand-in)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.bundle import ModelBundle
from engine.conversion.fp16 import add_fp16
from polypstream import cli
from tests.kit.fake_machine import FakeMachine
from tests.kit.kernel_library import KernelLibrary, compiler_or_skip
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.stream.record.test_recording import mucosa_with_spot

pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")
FRAMES = 40


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "exam.mp4", frames=FRAMES, size=(160, 128), draw=mucosa_with_spot)


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    return add_fp16(make_tiny_bundle(tmp_path / "tiny"), np.zeros((1, 3, 64, 64), np.float32))


@pytest.fixture
def machine(bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """Its GPU is lost after some frames."""
    compiler_or_skip()
    plans = [bundle.networks["fp16"].path.read_bytes()]
    machine = FakeMachine(monkeypatch, plans, kernels=KernelLibrary(tmp_path))
    check, launches = machine.driver.check, iter(range(10_000))

    def lose(name: str, *, waits: bool = False) -> None:
        if name == "lay_in_planes" and next(launches) == FRAMES // 2:
            machine.driver.failing = name
        check(name, waits=waits)

    monkeypatch.setattr(machine.driver, "check", lose)
    return machine


def _detect(clip: Path, folder: Path, bundle: ModelBundle, *more: str) -> int:
    events = folder / "out.jsonl"
    return cli.main(["detect", str(clip), "--events", str(events), "--model", str(bundle.folder), *more])


@pytest.mark.usefixtures("machine")
def test_the_processor_takes_over_and_it_is_said(
    clip: Path,
    tmp_path: Path,
    bundle: ModelBundle,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert _detect(clip, tmp_path, bundle) == 0
    fault = "tensorrt: the GPU failed: lay_in_planes: the device is lost"
    assert f"; openvino took over ({fault}); " in capfd.readouterr().out
    assert caplog.messages.count(f"{fault}; openvino takes over") == 1
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(FRAMES))
    record = json.loads((tmp_path / "out.run.json").read_text())
    assert (record["outcome"], record["runtime"]["name"]) == ("finished", "openvino")
    assert record["runtime"]["failed_before"] == [fault]


@pytest.mark.usefixtures("machine")
def test_a_runtime_that_was_asked_for_ends_the_run_with_what_is_finished(
    clip: Path, tmp_path: Path, bundle: ModelBundle, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _detect(clip, tmp_path, bundle, "--runtime", "tensorrt") == 1
    said = capfd.readouterr()
    assert "polypstream: the GPU failed: lay_in_planes: the device is lost" in said.err
    assert said.out.startswith("failed: ") and "out.partial.jsonl" in said.out
    assert not (tmp_path / "out.jsonl").exists()
    lines = (tmp_path / "out.partial.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    record = json.loads((tmp_path / "out.run.json").read_text())
    assert (record["outcome"], record["runtime"]["name"]) == ("failed", "tensorrt")
    assert "the device is lost" in record["error"]
