"""OpenVINO on the processor: the default without an NVIDIA GPU."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, TracebackType

import numpy as np
import numpy.typing as npt

from engine.bundle import ModelBundle
from engine.errors import RunError, RuntimeUnavailableError
from engine.runtime import RuntimeDescription, RuntimeSettings, Tensors, register_runtime

# OpenVINO tells Google Analytics of every import, from a process that it forks, unless this package cannot be used.
# Nothing may leave a machine that shows patients: an empty module in its place makes OpenVINO do without.
sys.modules.setdefault("openvino_telemetry", ModuleType("openvino_telemetry"))

import openvino  # noqa: E402


@register_runtime("openvino")
class OpenVinoRuntime:
    """One compiled network; every calling thread gets an inference request of its own."""

    def __init__(self, bundle: ModelBundle, settings: RuntimeSettings, reason: str) -> None:
        network = bundle.networks["fp32"]
        properties: dict[str, object] = {
            # Without this hint OpenVINO computes in bfloat16 where the processor can: other scores than elsewhere.
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": str(settings.streams),
        }
        if settings.threads:
            properties["INFERENCE_NUM_THREADS"] = settings.threads
        try:
            core = openvino.Core()
            self._compiled = core.compile_model(str(network.path), "CPU", properties)
            device = str(core.get_property("CPU", "FULL_DEVICE_NAME"))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RuntimeUnavailableError(f"OpenVINO cannot load {str(network.path)!r}: {reason}") from error
        self._requests = threading.local()
        self._names = [output.get_any_name() for output in self._compiled.outputs]
        library = f"openvino {openvino.get_version().split('-')[0]}"
        self.description = RuntimeDescription("openvino", library, device, "fp32", settings.streams, reason)

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """See `engine.runtime.Runtime.run`."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        try:
            request.infer([pictures], share_inputs=True)
        except RuntimeError as error:
            raise RunError(f"OpenVINO failed: {str(error).strip().splitlines()[-1]}") from error
        return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self._names)}

    def close(self) -> None:
        """See `engine.runtime.Runtime.close`."""
        self._requests = threading.local()

    def __enter__(self) -> OpenVinoRuntime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
