"""What `polypstream doctor` says of the NVIDIA GPU: driver, GPU, CUDA toolkit, and the engines that are kept."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.doctor.findings import Finding, State
from engine.gpu.engine_cache import EngineCache
from engine.gpu.library import CUDA, LEAST_CAPABILITY, Flavour
from engine.machine import NvidiaGpu, nvidia_gpu
from engine.processes.programs import find_program, run_program

#: Compute capabilities of the GPUs that TensorRT-RTX supports (NVIDIA's support matrix of TensorRT-RTX 1.5).
_RTX_CAPABILITIES = ((7, 5), (8, 6), (8, 9), (12, 0), (12, 1))
_TIMEOUT_S = 20


def examine_nvidia() -> Iterator[Finding]:
    """Findings about the GPU; without a driver, that there is none.

    Raises:
        RuntimeUnavailableError: there is a driver, but it finds no GPU or does not work.
    """
    gpu = nvidia_gpu()
    if gpu is None:
        yield Finding("NVIDIA GPU", State.OPTIONAL, "no NVIDIA driver")
        return
    yield _gpu(gpu)
    yield _driver(gpu)
    yield from _library(gpu)
    yield _toolkit()
    yield from _engines(gpu)


def _gpu(gpu: NvidiaGpu) -> Finding:
    detail = f"{gpu.name}, compute capability {_dotted(gpu.compute_capability)}"
    if gpu.compute_capability < LEAST_CAPABILITY:
        remedy = f"TensorRT needs {_dotted(LEAST_CAPABILITY)} (Turing) or newer: the processor runtimes are used"
        return Finding("NVIDIA GPU", State.PROBLEM, detail, remedy)
    return Finding("NVIDIA GPU", State.OK, detail)


def _driver(gpu: NvidiaGpu) -> Finding:
    detail = f"for CUDA {_dotted(gpu.cuda_version)}"
    if gpu.cuda_version < CUDA:
        return Finding("NVIDIA driver", State.PROBLEM, f"{detail}, too old", "install driver 580 or newer, for CUDA 13")
    return Finding("NVIDIA driver", State.OK, detail)


def _library(gpu: NvidiaGpu) -> Iterator[Finding]:
    """A GPU that the only library which is installed does not support."""
    installed = [flavour for flavour in Flavour if find_spec(flavour.value) is not None]
    if installed == [Flavour.RTX] and LEAST_CAPABILITY <= gpu.compute_capability not in _RTX_CAPABILITIES:
        detail = f"compute capability {_dotted(gpu.compute_capability)} is not among those that it supports"
        yield Finding("GPU of TensorRT-RTX", State.PROBLEM, detail, "pip install tensorrt-cu13 (the full TensorRT)")


def _toolkit() -> Finding:
    """The toolkit is needed once, to compile PyCUDA."""
    nvcc = _nvcc()
    if nvcc is not None:
        return Finding("CUDA toolkit", State.OK, f"{_nvcc_version(nvcc)} ({nvcc})")
    if find_spec("pycuda") is not None:
        return Finding("CUDA toolkit", State.OPTIONAL, "no nvcc (PyCUDA is compiled already)")
    remedy = "install the CUDA toolkit 13 and put its bin folder on PATH, then: pip install --no-cache-dir pycuda"
    return Finding("CUDA toolkit", State.MISSING, "no nvcc, with which PyCUDA is compiled", remedy)


def _nvcc() -> Path | None:
    named = [os.environ[name] for name in ("CUDA_ROOT", "CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    folders = [str(Path(folder) / "bin") for folder in (*named, "/usr/local/cuda")]
    return find_program("nvcc") or find_program("nvcc", folders)


def _nvcc_version(nvcc: Path) -> str:
    try:
        said = run_program(nvcc, "--version", timeout_s=_TIMEOUT_S).stdout
    except OSError as error:
        return f"does not answer: {error}"
    release = re.search(r"release ([\d.]+)", said)
    return release[1] if release else "of unknown version"


def _engines(gpu: NvidiaGpu) -> Iterator[Finding]:
    """Engines that are kept; those of other GPUs are never loaded here and only take room."""
    here: list[tuple[Path, Mapping[str, Any]]] = []
    elsewhere: list[tuple[Path, Mapping[str, Any]]] = []
    for path, facts in EngineCache().kept():
        (here if facts.get("gpu") == gpu.name else elsewhere).append((path, facts))
    if here:
        models = ", ".join(sorted({str(facts.get("model")) for _, facts in here}))
        yield Finding("kept engines", State.OK, f"{len(here)} for this GPU ({models}), in {here[0][0].parent}")
    if elsewhere:
        names = ", ".join(sorted({str(facts.get("gpu")) for _, facts in elsewhere}))
        paths = " ".join(str(path) for path, _ in elsewhere)
        remedy = f"polypstream build MODEL makes one for this GPU; if the other one is gone, delete {paths}"
        yield Finding("engines of another GPU", State.OPTIONAL, f"{len(elsewhere)} ({names}), not used here", remedy)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
