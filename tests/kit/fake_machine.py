"""A machine with a stand-in GPU (tests/kit/fake_gpu.py): what the runtime `tensorrt` finds there."""

from __future__ import annotations

from typing import Any

import pytest

from engine.gpu import library as tensorrt_library
from engine.gpu import runner as gpu_runner
from engine.gpu.build import BuildSettings
from engine.gpu.library import Flavour, TensorRtLibrary
from engine.machine import NvidiaGpu
from engine.runtimes import tensorrt as runtime_tensorrt
from tests.kit.fake_gpu import FakeDriver, FakeGraph, FakeTensorRt
from tests.kit.kernel_library import KernelLibrary

GPU = NvidiaGpu("NVIDIA Test 1000", (8, 9), (13, 0))


class FakeMachine:
    """All pieces are installed; the engines are given, and which were asked for is kept."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        plans: list[bytes],
        *,
        room: int = 1 << 30,
        kernels: KernelLibrary | None = None,
    ) -> None:
        self.plans = plans
        self.asked: list[tuple[int, bytes | None]] = []
        self.driver = FakeDriver(kernels, room=room)
        module: Any = FakeTensorRt(self.driver)
        library = TensorRtLibrary(module, Flavour.RTX, "1.7")
        monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: GPU)
        monkeypatch.setattr(tensorrt_library, "find_spec", lambda name: name)
        monkeypatch.setattr(runtime_tensorrt, "load_library", lambda: library)
        monkeypatch.setattr(runtime_tensorrt, "load_cuda_driver", lambda: self.driver)
        monkeypatch.setattr(runtime_tensorrt, "kept_engine", self._kept)
        monkeypatch.setattr(gpu_runner, "CudaGraph", FakeGraph)

    def _kept(
        self,
        bundle: object,
        library: object,
        settings: BuildSettings,
        *,
        precision: str = "auto",
        rejected: bytes | None = None,
    ) -> bytes:
        self.asked.append((settings.profile.largest, rejected))
        return self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
