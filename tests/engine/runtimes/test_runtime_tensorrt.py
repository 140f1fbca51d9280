from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from engine.arrays import WindowBoxes
from engine.bundle import ModelBundle
from engine.conversion.fp16 import add_fp16
from engine.errors import RuntimeUnavailableError
from engine.gpu import library as tensorrt_library
from engine.gpu.library import Flavour, TensorRtLibrary
from engine.gpu.runner import EngineRefusedError, GpuMemoryError
from engine.machine import NvidiaGpu
from engine.pictures.picture import Picture
from engine.runtime import FrameInput, FrameRuntime, RuntimeSettings, Tensors
from engine.runtimes import tensorrt as runtime_tensorrt
from engine.runtimes.onnxruntime import OnnxRuntime
from engine.runtimes.opening import open_runtime, runtime_problem
from engine.runtimes.processor_frames import ProcessorFrames
from engine.runtimes.tensorrt import TensorRtRuntime, load_cuda_driver
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from tests.kit.fake_gpu import CudaMemoryError, FakeDriver, FakeMemory
from tests.kit.fake_machine import GPU, FakeMachine
from tests.kit.tiny_bundle import make_tiny_bundle, make_tiny_windows_bundle


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


@pytest.fixture
def half_bundle(tmp_path: Path) -> ModelBundle:
    pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")
    return add_fp16(make_tiny_bundle(tmp_path), np.zeros((1, 3, 64, 64), np.float32))


def test_runtime_on_the_stand_in(half_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = FakeMachine(monkeypatch, [half_bundle.networks["fp16"].path.read_bytes()])
    pictures = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    with TensorRtRuntime(half_bundle, RuntimeSettings(streams=2), "asked for") as runtime:
        used = runtime.description
        found = runtime.run(pictures)["logits"]
    with open_runtime(half_bundle, "onnxruntime") as reference:
        assert np.abs(found - reference.run(pictures)["logits"]).max() < 0.02
    assert (used.name, used.library) == ("tensorrt", "TensorRT-RTX 1.7")
    assert (used.device, used.precision) == ("NVIDIA Test 1000", "fp16")
    assert used.streams == 2 and fakes.driver.detached == 1


def test_refused_engine_is_built_again_once(half_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = FakeMachine(monkeypatch, [b"bad", half_bundle.networks["fp16"].path.read_bytes()])
    TensorRtRuntime(half_bundle, RuntimeSettings(), "").close()
    assert fakes.asked == [(8, None), (8, b"bad")]
    hopeless = FakeMachine(monkeypatch, [b"bad"])
    with pytest.raises(EngineRefusedError, match="engine of another GPU"):
        TensorRtRuntime(half_bundle, RuntimeSettings(), "")
    assert len(hopeless.asked) == 2


def test_short_memory_leads_to_smaller_batches(
    half_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = half_bundle.networks["fp16"].path.read_bytes()
    one_picture = 3 * 64 * 64 * 2
    fakes = FakeMachine(monkeypatch, [network], room=3 * one_picture)
    monkeypatch.setattr(fakes.driver, "mem_alloc", _without_leak(fakes.driver))
    TensorRtRuntime(half_bundle, RuntimeSettings(), "").close()
    assert [largest for largest, _ in fakes.asked] == [8, 4, 2]
    assert "no room on the GPU for batches of 8: out of memory; trying batches of 4" in caplog.text
    fakes = FakeMachine(monkeypatch, [network], room=0)
    with pytest.raises(GpuMemoryError, match="batches of 1"):
        TensorRtRuntime(half_bundle, RuntimeSettings(), "")


def test_short_memory_also_leads_to_fewer_windows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")
    bundle = add_fp16(make_tiny_windows_bundle(tmp_path), np.zeros((1, 3, 32, 32), np.float32))
    machine = FakeMachine(monkeypatch, [bundle.networks["fp16"].path.read_bytes()], room=20 * 3 * 32 * 32 * 2)
    monkeypatch.setattr(machine.driver, "mem_alloc", _without_leak(machine.driver))
    TensorRtRuntime(bundle, RuntimeSettings(), "").close()
    assert [largest for largest, _ in machine.asked] == [64, 32, 16]
    assert "no room on the GPU for batches of 64: out of memory; trying batches of 32" in caplog.text


def _without_leak(driver: FakeDriver) -> Callable[[int], FakeMemory]:
    """Memory that each attempt has anew."""
    room = driver.room

    def allocate(size: int) -> FakeMemory:
        if size > room:
            raise CudaMemoryError("out of memory")
        return FakeMemory(size)

    return allocate


def test_detector_hands_frames_to_a_runtime_that_takes_them(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path, threshold=0.1)
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    mask = np.ones((200, 300), np.bool_)
    mask[:, 180:] = False
    fields = [FieldOfView((100, 50, 228, 178)), FieldOfView((0, 0, 300, 200), mask)]
    handed: list[FrameInput] = []

    class Taking(OnnxRuntime):
        def run_frames(self, frames: Sequence[FrameInput]) -> Tensors:
            handed.extend(frames)
            return ProcessorFrames(bundle, self).run_frames(frames)

        def run_windows(self, frames: Sequence[FrameInput], windows: Sequence[WindowBoxes]) -> Tensors:
            raise AssertionError("this model is dense")

    with open_runtime(bundle, "onnxruntime") as plain, Taking(bundle, RuntimeSettings(), "") as taking:
        expected = Detector(bundle, plain).detect([image, image], fields)
        assert Detector(bundle, taking).detect([image, image], fields) == expected
    assert expected[0] and expected[1]
    assert [one.box_xyxy for one in handed] == [field.box_xyxy for field in fields]
    assert Picture.of(handed[0].image).to_bgr() is image and handed[1].mask is mask
