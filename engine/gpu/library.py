"""Which TensorRT is installed, and whether it can run here: looked up without loading it before it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from engine.errors import RuntimeUnavailableError, first_line
from engine.machine import NvidiaGpu, nvidia_gpu

_INSTALL = "pip install 'polypstream[tensorrt]', or pip install tensorrt-rtx-cu13 for an RTX GPU; see docs/tensorrt.md"
_OLDEST = {"tensorrt": (10, 0), "tensorrt_rtx": (1, 0)}
#: Compute capability from which each flavour takes a GPU (Turing).
LEAST_CAPABILITY = (7, 5)
#: CUDA that the driver has to run: the kernels' PTX is of CUDA 13.
CUDA = (13, 0)


class Flavour(str, Enum):
    """The two libraries with (nearly) one Python interface; the value is the module's name."""

    TENSORRT = "tensorrt"
    RTX = "tensorrt_rtx"


@dataclass(frozen=True, slots=True)
class TensorRtLibrary:
    """A TensorRT module, loaded.

    Attributes:
        module: `tensorrt` or `tensorrt_rtx`.
        flavour: which of the two.
        version: of the library.
    """

    module: ModuleType
    flavour: Flavour
    version: str

    @property
    def title(self) -> str:
        """For people: "TensorRT-RTX 1.7.1.116"."""
        return f"{'TensorRT-RTX' if self.flavour is Flavour.RTX else 'TensorRT'} {self.version}"


def load_library(flavour: Flavour | None = None) -> TensorRtLibrary:
    """Loads the TensorRT asked for, or the first that loads, the full one before TensorRT-RTX.

    Raises:
        RuntimeUnavailableError: none is installed, it is broken, or too old.
    """
    problems = []
    for candidate in Flavour if flavour is None else (flavour,):
        try:
            module = import_module(candidate.value)
            version = str(module.__version__)
        except Exception as error:  # a broken library can raise anything when it is imported
            problems.append(f"{candidate.value}: {first_line(error)}")
            continue
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _OLDEST[candidate.value]:
            problems.append(f"{candidate.value} {version} is too old")
            continue
        return TensorRtLibrary(module, candidate, version)
    raise RuntimeUnavailableError(f"no TensorRT loads ({'; '.join(problems)}): {_INSTALL}")


def require_gpu() -> NvidiaGpu:
    """The GPU that TensorRT would run on.

    Raises:
        RuntimeUnavailableError: no driver, or no GPU, or one too old; with the remedy.
    """
    gpu = nvidia_gpu()
    if gpu is None:
        raise RuntimeUnavailableError("no NVIDIA driver: on a machine with an NVIDIA GPU install the driver")
    if gpu.compute_capability < LEAST_CAPABILITY:
        capability = ".".join(map(str, gpu.compute_capability))
        raise RuntimeUnavailableError(
            f"{gpu.name} has compute capability {capability}, TensorRT needs 7.5 (Turing) or newer: use the processor"
        )
    return gpu


def tensorrt_problem() -> str | None:
    """Why TensorRT cannot run here, with the remedy; None when driver, GPU and the packages are there.

    Nothing heavy is loaded on a machine without an NVIDIA GPU.
    """
    try:
        gpu = require_gpu()
    except RuntimeUnavailableError as error:
        return str(error)
    if not any(find_spec(flavour.value) for flavour in Flavour):
        return f"neither tensorrt nor tensorrt_rtx is installed: {_INSTALL}"
    if find_spec("pycuda") is None:
        return "PyCUDA is not installed: install the CUDA toolkit, then pip install pycuda; see docs/tensorrt.md"
    if gpu.cuda_version < CUDA:
        version = ".".join(map(str, gpu.cuda_version))
        return f"the NVIDIA driver is for CUDA {version}: install driver 580 or newer, for CUDA 13"
    return None
