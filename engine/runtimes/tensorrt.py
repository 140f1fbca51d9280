"""TensorRT on an NVIDIA GPU: the engine of the bundle's FP16 network, built once for this GPU and kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.arrays import WindowBoxes
from engine.bundle import ModelBundle
from engine.closing import Closing
from engine.conversion.fp16 import FP16
from engine.errors import RuntimeUnavailableError
from engine.gpu.build import BatchProfile, BuildSettings, build_engine
from engine.gpu.engine_cache import EngineCache, EngineKey
from engine.gpu.library import TensorRtLibrary, load_library, require_gpu, tensorrt_problem
from engine.gpu.runner import EngineRefusedError, GpuMemoryError, GpuRunner, RunnerSettings
from engine.runtime import AUTO, FrameInput, RuntimeDescription, RuntimeSettings, Tensors
from engine.runtimes.precision_choice import Ability, Choice, Precision, choose_precision
from engine.runtimes.registry import register_runtime

log = logging.getLogger(__name__)

#: FP16 first: that INT8 is faster has not been measured on a GPU.
_ABILITIES = (
    Ability(Precision.FP16, FP16, FP16, ungated=True),
    Ability(Precision.INT8, "int8-tensorrt", "int8-tensorrt"),
)


@register_runtime("tensorrt", problem=tensorrt_problem)
class TensorRtRuntime(Closing):
    """A TensorRT engine on the GPU; several threads may run it at once."""

    def __init__(
        self,
        bundle: ModelBundle,
        settings: RuntimeSettings,
        reason: str,
        *,
        build: BuildSettings | None = None,
        library: TensorRtLibrary | None = None,
    ) -> None:
        """Loads the kept engine, or builds it.

        Raises:
            RuntimeUnavailableError: no driver, GPU, library, network or memory; with the remedy.
        """
        gpu = require_gpu()
        library = library or load_library()
        driver = load_cuda_driver()
        build = build or BuildSettings(batches_of(bundle))
        while True:
            runner = _open(bundle, library, driver, build, settings)
            if isinstance(runner, GpuRunner):
                break
            half = build.profile.largest // 2
            if half < build.profile.smallest:
                raise runner
            log.warning("%s; trying batches of %d", runner, half)
            profile = replace(build.profile, usual=min(build.profile.usual, half), largest=half)
            build = replace(build, profile=profile)
        self._runner = runner
        choice = engine_network(bundle, settings.precision)
        self.description = RuntimeDescription(
            "tensorrt", library.title, gpu.name, choice.precision.value, settings.streams, f"{reason}; {choice.reason}"
        )

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """See `engine.runtime.Runtime.run`."""
        return self._runner.run(pictures)

    def run_frames(self, frames: Sequence[FrameInput]) -> Tensors:
        """See `engine.runtime.FrameRuntime.run_frames`."""
        return self._runner.run_frames(frames)

    def run_windows(self, frames: Sequence[FrameInput], windows: Sequence[WindowBoxes]) -> Tensors:
        """See `engine.runtime.FrameRuntime.run_windows`."""
        return self._runner.run_windows(frames, windows)

    def network_ms(self, count: int, *, repeats: int) -> list[float]:
        """See `engine.gpu.runner.GpuRunner.network_ms`."""
        return self._runner.network_ms(count, repeats=repeats)

    def free_bytes(self) -> int:
        """Free memory of the GPU in bytes."""
        return self._runner.free_bytes()

    def close(self) -> None:
        """See `engine.runtime.Runtime.close`."""
        self._runner.close()


def batches_of(bundle: ModelBundle) -> BatchProfile:
    """Batch sizes that suit a model: single frames for one pass over a frame, many windows otherwise."""
    return BatchProfile(1, 1, 8) if bundle.sliding is None else BatchProfile(1, 64, 64)


def engine_network(bundle: ModelBundle, precision: str = AUTO) -> Choice:
    """The network that an engine is made of.

    Args:
        bundle: to run.
        precision: "fp16", "int8", or "auto".

    Raises:
        RuntimeUnavailableError: the bundle has no such network, or it did not pass its gate.
    """
    if precision in (AUTO, FP16) and FP16 not in bundle.networks:
        raise RuntimeUnavailableError(
            f"model {bundle.name!r} has no FP16 network: polypstream build {bundle.folder} --verify FRAMES makes it"
        )
    return choose_precision(bundle, precision, _ABILITIES, runtime="tensorrt")


def load_cuda_driver() -> Any:
    """The module `pycuda.driver`.

    Raises:
        RuntimeUnavailableError: it is missing or broken; with the remedy.
    """
    try:
        return import_module("pycuda.driver")
    except Exception as error:  # a broken library can raise anything when it is imported
        raise RuntimeUnavailableError(
            f"PyCUDA does not load ({error}): install the CUDA toolkit, then pip install --no-cache-dir pycuda; "
            "see docs/tensorrt.md"
        ) from error


def kept_engine(
    bundle: ModelBundle,
    library: TensorRtLibrary,
    settings: BuildSettings,
    *,
    precision: str = AUTO,
    rejected: bytes | None = None,
    cache: EngineCache | None = None,
) -> bytes:
    """The engine of a bundle for this GPU, from the cache or built now.

    Raises:
        RuntimeUnavailableError: no GPU, or TensorRT refuses the network.
    """
    network = engine_network(bundle, precision).network
    cache = cache or EngineCache()
    key = EngineKey.of(bundle.name, network.sha256, library, require_gpu(), settings)

    def build() -> bytes:
        timing = cache.read_timing(key)
        built = build_engine(network.path, library, settings, input_wh=bundle.input_wh, timing_cache=timing)
        cache.keep_timing(key, built.timing_cache)
        return built.plan

    return cache.get_or_build(key, build, rejected=rejected)


def _open(
    bundle: ModelBundle,
    library: TensorRtLibrary,
    driver: Any,
    build: BuildSettings,
    settings: RuntimeSettings,
) -> GpuRunner | GpuMemoryError:
    """The runner of an engine, built again once if the kept one is refused; or the error when memory is short."""
    sizes = RunnerSettings(bundle.input_wh, build.profile.largest, settings.streams, bundle.mean, bundle.std)
    plan = kept_engine(bundle, library, build, precision=settings.precision)
    try:
        try:
            return GpuRunner(driver, library, plan, sizes)
        except EngineRefusedError as error:
            log.warning("%s", error)
            again = kept_engine(bundle, library, build, precision=settings.precision, rejected=plan)
            return GpuRunner(driver, library, again, sizes)
    except GpuMemoryError as error:
        return error
