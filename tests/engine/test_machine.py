from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from engine import machine
from engine.errors import RuntimeUnavailableError
from engine.machine import NvidiaGpu, available_memory, nvidia_gpu, own_memory, processor

_X86 = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni amx_tile amx_int8

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
_ARM = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd asimddp bf16 i8mm sve
"""
_INTEL_MAC = """machdep.cpu.brand_string: Intel(R) Core(TM) i7-8700B CPU @ 3.20GHz
machdep.cpu.features: FPU SSE4.2 AVX1.0
machdep.cpu.leaf7_features: BMI1 AVX2
hw.optional.avx512f: 0
"""
_APPLE = """machdep.cpu.brand_string: Apple M2
hw.optional.neon: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_I8MM: 0
"""


@pytest.mark.parametrize(
    ("read", "text", "name", "expected"),
    [
        (machine._read_cpuinfo, _X86, "Intel(R) Xeon(R) Platinum 8480+", ("AVX2", "AVX-512", "VNNI", "BF16", "AMX")),
        (machine._read_cpuinfo, _ARM, "", ("BF16", "NEON", "DOTPROD", "I8MM")),
        (machine._read_cpuinfo, "", "", ()),
        (machine._read_cpuinfo, "no colon\n:\n", "", ()),
        (machine._read_sysctl, _INTEL_MAC, "Intel(R) Core(TM) i7-8700B CPU @ 3.20GHz", ("AVX2",)),
        (machine._read_sysctl, _APPLE, "Apple M2", ("BF16", "NEON", "DOTPROD")),
        (machine._read_sysctl, "", "", ()),
    ],
)
def test_processor_by_what_the_system_says(
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[str], tuple[str, frozenset[str]]],
    text: str,
    name: str,
    expected: tuple[str, ...],
) -> None:
    monkeypatch.setattr(machine, "_name_and_features", lambda: read(text))
    found = processor()
    assert found.instruction_sets == expected
    assert found.name == name or (not name and found.name)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_memory() -> None:
    available, own = available_memory(), own_memory()
    assert available is not None and own is not None
    assert 2**20 < own < 2**36 and 0 < available < 2**44


def test_this_processor() -> None:
    found = processor()
    assert found.name
    assert 1 <= found.usable_cores <= found.cores == os.cpu_count()


class _Driver:
    """A stand-in for NVIDIA's driver library: one GPU, or one call that fails."""

    def __init__(self, failing: str = "", status: int = 0) -> None:
        self._failing, self._status = failing, status

    def __getattr__(self, call: str) -> Callable[..., int]:
        def answer(*arguments: Any) -> int:
            if call == self._failing:
                return self._status
            if call == "cuDriverGetVersion":
                arguments[0]._obj.value = 13010
            elif call == "cuDeviceGetName":
                arguments[0].value = b"NVIDIA H200"
            elif call == "cuDeviceGetAttribute":
                arguments[0]._obj.value = {75: 9, 76: 0}[arguments[1]]
            return 0

        return answer


def test_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _Driver())
    assert nvidia_gpu() == NvidiaGpu("NVIDIA H200", compute_capability=(9, 0), cuda_version=(13, 1))


@pytest.mark.parametrize(
    ("call", "status", "message"),
    [("cuInit", 100, "finds no GPU"), ("cuInit", 999, "error 999"), ("cuDeviceGetName", 3, "error 3")],
)
def test_gpu_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, call: str, status: int, message: str) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _Driver(call, status))
    with pytest.raises(RuntimeUnavailableError, match=message):
        nvidia_gpu()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert nvidia_gpu() is None
