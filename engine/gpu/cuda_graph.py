"""CUDA graphs: work captured from a stream once and launched as one. PyCUDA has none, so the driver is called."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

from engine.errors import RunError

_THREAD_LOCAL = 1  # CUstreamCaptureMode: calls of other threads do not disturb the capture


class CudaGraph:
    """A captured graph, ready to launch; to be made, launched and closed where its context is current."""

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        """Captures what `enqueue` puts on a stream.

        Args:
            stream: handle of the stream.
            enqueue: puts work on that stream, and nothing that waits.

        Raises:
            RunError: the driver cannot capture it; the stream is usable again.
        """
        self._driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        graph = ctypes.c_void_p()
        self._executable = ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(_THREAD_LOCAL))
        try:
            enqueue()
        finally:
            # Ends the capture even when `enqueue` failed; the driver's own answer is looked at only when it did not.
            status = self._driver.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
        if status != 0:
            raise RunError(f"cuStreamEndCapture failed (CUDA error {status})")
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0))
        finally:
            self._driver.cuGraphDestroy(graph)

    def launch(self, stream: int) -> None:
        """Puts the whole graph on a stream.

        Raises:
            RunError: the driver refuses it.
        """
        self._call("cuGraphLaunch", self._executable, ctypes.c_void_p(stream))

    def close(self) -> None:
        """Releases the graph."""
        if self._executable:
            self._driver.cuGraphExecDestroy(self._executable)
            self._executable = ctypes.c_void_p()

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status != 0:
            raise RunError(f"{name} failed (CUDA error {status})")
