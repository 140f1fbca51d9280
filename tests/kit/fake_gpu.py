"""Stands for PyCUDA and TensorRT where there is no GPU: device memory is the processor's, work is done at once.

It is stricter than needed about what goes wrong in silence on a GPU: every call needs the context of its thread, memory
is only reached through addresses, and what was released may not be used.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from tests.kit.kernel_library import KernelLibrary


class CudaError(Exception):
    """As `pycuda.driver.Error`."""


class CudaMemoryError(CudaError):
    """As `pycuda.driver.MemoryError`."""


class FakeDriver:
    """What `engine.gpu.runner` uses of `pycuda.driver`."""

    Error = CudaError
    MemoryError = CudaMemoryError
    event_flags = SimpleNamespace(DISABLE_TIMING=2)

    def __init__(self, kernels: KernelLibrary | None = None, *, room: int = 1 << 30) -> None:
        self.kernels, self.room = kernels, room
        self.allocations = 0
        self.uploads: list[int] = []
        self.detached = 0
        self.failing: str | None = None
        self.owners: set[str] = set()
        self._current = threading.local()

    def check(self, name: str, *, waits: bool = False) -> None:
        """Every call goes through here."""
        if not getattr(self._current, "depth", 0):
            raise CudaError(f"{name}: no current context in thread {threading.current_thread().name}")
        if not waits:
            self.owners.add(threading.current_thread().name)
        if name == self.failing:
            raise CudaError(f"{name}: the device is lost")

    def init(self) -> None: ...

    def Device(self, number: int) -> Any:  # the name of PyCUDA
        return SimpleNamespace(retain_primary_context=lambda: self, name=lambda: "Fake GPU")

    # The context is the driver itself.
    def push(self) -> None:
        self._current.depth = getattr(self._current, "depth", 0) + 1

    def pop(self) -> None:
        self.check("pop", waits=True)
        self._current.depth -= 1

    def detach(self) -> None:
        self.detached += 1

    def mem_alloc(self, size: int) -> FakeMemory:
        self.check("mem_alloc")
        self.allocations += 1
        if size > self.room:
            raise CudaMemoryError("out of memory")
        self.room -= size
        memory = FakeMemory(size)
        weakref.finalize(memory, self._free, size)
        return memory

    def _free(self, size: int) -> None:
        self.room += size

    def pagelocked_zeros(self, shape: tuple[int, ...], kind: Any) -> Any:
        self.check("pagelocked_zeros")
        self.allocations += 1
        return np.zeros(shape, kind)

    pagelocked_empty = pagelocked_zeros

    def Stream(self) -> Any:
        self.check("Stream")
        return SimpleNamespace(handle=id(self), synchronize=lambda: self.check("synchronize"))

    def Event(self, flags: int = 0) -> Any:
        self.check("Event")
        return SimpleNamespace(
            record=lambda stream: self.check("record"),
            synchronize=lambda: self.check("wait", waits=True),
            time_till=lambda other: 1.0,
        )

    def mem_get_info(self) -> tuple[int, int]:
        self.check("mem_get_info")
        return self.room, 1 << 30

    def to_device(self, source: Any) -> FakeMemory:
        memory = self.mem_alloc(source.nbytes)
        self.memcpy_htod_async(memory, source, None)
        return memory

    def memcpy_dtoh(self, target: Any, source: FakeMemory) -> None:
        self.memcpy_dtoh_async(target, source, None)

    def memcpy_htod_async(self, target: FakeMemory, source: Any, stream: Any) -> None:
        self.check("memcpy_htod_async")
        assert source.flags.c_contiguous and source.nbytes <= target.size
        self.uploads.append(source.nbytes)
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    def memcpy_dtoh_async(self, target: Any, source: FakeMemory, stream: Any) -> None:
        self.check("memcpy_dtoh_async")
        assert target.flags.c_contiguous and target.nbytes <= source.size
        ctypes.memmove(target.ctypes.data, int(source), target.nbytes)

    def module_from_buffer(self, ptx: bytes) -> Any:
        self.check("module_from_buffer")
        assert ptx.rstrip(b"\0")
        return SimpleNamespace(get_function=lambda name: partial(self._launch, name))

    def _launch(self, name: str, *arguments: Any, block: Any, grid: Any, stream: Any) -> None:
        self.check(name)
        assert self.kernels is not None
        assert block[0] * grid[0] >= self._threads(name, [int(value) for value in arguments])
        self.kernels.launch(name, *arguments)

    @staticmethod
    def _threads(name: str, numbers: list[int]) -> int:
        """How many threads a launch needs."""
        if name == "gather_windows":
            return 3 * numbers[4] * numbers[6] * numbers[7]
        width, height = {"lay_in": (9, 10), "lay_in_planes": (16, 17), "resize_field": (8, 9)}[name]
        return numbers[width] * numbers[height]


class FakeMemory:
    """Device memory that is the processor's."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes = np.full(size, 0x7F, np.uint8)

    def __int__(self) -> int:
        return int(self._bytes.ctypes.data)


class FakeGraph:
    """As `engine.gpu.cuda_graph.CudaGraph`: does again what was captured."""

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        self._enqueue = enqueue
        self.launches = 0

    def launch(self, stream: int) -> None:
        self.launches += 1
        self._enqueue()

    def close(self) -> None:
        del self._enqueue


class FakeTensorRt:
    """What `engine.gpu.runner` uses of TensorRT; an engine is the ONNX network itself, "bad" cannot be loaded."""

    class ILogger:
        Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

    TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")

    def __init__(self, driver: FakeDriver) -> None:
        self.driver = driver
        self.contexts = 0
        self.shapes: list[int] = []

    def Runtime(self, logger: Any) -> Any:
        def load(plan: bytes) -> Any:
            self.driver.check("deserialize")
            if plan == b"bad":
                logger.log(1, "engine of another GPU")
                return None
            return _Engine(self, plan)

        return SimpleNamespace(deserialize_cuda_engine=load)


class _Engine:
    def __init__(self, library: FakeTensorRt, plan: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.library = library
        self.session = onnxruntime.InferenceSession(plan, options, providers=["CPUExecutionProvider"])
        entries = self.session.get_inputs()
        self.tensors = [*entries, *self.session.get_outputs()]
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return str(self.tensors[index].name)

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name == self.tensors[0].name else "output"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Sizes that are free in the file are known to TensorRT, all but the batch."""
        shape = next(tensor.shape for tensor in self.tensors if tensor.name == name)
        free = {"batch": -1, "positions": 84}
        return tuple(size if isinstance(size, int) else free[size] for size in shape)

    def create_execution_context(self) -> _Context:
        self.library.driver.check("create_execution_context")
        self.library.contexts += 1
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        library = self.engine.library
        library.driver.check("execute_async_v3")
        library.shapes.append(self.shape[0])
        pictures = _at(self.addresses["pictures"], self.shape)
        outputs = self.engine.session.run(None, {"pictures": pictures})
        for tensor, output in zip(self.engine.tensors[1:], outputs, strict=True):
            _at(self.addresses[tensor.name], output.shape)[:] = output
        return True


def _at(address: int, shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape)) * 2
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address)).view(np.float16).reshape(shape)
