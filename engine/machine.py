"""What machine this is: its processor and its NVIDIA GPU, asked of the system without any library."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RuntimeUnavailableError
from engine.processes.programs import find_program, run_program

#: Instruction sets that decide the speed of a network, and the names under which systems list them.
_INSTRUCTION_SETS = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f", "hw.optional.avx512f"),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "BF16": ("avx512_bf16", "bf16", "hw.optional.arm.feat_bf16"),
    "AMX": ("amx_tile",),
    "NEON": ("asimd", "hw.optional.neon", "hw.optional.advsimd"),
    "DOTPROD": ("asimddp", "hw.optional.arm.feat_dotprod"),
    "I8MM": ("i8mm", "hw.optional.arm.feat_i8mm"),
}
#: Arguments of Windows' IsProcessorFeaturePresent.
_WINDOWS_FEATURES = {"avx2": 40, "avx512f": 41, "asimd": 19, "asimddp": 43}
_COMPUTE_CAPABILITY = (75, 76)  # CUdevice_attribute: major, minor
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor.

    Attributes:
        name: as its maker calls it.
        cores: logical cores of the machine.
        usable_cores: those that this process may use.
        instruction_sets: those that speed up networks, such as "AVX2" and "BF16".
    """

    name: str
    cores: int
    usable_cores: int
    instruction_sets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NvidiaGpu:
    """The first NVIDIA GPU.

    Attributes:
        name: as NVIDIA calls it.
        compute_capability: major and minor.
        cuda_version: newest CUDA that the driver runs, major and minor.
    """

    name: str
    compute_capability: tuple[int, int]
    cuda_version: tuple[int, int]


def processor() -> Processor:
    """Describes the processor; what the system does not tell is left empty."""
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    name, features = _name_and_features()
    sets = tuple(title for title, names in _INSTRUCTION_SETS.items() if not features.isdisjoint(names))
    return Processor(name or platform.processor() or platform.machine(), cores, usable, sets)


def available_memory() -> int | None:
    """Bytes that new processes may take without others losing theirs; None where the system does not tell."""
    free = []
    for line in _text_of("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free.append(1024 * int(line.split()[1]))
    limit, used = (_text_of(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdecimal() and used.isdecimal():  # of the container
        free.append(max(int(limit) - int(used), 0))
    return min(free, default=None)


def own_memory() -> int | None:
    """Bytes of memory that this process holds; None where the system does not tell."""
    pages = _text_of("/proc/self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else None


def nvidia_gpu() -> NvidiaGpu | None:
    """The first NVIDIA GPU; None without NVIDIA driver. Needs nothing but the driver, and opens no context.

    Raises:
        RuntimeUnavailableError: there is a driver, but it finds no GPU or does not work.
    """
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    name = ctypes.create_string_buffer(256)
    version, device, major, minor = (ctypes.c_int() for _ in range(4))
    _call(cuda.cuInit, 0)
    _call(cuda.cuDriverGetVersion, ctypes.byref(version))
    _call(cuda.cuDeviceGet, ctypes.byref(device), 0)
    _call(cuda.cuDeviceGetName, name, len(name), device)
    for value, attribute in zip((major, minor), _COMPUTE_CAPABILITY, strict=True):
        _call(cuda.cuDeviceGetAttribute, ctypes.byref(value), attribute, device)
    return NvidiaGpu(
        name.value.decode(errors="replace"),
        (major.value, minor.value),
        (version.value // 1000, version.value % 1000 // 10),
    )


def _call(function: Callable[..., int], *arguments: object) -> None:
    status = function(*arguments)
    if status == _NO_DEVICE:
        raise RuntimeUnavailableError("the NVIDIA driver finds no GPU; see what nvidia-smi says")
    if status != 0:
        raise RuntimeUnavailableError(f"the NVIDIA driver does not work (CUDA error {status}); install it again")


def _name_and_features() -> tuple[str, frozenset[str]]:
    if sys.platform == "win32":
        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return platform.processor(), frozenset(key for key, number in _WINDOWS_FEATURES.items() if present(number))
    if sys.platform == "darwin":
        return _read_sysctl(_output("sysctl", "machdep.cpu", "hw.optional"))
    return _read_cpuinfo(_text_of("/proc/cpuinfo"))


def _text_of(path: str) -> str:
    """What a file of the system says; "" where it is not there."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Name and features from Linux' /proc/cpuinfo (its lines are `key : value`; those of the first core count)."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        entries.setdefault(key.strip().lower(), value.strip())
    features = entries.get("flags") or entries.get("features") or ""
    return entries.get("model name", ""), frozenset(features.lower().split())


def _read_sysctl(text: str) -> tuple[str, frozenset[str]]:
    """Name and features from the answer of a Mac's sysctl: `key: value` lines, features named or set to 1."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(": ")
        entries[key.lower()] = value.strip()
    listed = f"{entries.get('machdep.cpu.features', '')} {entries.get('machdep.cpu.leaf7_features', '')}"
    switched_on = (key for key, value in entries.items() if value == "1")
    return entries.get("machdep.cpu.brand_string", ""), frozenset((*listed.lower().split(), *switched_on))


def _output(name: str, *arguments: str) -> str:
    program = find_program(name)
    try:
        return "" if program is None else run_program(program, *arguments, timeout_s=_TIMEOUT_S).stdout
    except OSError:
        return ""
