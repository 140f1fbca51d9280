"""A bundle's network with the arithmetic of other hardware: for judging it where there is none.

FP16 is rounded as a GPU rounds it. INT8 is computed exactly, as GPUs and processors with VNNI do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime

from engine.bundle import ModelBundle
from engine.closing import Closing
from engine.conversion.emulation import emulated_fp16
from engine.conversion.onnx_graph import require_onnx, session_of
from engine.errors import InputError, RunError, RuntimeUnavailableError
from engine.runtime import RuntimeDescription, Tensors


class EmulatedRuntime(Closing):
    """Runs `emulated_fp16` of one of the bundle's networks; several threads may run it at once."""

    def __init__(self, bundle: ModelBundle, network: str, reason: str) -> None:
        """Opens a network.

        Args:
            bundle: that holds it.
            network: key of the file, "fp16", "int8" or "int8-tensorrt".
            reason: why it is run so.

        Raises:
            InputError: `onnx` is missing.
            RuntimeUnavailableError: the bundle has no such network, or it cannot be read.
        """
        if network not in bundle.networks:
            raise RuntimeUnavailableError(f"model {bundle.name!r} has no {network} network")
        path = bundle.networks[network].path
        require_onnx()
        import onnx

        try:
            self._session = session_of(
                emulated_fp16(onnx.load(str(path))).SerializeToString(), as_written=True, threads=0
            )
        except InputError:
            raise
        except Exception as error:  # the libraries' errors share no base but Exception
            raise RuntimeUnavailableError(f"ONNX Runtime cannot load {str(path)!r}: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        library = f"onnxruntime {onnxruntime.__version__}"
        self.description = RuntimeDescription("onnxruntime", library, "CPU", network, 1, reason)

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """See `engine.runtime.Runtime.run`."""
        try:
            rounded = pictures.astype(np.float16).astype(np.float32)  # a GPU gets them so
            outputs = self._session.run(self._names, {self._input: rounded})
        except Exception as error:  # the library's errors share no base but Exception
            raise RunError(f"ONNX Runtime failed: {error}") from error
        return dict(zip(self._names, outputs, strict=True))

    def close(self) -> None:
        """See `engine.runtime.Runtime.close`."""
