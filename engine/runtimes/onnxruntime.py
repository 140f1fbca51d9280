"""ONNX Runtime on the processor: runs wherever a wheel of it exists."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime

from engine.bundle import ModelBundle
from engine.closing import Closing
from engine.errors import RunError, RuntimeUnavailableError
from engine.machine import processor
from engine.runtime import RuntimeDescription, RuntimeSettings, Tensors
from engine.runtimes.precision_choice import Ability, Precision, choose_precision, int8_doubt
from engine.runtimes.registry import register_runtime


@register_runtime("onnxruntime")
class OnnxRuntime(Closing):
    """One session; several threads may run it at once."""

    def __init__(self, bundle: ModelBundle, settings: RuntimeSettings, reason: str) -> None:
        # On Windows it would report its use to Microsoft; nothing may leave a machine that shows patients.
        onnxruntime.disable_telemetry_events()
        choice = choose_precision(bundle, settings.precision, _abilities(), runtime="onnxruntime")
        network = choice.network
        options = onnxruntime.SessionOptions()
        threads = settings.threads or processor().usable_cores
        options.intra_op_num_threads = max(1, threads // settings.streams)
        # Spinning threads would take the cores from decoding and encoding between two batches.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(network.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's errors share no base but Exception
            raise RuntimeUnavailableError(f"ONNX Runtime cannot load {str(network.path)!r}: {error}") from error
        entry = self._session.get_inputs()[0]
        self._input = entry.name
        self._type = np.float16 if entry.type == "tensor(float16)" else np.float32
        self._names = [output.name for output in self._session.get_outputs()]
        library = f"onnxruntime {onnxruntime.__version__}"
        self.description = RuntimeDescription(
            "onnxruntime", library, "CPU", choice.precision.value, settings.streams, f"{reason}; {choice.reason}"
        )

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """See `engine.runtime.Runtime.run`."""
        try:
            outputs = self._session.run(self._names, {self._input: pictures.astype(self._type, copy=False)})
        except Exception as error:  # the library's errors share no base but Exception
            raise RunError(f"ONNX Runtime failed: {error}") from error
        return {name: output.astype(np.float32, copy=False) for name, output in zip(self._names, outputs, strict=True)}

    def close(self) -> None:
        """See `engine.runtime.Runtime.close`."""


def _abilities() -> tuple[Ability, ...]:
    return (
        Ability(Precision.INT8, "int8", "int8", doubt=int8_doubt(processor())),
        Ability(Precision.FP32, "fp32", "fp32"),
        # Computed in FP32 between casts: slow, and only for those who ask for it.
        Ability(Precision.FP16, "fp16", "fp16"),
    )
