"""The check for GPU machines: its stages on the stand-in for the GPU, and that one of them never costs the others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_check, gpu_stages
from benchmarks.gpu_check import FAILED, LIMITS_S, NOT_RUN, OK, OUT_OF_TIME, Asked
from engine.conversion.fp16 import add_fp16
from engine.gpu import library as tensorrt_library
from engine.gpu.build import BuiltEngine
from engine.gpu.library import Flavour, TensorRtLibrary
from tests.kit import conv_networks
from tests.kit.fake_gpu import FakeGraph, FakeTensorRt
from tests.kit.fake_machine import GPU, FakeMachine
from tests.kit.kernel_library import KernelLibrary, compiler_or_skip
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.stream.record.test_recording import mucosa_with_spot

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    clip = make_video(tmp_path / "clip.mp4", frames=6, size=(160, 128), draw=mucosa_with_spot)
    model = make_tiny_bundle(tmp_path / "tiny").folder
    return Asked(300, str(model), str(clip), count=5, soak=20, only=(), output=tmp_path / "out" / "gpu.json")


@pytest.fixture
def machine(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")
    compiler_or_skip()
    (tmp_path / "half").mkdir()
    bundle = add_fp16(make_tiny_bundle(tmp_path / "half"), np.zeros((1, 3, 64, 64), np.float32))
    plan = bundle.networks["fp16"].path.read_bytes()
    machine = FakeMachine(monkeypatch, [plan], kernels=KernelLibrary(tmp_path))
    monkeypatch.setattr(gpu_stages, "kept_engine", lambda *_: plan)
    monkeypatch.setattr(gpu_stages, "load_cuda_driver", lambda: machine.driver)
    monkeypatch.setattr(gpu_stages, "CudaGraph", FakeGraph)
    module: Any = FakeTensorRt(machine.driver)
    monkeypatch.setattr(gpu_stages, "load_library", lambda: TensorRtLibrary(module, Flavour.RTX, "1.7"))
    monkeypatch.setattr(
        gpu_stages, "build_engine", lambda network, *_, **__: BuiltEngine(network.read_bytes(), b"", ())
    )
    for name, value in (("WINDOWS", 12), ("PLACES", (4, 3)), ("INPUT", 32), ("FRAME_WH", (192, 144))):
        monkeypatch.setattr(gpu_stages, name, value)
    return machine


def _stage(stage: str, asked: Asked, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Runs a stage in this process, where the stand-in is."""
    found = folder / f"{stage}.json"
    order = {"stage": stage, "found": str(found), "folder": str(folder), "seconds": 100.0}
    order |= {"model": asked.model, "frames": asked.frames, "count": asked.count, "soak": asked.soak}
    monkeypatch.setattr(sys, "argv", ["gpu_stages", json.dumps(order)])
    assert gpu_stages.main() == 0
    figures: dict[str, Any] = json.loads(found.read_text())
    return figures


@pytest.mark.usefixtures("machine")
def test_every_stage_runs_on_the_stand_in(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv_networks, "VGG16", conv_networks.SMALL)
    folder = tmp_path / "work"
    folder.mkdir()
    figures = {stage: _stage(stage, asked, folder, monkeypatch) for stage in LIMITS_S}
    assert {stage: found.get("reason") for stage, found in figures.items()} == dict.fromkeys(LIMITS_S)
    assert figures["gpu"]["name"] == GPU.name
    assert 0 < figures["kernels"]["windows_largest_difference_in_colour_values"] <= 1
    assert figures["dense"]["frame_to_detections_ms"]["count"] == asked.count
    assert figures["feed"]["frame_to_detections_at_25_frames_per_s_ms"]["count"] == asked.count
    assert set(figures["streams"]) == {"status", *(f"{n}_streams_frames_per_s" for n in (1, 2, 4, 8, 16))}
    assert figures["soak"]["frames"] == asked.soak and figures["soak"]["memory_grown_bytes"] == 0
    assert "frame_to_scores_in_batches_of_64_ms" in figures["windows_vgg16"]
    table = gpu_check._table(figures)
    assert "| dense: frame_to_outputs_ms | " in table and "| soak: frames | 20 |" in table


def test_a_fault_keeps_what_was_found_before(
    machine: FakeMachine, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.driver.failing = "gather_windows"
    figures = _stage("kernels", asked, tmp_path, monkeypatch)
    assert figures["status"] == FAILED and "the device is lost" in figures["reason"]
    assert "lay_in_1380x1080_ms" in figures


def test_without_a_gpu_it_comes_to_its_end_and_says_what_did_not_run(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: None)
    run = {stage: _stage(stage, asked, tmp_path, monkeypatch) for stage in LIMITS_S if stage != "model"}
    assert {found["status"] for found in run.values()} == {NOT_RUN}
    assert all("no NVIDIA driver" in found["reason"] for found in run.values())


_CHILD = """
import json, os, sys, time
order = json.loads(sys.argv[1])
with open(order["found"], "w") as file:
    json.dump({"first": 1.5}, file)
if order["stage"] == "kernels":
    os._exit(139)
if order["stage"] == "transfers":
    time.sleep(600)
with open(order["found"], "w") as file:
    json.dump({"status": "ok", "first": 1.5, "second": 2.5}, file)
"""


def test_a_crash_or_a_hang_of_a_stage_costs_only_itself(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "gpu_stages.py").write_text(_CHILD, encoding="utf-8")
    monkeypatch.setattr(gpu_check, "ROOT", tmp_path)
    monkeypatch.setattr(gpu_check, "LIMITS_S", {"gpu": 60, "kernels": 60, "transfers": 4, "soak": 60})
    only = ["--only", "gpu", "kernels", "transfers", "soak", "--output", str(asked.output)]
    monkeypatch.setattr(sys, "argv", ["gpu_check", *only])
    assert gpu_check.main() == 1
    written = json.loads(asked.output.read_text())
    assert {stage: written[stage]["status"] for stage in ("gpu", "kernels", "transfers", "soak")} == {
        "gpu": OK,
        "kernels": FAILED,
        "transfers": OUT_OF_TIME,
        "soak": OK,
    }
    assert written["kernels"] == {"status": FAILED, "reason": "the process ended with status 139", "first": 1.5}
    assert written["transfers"]["first"] == 1.5 and written["soak"]["second"] == 2.5
    assert "| kernels | failed: the process ended with status 139 |" in capsys.readouterr().out


def test_no_time_left(asked: Asked, tmp_path: Path) -> None:
    found = gpu_check._run("gpu", asked, tmp_path, 1.0)
    assert found["status"] == NOT_RUN and "--seconds" in found["reason"]


def test_the_stages_fit_into_one_command_of_nine_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    asked = gpu_check._asked()
    assert asked.seconds + 30 < 9 * 60
    assert (asked.count, asked.soak) == (2000, 100_000)
