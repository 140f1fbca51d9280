from __future__ import annotations

import re
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from engine import runtime_tensorrt, tensorrt_library
from engine.errors import RuntimeUnavailableError
from engine.machine import NvidiaGpu
from engine.runtime import FrameRuntime, open_runtime, runtime_problem
from engine.runtime_tensorrt import TensorRtRuntime, load_cuda_driver
from engine.tensorrt_library import Flavour, TensorRtLibrary
from tests.tiny_bundle import make_tiny_bundle

GPU = NvidiaGpu("NVIDIA Test 1000", (8, 9), (13, 0))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: None)


def _install(monkeypatch: pytest.MonkeyPatch, gpu: NvidiaGpu, *packages: str) -> None:
    """A machine with this GPU and these packages."""
    found = {name: ModuleSpec(name, None) for name in packages}
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(tensorrt_library, "find_spec", found.get)


@pytest.mark.usefixtures("no_gpu")
def test_without_driver_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match="no NVIDIA driver: on a machine with an NVIDIA GPU install"):
        open_runtime(make_tiny_bundle(tmp_path), "tensorrt")


@pytest.mark.usefixtures("no_gpu")
def test_without_driver_auto_takes_the_processor_and_says_why(tmp_path: Path) -> None:
    with open_runtime(make_tiny_bundle(tmp_path)) as runtime:
        assert runtime.description.device != "NVIDIA"
        assert runtime.description.name == "openvino"
        assert "tensorrt not available: no NVIDIA driver" in runtime.description.reason


@pytest.mark.usefixtures("no_gpu")
def test_nothing_of_nvidia_is_loaded_without_driver(tmp_path: Path) -> None:
    before = set(sys.modules)
    open_runtime(make_tiny_bundle(tmp_path)).close()
    loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert loaded.isdisjoint({"tensorrt", "tensorrt_rtx", "pycuda"})


@pytest.mark.parametrize(
    ("gpu", "packages", "problem"),
    [
        (GPU, (), r"neither tensorrt nor tensorrt_rtx is installed: pip install"),
        (GPU, ("tensorrt_rtx",), r"PyCUDA is not installed: install the CUDA toolkit, then pip install pycuda"),
        (
            NvidiaGpu("Old", (6, 1), (13, 0)),
            ("tensorrt", "pycuda"),
            r"Old has compute capability 6\.1, TensorRT needs 7",
        ),
        (NvidiaGpu("New", (8, 9), (12, 8)), ("tensorrt", "pycuda"), r"is for CUDA 12\.8: install driver 580 or newer"),
    ],
)
def test_each_missing_piece_has_its_remedy(
    monkeypatch: pytest.MonkeyPatch, gpu: NvidiaGpu, packages: tuple[str, ...], problem: str
) -> None:
    _install(monkeypatch, gpu, *packages)
    assert re.search(problem, runtime_problem("tensorrt") or "")


def test_with_all_pieces_there_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, GPU, "tensorrt_rtx", "pycuda")
    assert runtime_problem("tensorrt") is None


def test_broken_pycuda_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(RuntimeUnavailableError, match=r"PyCUDA does not load .*pip install --no-cache-dir pycuda"):
        load_cuda_driver()


def test_fault_when_opening_leads_auto_to_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces are all there, but the model has no FP16 network."""
    _install(monkeypatch, GPU, "tensorrt_rtx", "pycuda")
    monkeypatch.setattr(runtime_tensorrt, "load_cuda_driver", object)
    library = TensorRtLibrary(pytest, Flavour.RTX, "1.7.1.116")
    monkeypatch.setattr(runtime_tensorrt, "load_library", lambda: library)
    monkeypatch.setattr(runtime_tensorrt, "require_gpu", lambda: GPU)
    bundle = make_tiny_bundle(tmp_path)
    with open_runtime(bundle) as runtime:
        assert runtime.description.name == "openvino"
        assert "has no FP16 network: polypstream build" in runtime.description.reason
    with pytest.raises(
        RuntimeUnavailableError, match="has no FP16 network: polypstream build .* --verify FRAMES makes it"
    ):
        open_runtime(bundle, "tensorrt")


def test_it_takes_frames_where_the_processor_takes_pictures(tmp_path: Path) -> None:
    assert issubclass(TensorRtRuntime, FrameRuntime)
    with open_runtime(make_tiny_bundle(tmp_path), "onnxruntime") as runtime:
        assert not isinstance(runtime, FrameRuntime)
