"""OpenVINO on the processor: the default without an NVIDIA GPU."""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import ModuleType

import numpy as np
import numpy.typing as npt

from engine.bundle import ModelBundle, Strategy
from engine.closing import Closing
from engine.errors import RunError, RuntimeUnavailableError
from engine.folders import cache_folder
from engine.machine import processor
from engine.runtime import RuntimeDescription, RuntimeSettings, Tensors
from engine.runtimes.precision_choice import Ability, Precision, choose_precision, int8_doubt
from engine.runtimes.registry import register_runtime

# OpenVINO tells Google Analytics of every import, from a process that it forks, unless this package cannot be used.
# Nothing may leave a machine that shows patients: an empty module in its place makes OpenVINO do without.
sys.modules.setdefault("openvino_telemetry", ModuleType("openvino_telemetry"))

import openvino  # noqa: E402

log = logging.getLogger(__name__)

_CACHE = "CACHE_DIR"
_FIRST_INFERENCE = threading.Lock()


@register_runtime("openvino")
class OpenVinoRuntime(Closing):
    """One compiled network; every calling thread gets an inference request of its own."""

    def __init__(self, bundle: ModelBundle, settings: RuntimeSettings, reason: str) -> None:
        core = openvino.Core()
        choice = choose_precision(bundle, settings.precision, _abilities(core), runtime="openvino")
        network = choice.network
        # A large picture fills the processor by itself: compiled for one, it takes a sixth less time than in a batch of
        # any size. Small windows are the other way round.
        self._one_by_one = bundle.strategy is Strategy.DENSE
        properties: dict[str, object] = {
            # Without this hint OpenVINO computes in bfloat16 where the processor can, asked or not.
            "INFERENCE_PRECISION_HINT": "bf16" if choice.precision is Precision.BF16 else "f32",
            "NUM_STREAMS": str(settings.streams),
            # Pinned, every process begins at the first core: two workers of one thread each would share it.
            "ENABLE_CPU_PINNING": False,
        }
        if settings.threads:
            properties["INFERENCE_NUM_THREADS"] = settings.threads
        if choice.precision is Precision.INT8:
            # Working out where whole numbers may stay whole takes a second; done once, it is kept.
            properties |= _kept_compiled()
        try:
            model = core.read_model(str(network.path))
            # As the file names them: where OpenVINO merges layers, its own outputs go by several names.
            self._names = [output.get_any_name() for output in model.outputs]
            if self._one_by_one:
                model.reshape([1, *model.inputs[0].partial_shape[1:]])
            self._compiled = _compile(core, model, properties)
            device = str(core.get_property("CPU", "FULL_DEVICE_NAME"))
        except RuntimeError as error:
            raise RuntimeUnavailableError(f"OpenVINO cannot load {str(network.path)!r}: {_last_line(error)}") from error
        self._requests = threading.local()
        # The binding sets itself up in its first inference, and two threads that do so at once wait for each other for
        # ever (2026.4: a static's guard against the interpreter's lock). So one thread makes the first, and of two
        # networks that are opened at once one after the other.
        width, height = bundle.input_wh
        try:
            with _FIRST_INFERENCE:
                self.run(np.zeros((1, 3, height, width), np.float32))
        except RunError as error:
            raise RuntimeUnavailableError(str(error)) from error
        library = f"openvino {openvino.get_version().split('-')[0]}"
        self.description = RuntimeDescription(
            "openvino", library, device, choice.precision.value, settings.streams, f"{reason}; {choice.reason}"
        )

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """See `engine.runtime.Runtime.run`."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        parts = np.split(pictures, len(pictures)) if self._one_by_one else [pictures]
        answers: list[list[npt.NDArray[np.float32]]] = [[] for _ in self._names]
        try:
            for part in parts:
                request.infer([part], share_inputs=True)
                for index, answer in enumerate(answers):
                    answer.append(request.get_output_tensor(index).data.copy())
        except RuntimeError as error:
            raise RunError(f"OpenVINO failed: {_last_line(error)}") from error
        return {name: np.concatenate(answer) for name, answer in zip(self._names, answers, strict=True)}

    def close(self) -> None:
        """See `engine.runtime.Runtime.close`."""
        self._requests = threading.local()


def _abilities(core: openvino.Core) -> tuple[Ability, ...]:
    """Fastest first, as measured where all of them run: `benchmarks/results/precisions.json`."""
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return (
        Ability(Precision.INT8, "int8", "int8", doubt=int8_doubt(processor())),
        Ability(Precision.BF16, "fp32", "bf16", problem="" if has_bf16 else "this processor has no bfloat16"),
        Ability(Precision.FP32, "fp32", "fp32"),
    )


def _kept_compiled() -> dict[str, object]:
    """Where OpenVINO keeps compiled networks, by a fingerprint of theirs; nothing when that cannot be written."""
    folder = cache_folder() / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.info("compiled networks are not kept: %s", error)
        return {}
    return {_CACHE: str(folder)} if os.access(folder, os.W_OK) else {}


def _compile(core: openvino.Core, model: openvino.Model, properties: dict[str, object]) -> openvino.CompiledModel:
    try:
        return core.compile_model(model, "CPU", properties)
    except RuntimeError as error:
        if _CACHE not in properties:
            raise
        log.info("compiled anew, without what was kept: %s", _last_line(error))
        return core.compile_model(model, "CPU", {key: properties[key] for key in properties if key != _CACHE})


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
