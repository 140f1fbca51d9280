"""A runtime that fails in the middle of a run, and the one that takes over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine.bundle import ModelBundle
from engine.conversion.fp16 import add_fp16
from engine.errors import RunError, RuntimeUnavailableError
from engine.gpu import library as tensorrt_library
from engine.runtime import FrameRuntime, RuntimeSettings, Tensors
from engine.runtimes.fallback import FallbackRuntime
from engine.runtimes.onnxruntime import OnnxRuntime
from engine.runtimes.opening import open_runtime
from engine.runtimes.openvino import OpenVinoRuntime
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from tests.kit.fake_machine import FakeMachine
from tests.kit.tiny_bundle import make_tiny_bundle, make_tiny_windows_bundle

PICTURES = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: None)


class _Failing(OnnxRuntime):
    """A real runtime that fails from some run on, in every thread at once."""

    def __init__(self, bundle: ModelBundle, *, after: int, threads: int = 1) -> None:
        super().__init__(bundle, RuntimeSettings(), "fails soon")
        self._left, self._lock = after, threading.Lock()
        self._together = threading.Barrier(threads)
        self.closed = False

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        with self._lock:
            self._left -= 1
            failing = self._left < 0
        if failing:
            self._together.wait(timeout=30)
            raise RunError("the device is lost")
        return super().run(pictures)

    def close(self) -> None:
        self.closed = True


def _in_order(*runtimes: Any) -> Iterator[Any]:
    return iter(runtimes)


def test_the_next_takes_over_the_failed_batch_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = make_tiny_bundle(tmp_path)
    first, second = _Failing(bundle, after=1), OpenVinoRuntime(bundle, RuntimeSettings(), "next")
    expected = OnnxRuntime(bundle, RuntimeSettings(), "").run(PICTURES)["logits"]
    with FallbackRuntime(bundle, _in_order(first, second)) as runtime:
        assert isinstance(runtime, FrameRuntime)
        for name, failed in (("onnxruntime", ()), ("openvino", ("onnxruntime: the device is lost",))):
            assert runtime.run(PICTURES)["logits"] == pytest.approx(expected, abs=1e-3)
            assert runtime.description.name == name
            assert runtime.description.failed_before == failed
        assert caplog.messages == ["onnxruntime: the device is lost; openvino takes over"]
        assert not first.closed
    assert first.closed


@pytest.mark.parametrize("strategy", ["dense", "windows"])
def test_detections_go_on(tmp_path: Path, strategy: str) -> None:
    make = make_tiny_bundle if strategy == "dense" else make_tiny_windows_bundle
    bundle = make(tmp_path, threshold=0.1)
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    image[60:100, 120:160] = (0, 0, 255)
    fields = [FieldOfView((100, 50, 228, 178))]
    with open_runtime(bundle, "onnxruntime") as plain:
        expected = Detector(bundle, plain).detect([image], fields)
    runtimes = _in_order(_Failing(bundle, after=0), OnnxRuntime(bundle, RuntimeSettings(), ""))
    with Detector(bundle, FallbackRuntime(bundle, runtimes)) as detector:
        assert detector.detect([image], fields) == expected != [()]


def test_threads_that_fail_together_open_one_runtime(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = make_tiny_bundle(tmp_path)
    runtimes = _in_order(
        _Failing(bundle, after=0, threads=4), *(OnnxRuntime(bundle, RuntimeSettings(), "") for _ in "ab")
    )
    answers: list[Any] = []
    with FallbackRuntime(bundle, runtimes) as runtime:
        threads = [threading.Thread(target=lambda: answers.append(runtime.run(PICTURES))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(runtime.description.failed_before) == 1
    assert len(answers) == 4 and len(caplog.messages) == 1
    assert len(list(runtimes)) == 1


def test_without_another_runtime_the_fault_goes_through(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path)
    runtimes = _in_order(*(_Failing(bundle, after=0) for _ in range(2)))
    with FallbackRuntime(bundle, runtimes) as runtime:
        for _ in range(2):
            with pytest.raises(RunError, match="the device is lost"):
                runtime.run(PICTURES)


def test_auto_falls_back_and_a_name_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: object, pictures: object) -> None:
        raise RunError("OpenVINO failed: broken")

    bundle = make_tiny_bundle(tmp_path)
    with open_runtime(bundle) as runtime, open_runtime(bundle, "openvino") as named:
        monkeypatch.setattr(OpenVinoRuntime, "run", fail)
        assert runtime.run(PICTURES)["logits"].shape == (2, 84)
        assert runtime.description.name == "onnxruntime"
        assert "; openvino failed in this run" in runtime.description.reason
        with pytest.raises(RunError, match="broken"):
            named.run(PICTURES)
    assert "openvino: OpenVINO failed: broken; onnxruntime takes over" in caplog.text


def test_a_runtime_whose_first_inference_fails_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, pictures: object) -> None:
        raise RunError("OpenVINO failed: broken")

    monkeypatch.setattr(OpenVinoRuntime, "run", fail)
    bundle = make_tiny_bundle(tmp_path)
    with open_runtime(bundle) as runtime:
        assert runtime.description.name == "onnxruntime"
        assert "OpenVINO failed: broken" in runtime.description.reason
    with pytest.raises(RuntimeUnavailableError, match="broken"):
        open_runtime(bundle, "openvino")


def test_a_runtime_that_cannot_take_over_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> None:
        raise RuntimeUnavailableError("no room")

    bundle = make_tiny_bundle(tmp_path)
    with open_runtime(bundle) as runtime:
        monkeypatch.setattr(OpenVinoRuntime, "run", lambda *_: (_ for _ in ()).throw(RunError("lost")))
        monkeypatch.setattr(OnnxRuntime, "__init__", unavailable)
        with pytest.raises(RunError, match="lost"):
            runtime.run(PICTURES)


def test_lost_gpu_is_replaced_by_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")
    bundle = add_fp16(make_tiny_bundle(tmp_path), PICTURES)
    machine = FakeMachine(monkeypatch, [bundle.networks["fp16"].path.read_bytes()])
    with caplog.at_level(logging.WARNING), open_runtime(bundle) as runtime:
        before = runtime.run(PICTURES)["logits"]
        assert runtime.description.name == "tensorrt"
        machine.driver.failing = "execute_async_v3"
        assert runtime.run(PICTURES)["logits"] == pytest.approx(before, abs=0.02)
        assert runtime.description.name == "openvino"
        machine.driver.failing = "pop"  # nothing of a lost GPU can be released either
    assert "tensorrt: the GPU failed: execute_async_v3: the device is lost; openvino takes over" in caplog.text
