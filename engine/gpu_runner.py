"""Runs a TensorRT engine on the GPU: pictures or whole frames in, the network's outputs out.

One thread owns the primary context and puts all work on the GPU. Each lane has a stream, pinned host buffers, device
buffers, execution contexts and CUDA graphs of its own, all made once: nothing is allocated for a frame. A caller takes
a lane, has its work enqueued, and waits for that lane's event only, so that upload, computing and download of the lanes
overlap.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from engine.cuda_graph import CudaGraph
from engine.errors import RunError, RuntimeUnavailableError
from engine.preprocess import layout
from engine.runtime import FrameInput, Tensors
from engine.tensorrt_build import make_logger
from engine.tensorrt_library import TensorRtLibrary

log = logging.getLogger(__name__)

KERNELS = Path(__file__).resolve().parent / "kernels"
_BLOCK = 256
Result = TypeVar("Result")


class EngineRefusedError(RuntimeUnavailableError):
    """An engine that TensorRT does not load: of another version or GPU, or damaged."""


class GpuMemoryError(RuntimeUnavailableError):
    """The GPU has no room for the engine and its buffers."""


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What a runner is made for.

    Attributes:
        input_wh: width and height of the network's input in pixels.
        largest: most pictures of a batch.
        lanes: batches on the GPU at once.
        mean: subtracted from each RGB value of 0..255 of a frame.
        std: divides what is left.
    """

    input_wh: tuple[int, int]
    largest: int
    lanes: int
    mean: float
    std: float


@dataclass
class _Execution:
    """One batch size on one lane: a context of its own, and its graph."""

    context: Any
    graph: CudaGraph | None = None


@dataclass
class _Lane:
    """All that one batch in flight needs."""

    stream: Any
    done: Any
    host_input: npt.NDArray[np.float16]
    device_input: Any
    host_outputs: dict[str, npt.NDArray[np.float16]]
    device_outputs: dict[str, Any]
    executions: dict[int, _Execution] = field(default_factory=dict)
    host_frames: npt.NDArray[np.uint8] | None = None
    device_frames: Any = None


