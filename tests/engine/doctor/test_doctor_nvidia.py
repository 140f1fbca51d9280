"""What the doctor says of GPUs, on machines that are made up."""

from __future__ import annotations

from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from engine.doctor import nvidia as doctor_nvidia
from engine.doctor.findings import Finding, State
from engine.doctor.nvidia import examine_nvidia
from engine.gpu.engine_cache import EngineCache
from engine.machine import NvidiaGpu
from tests.engine.gpu.test_engine_cache import KEY

ADA = NvidiaGpu("NVIDIA Test 1000", (8, 9), (13, 0))
HOPPER = NvidiaGpu("NVIDIA Large", (9, 0), (13, 1))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine is seen: no toolkit, no package, no kept engine."""
    monkeypatch.setenv("POLYPSTREAM_CACHE", str(tmp_path / "cache"))
    for name in ("CUDA_ROOT", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor_nvidia, "find_program", lambda name, folders=None: None)
    _machine(monkeypatch, ADA)


def _machine(monkeypatch: pytest.MonkeyPatch, gpu: NvidiaGpu | None, *packages: str) -> None:
    monkeypatch.setattr(doctor_nvidia, "nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(doctor_nvidia, "find_spec", {name: ModuleSpec(name, None) for name in packages}.get)


def _findings() -> dict[str, Finding]:
    return {finding.what: finding for finding in examine_nvidia()}


def test_without_driver_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, None)
    assert list(_findings().values()) == [Finding("NVIDIA GPU", State.OPTIONAL, "no NVIDIA driver")]


@pytest.mark.parametrize(
    ("gpu", "what", "detail", "remedy"),
    [
        (NvidiaGpu("Old", (6, 1), (13, 0)), "NVIDIA GPU", "Old, compute capability 6.1", "TensorRT needs 7.5"),
        (NvidiaGpu("New", (8, 9), (12, 8)), "NVIDIA driver", "for CUDA 12.8, too old", "install driver 580 or newer"),
        (HOPPER, "GPU of TensorRT-RTX", "compute capability 9.0 is not among", "pip install tensorrt-cu13"),
    ],
)
def test_each_fault_has_its_remedy(
    monkeypatch: pytest.MonkeyPatch, gpu: NvidiaGpu, what: str, detail: str, remedy: str
) -> None:
    _machine(monkeypatch, gpu, "tensorrt_rtx", "pycuda")
    found = _findings()
    problems = [name for name, finding in found.items() if finding.state is State.PROBLEM]
    assert problems == [what]
    assert found[what].detail.startswith(detail) and found[what].remedy.startswith(remedy)


def test_full_tensorrt_takes_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, HOPPER, "tensorrt", "tensorrt_rtx", "pycuda")
    assert {finding.state for finding in _findings().values()} == {State.OK, State.OPTIONAL}


@pytest.mark.parametrize(
    ("packages", "state", "remedy"),
    [((), State.MISSING, "install the CUDA toolkit 13"), (("pycuda",), State.OPTIONAL, "")],
)
def test_toolkit_is_wanted_until_pycuda_is_there(
    monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], state: State, remedy: str
) -> None:
    _machine(monkeypatch, ADA, *packages)
    found = _findings()["CUDA toolkit"]
    assert found.state is state and found.remedy.startswith(remedy) and bool(found.remedy) == bool(remedy)


def test_toolkit_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 13.0, V13.0.88'\n")
    nvcc.chmod(0o755)
    monkeypatch.setattr(doctor_nvidia, "find_program", lambda name, folders=None: nvcc if folders else None)
    found = _findings()["CUDA toolkit"]
    assert (found.state, found.detail) == (State.OK, f"13.0 ({nvcc})")
    nvcc.write_text("no program")
    assert "does not answer" in _findings()["CUDA toolkit"].detail


def test_kept_engines_of_this_gpu_and_of_others() -> None:
    cache = EngineCache()
    cache.get_or_build(KEY, lambda: b"one")
    assert "kept engines" in _findings() and "engines of another GPU" not in _findings()
    other = replace(KEY, gpu="NVIDIA Other", model="lesion")
    cache.get_or_build(other, lambda: b"two")
    (cache.folder / "odd.json").write_text("[")
    (cache.folder / "gone.json").write_text("{}")
    found = _findings()
    assert found["kept engines"].detail == f"1 for this GPU (polyp), in {cache.folder}"
    assert found["engines of another GPU"].detail == "1 (NVIDIA Other), not used here"
    assert found["engines of another GPU"].remedy.endswith(f"delete {cache.path_of(other)}")