class GpuRunner:
    """An engine on the GPU. `run` and `run_frames` may be called from several threads at once."""

    def __init__(self, driver: Any, library: TensorRtLibrary, plan: bytes, settings: RunnerSettings) -> None:
        """Loads an engine and makes its lanes.

        Args:
            driver: the module `pycuda.driver`.
            library: the TensorRT that built the engine.
            plan: the engine.
            settings: sizes.

        Raises:
            EngineRefusedError: TensorRT does not load this engine.
            GpuMemoryError: no room on the GPU.
            RuntimeUnavailableError: CUDA does not work.
        """
        self._driver, self._library, self._settings = driver, library, settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpu")
        self._free: queue.LifoQueue[_Lane] = queue.LifoQueue()
        self._lanes: list[_Lane] = []
        self._context: Any = None
        self._engine: Any = None
        self._lay_in: Any = None
        self._keep: tuple[Any, ...] = ()
        try:
            self._thread.submit(self._start, plan).result()
        except BaseException as error:
            self.close()
            if isinstance(error, driver.MemoryError):
                raise GpuMemoryError(f"no room on the GPU for batches of {settings.largest}: {error}") from error
            if isinstance(error, driver.Error):
                raise RuntimeUnavailableError(f"CUDA does not work here: {error}") from error
            raise

    @property
    def device(self) -> str:
        """Name of the GPU."""
        return self._call(lambda: str(self._driver.Device(0).name()))

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """Runs normalised pictures, float32 (batch, 3, height, width); batches over the largest are split.

        Raises:
            RunError: the GPU failed, or pictures of another size.
        """
        width, height = self._settings.input_wh
        if pictures.shape[1:] != (3, height, width):
            raise RunError(f"TensorRT failed: pictures must be (batch, 3, {height}, {width}), not {pictures.shape}")

        def prepare(lane: _Lane, part: npt.NDArray[np.float32]) -> Callable[[], None]:
            np.copyto(lane.host_input[: len(part)], part, casting="same_kind")
            return lambda: self._driver.memcpy_htod_async(lane.device_input, lane.host_input[: len(part)], lane.stream)

        return self._in_parts(pictures, prepare)

    def run_frames(self, frames: Sequence[FrameInput]) -> Tensors:
        """Runs frames: each is uploaded as it is; cropping, resizing and normalising happen on the GPU.

        Raises:
            RunError: the GPU failed.
        """
        return self._in_parts(frames, self._prepare_frames)

    def network_ms(self, count: int, *, repeats: int) -> list[float]:
        """Times of the network alone on the GPU, by its own clock: for measuring.

        Args:
            count: pictures of the batch, at most the largest.
            repeats: how many times it runs.
        """

        def measure() -> list[float]:
            times = []
            for _ in range(repeats):
                begin, end = self._driver.Event(), self._driver.Event()
                begin.record(lane.stream)
                self._execute(lane, count)
                end.record(lane.stream)
                end.synchronize()
                times.append(float(begin.time_till(end)))
            return times

        with self._lane() as lane:
            return self._call(measure)

    def free_bytes(self) -> int:
        """Free memory of the GPU in bytes."""
        return self._call(lambda: int(self._driver.mem_get_info()[0]))

    def close(self) -> None:
        """Releases everything, in order, on the thread that made it; also after a failure."""
        self._thread.submit(self._release).result()
        self._thread.shutdown()

    def _call(self, function: Callable[[], Result]) -> Result:
        return self._thread.submit(function).result()

    def _start(self, plan: bytes) -> None:
        driver, settings = self._driver, self._settings
        driver.init()
        self._context = driver.Device(0).retain_primary_context()
        self._context.push()
        logger = make_logger(self._library)
        runtime = self._library.module.Runtime(logger)
        self._engine = runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineRefusedError(f"{self._library.title} does not load the engine: {logger.reason()}")
        kernels = driver.module_from_buffer((KERNELS / "pictures.ptx").read_bytes() + b"\0")
        self._lay_in = kernels.get_function("lay_in")
        self._keep = (logger, runtime, kernels)
        mode = self._library.module.TensorIOMode
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self._input = next(name for name in names if self._engine.get_tensor_mode(name) == mode.INPUT)
        self._outputs = [name for name in names if name != self._input]
        for _ in range(settings.lanes):
            lane = self._make_lane()
            self._lanes.append(lane)
            self._execute(lane, 1)  # the first run of a shape is slow; now rather than at the first frame
            lane.stream.synchronize()
            self._free.put(lane)

    def _make_lane(self) -> _Lane:
        driver, (width, height), largest = self._driver, self._settings.input_wh, self._settings.largest
        host_input = driver.pagelocked_zeros((largest, 3, height, width), np.float16)
        host_outputs = {
            name: driver.pagelocked_zeros((largest, *tuple(self._engine.get_tensor_shape(name))[1:]), np.float16)
            for name in self._outputs
        }
        return _Lane(
            stream=driver.Stream(),
            done=driver.Event(driver.event_flags.DISABLE_TIMING),
            host_input=host_input,
            device_input=driver.mem_alloc(host_input.nbytes),
            host_outputs=host_outputs,
            device_outputs={name: driver.mem_alloc(array.nbytes) for name, array in host_outputs.items()},
        )

    def _in_parts(self, items: Any, prepare: Callable[[_Lane, Any], Callable[[], None]]) -> Tensors:
        """Runs a batch of any size: `prepare` fills the lane's host buffers and gives what enqueues their upload."""
        largest = self._settings.largest
        parts = []
        for start in range(0, len(items), largest):
            part = items[start : start + largest]
            with self._lane() as lane:
                try:
                    upload = prepare(lane, part)
                    self._thread.submit(self._enqueue, lane, len(part), upload).result()
                    self._wait(lane)
                except self._driver.Error as error:
                    raise RunError(f"the GPU failed: {error}") from error
                parts.append({name: array[: len(part)].astype(np.float32) for name, array in lane.host_outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @contextmanager
    def _lane(self) -> Iterator[_Lane]:
        lane = self._free.get()
        try:
            yield lane
        finally:
            self._free.put(lane)

    def _wait(self, lane: _Lane) -> None:
        # In the caller's thread: the owning thread is free to enqueue the next batch meanwhile.
        self._context.push()
        try:
            lane.done.synchronize()
        finally:
            self._context.pop()

    def _enqueue(self, lane: _Lane, count: int, upload: Callable[[], None]) -> None:
        upload()
        self._execute(lane, count)
        for name, array in lane.host_outputs.items():
            self._driver.memcpy_dtoh_async(array[:count], lane.device_outputs[name], lane.stream)
        lane.done.record(lane.stream)

    def _execute(self, lane: _Lane, count: int) -> None:
        """Enqueues the network for the next power of two of pictures, so that few shapes need contexts and graphs."""
        size = min(1 << (count - 1).bit_length(), self._settings.largest)
        execution = lane.executions.get(size)
        if execution is None:
            execution = _Execution(self._make_context(lane, size))
            lane.executions[size] = execution
            self._infer(execution, lane)  # TensorRT finishes its set-up in the first run, which cannot be captured
            lane.stream.synchronize()
            try:
                execution.graph = CudaGraph(lane.stream.handle, lambda: self._infer(execution, lane))
            except RunError as error:
                log.info("without CUDA graph for batches of %d: %s", size, error)
        if execution.graph is not None:
            execution.graph.launch(lane.stream.handle)
        else:
            self._infer(execution, lane)

    def _make_context(self, lane: _Lane, size: int) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise GpuMemoryError(f"no room on the GPU for a batch of {size}")
        width, height = self._settings.input_wh
        accepted = [context.set_input_shape(self._input, (size, 3, height, width))]
        accepted.append(context.set_tensor_address(self._input, int(lane.device_input)))
        accepted += [context.set_tensor_address(name, int(lane.device_outputs[name])) for name in self._outputs]
        if not all(accepted):
            raise RunError(f"TensorRT refuses a batch of {size} pictures of {width}x{height}")
        return context

    @staticmethod
    def _infer(execution: _Execution, lane: _Lane) -> None:
        if not execution.context.execute_async_v3(lane.stream.handle):
            raise RunError("TensorRT failed to run the network; see -v")

    def _prepare_frames(self, lane: _Lane, frames: Sequence[FrameInput]) -> Callable[[], None]:
        """Copies frames and masks into one pinned buffer: one upload for all."""
        pieces: list[npt.NDArray[np.uint8]] = []
        for frame in frames:
            pieces.append(frame.image)
            if frame.mask is not None:
                pieces.append(frame.mask.view(np.uint8))
        total = sum(piece.size for piece in pieces)
        if lane.host_frames is None or lane.host_frames.size < total:
            self._call(lambda: self._grow(lane, total))  # frames larger than any before: once a source
        host = lane.host_frames
        assert host is not None
        offsets, at = [], 0
        for piece in pieces:
            host[at : at + piece.size] = piece.reshape(-1)
            offsets.append(at)
            at += piece.size

        def upload() -> None:
            self._driver.memcpy_htod_async(lane.device_frames, host[:total], lane.stream)
            places = iter(offsets)
            for row, frame in enumerate(frames):
                place = next(places)
                mask = 0 if frame.mask is None else int(lane.device_frames) + next(places)
                self._launch_lay_in(lane, row, frame, int(lane.device_frames) + place, mask)

        return upload

    def _grow(self, lane: _Lane, total: int) -> None:
        lane.host_frames = self._driver.pagelocked_empty(total, np.uint8)
        lane.device_frames = self._driver.mem_alloc(total)

    def _launch_lay_in(self, lane: _Lane, row: int, frame: FrameInput, image: int, mask: int) -> None:
        width, height = self._settings.input_wh
        halvings, (left, top, right, bottom), letterbox = layout(frame.box_xyxy, self._settings.input_wh)
        inner = letterbox.inner_xyxy
        target = int(lane.device_input) + row * 3 * width * height * np.dtype(np.float16).itemsize
        numbers = (left, top, right - left, bottom - top, halvings)
        inside = (width, height, inner[0], inner[1], inner[2] - inner[0], inner[3] - inner[1])
        self._lay_in(
            np.uint64(image),
            np.int32(frame.image.shape[1]),
            *map(np.int32, numbers),
            np.uint64(mask),
            np.uint64(target),
            *map(np.int32, inside),
            np.float32(self._settings.mean),
            np.float32(1 / self._settings.std),
            block=(_BLOCK, 1, 1),
            grid=(-(-width * height // _BLOCK), 1),
            stream=lane.stream,
        )

    def _release(self) -> None:
        for lane in self._lanes:
            for execution in lane.executions.values():
                if execution.graph is not None:
                    execution.graph.close()
        # Contexts before their engine, the engine before its runtime, buffers while the context is still current.
        self._lanes.clear()
        while not self._free.empty():
            self._free.get_nowait()
        self._engine = None
        self._lay_in = None
        self._keep = ()
        if self._context is not None:
            self._context.pop()
            self._context.detach()
            self._context = None
