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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from engine.arrays import WindowBoxes
from engine.errors import RunError, RuntimeUnavailableError
from engine.gpu.build import make_logger
from engine.gpu.cuda_graph import CudaGraph
from engine.gpu.lane import Execution, Lane, Work, make_lane
from engine.gpu.library import TensorRtLibrary
from engine.gpu.pictures import PictureKernels, Upload, WindowPlan
from engine.runtime import FrameInput, Tensors
from engine.windows.sliding import levels_of

log = logging.getLogger(__name__)

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


class GpuRunner:
    """An engine on the GPU. `run`, `run_frames` and `run_windows` may be called from several threads at once.

    When the GPU has no room for a batch, smaller ones run from then on, and that is said.
    """

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
        self._free: queue.LifoQueue[Lane] = queue.LifoQueue()
        self._lanes: list[Lane] = []
        self._context: Any = None
        self._engine: Any = None
        self._kernels: Any = None
        self._largest = settings.largest
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

        def prepare(lane: Lane, part: slice) -> Work:
            source = lane.host_input[: part.stop - part.start]
            np.copyto(source, pictures[part], casting="same_kind")
            return Work(
                (len(source),),
                upload=lambda: self._driver.memcpy_htod_async(lane.device_input, source, lane.stream),
                fill=lambda rows: None,
            )

        return self._in_parts(len(pictures), prepare)

    def run_frames(self, frames: Sequence[FrameInput]) -> Tensors:
        """Runs frames: each is uploaded as it is; cropping, resizing and normalising happen on the GPU.

        Raises:
            RunError: the GPU failed.
        """

        def prepare(lane: Lane, part: slice) -> Work:
            upload = Upload.of(frames[part])
            self._hold(lane, upload)
            batch, memory = int(lane.device_input), int(lane.device_frames)
            return Work(
                (len(upload.placed),),
                upload=lambda: lane.copy(self._driver, upload.size),
                fill=lambda rows: self._kernels.lay_in(upload, memory, batch, lane.stream),
            )

        return self._in_parts(len(frames), prepare)

    def run_windows(self, frames: Sequence[FrameInput], windows: Sequence[WindowBoxes]) -> Tensors:
        """Runs windows of frames: each frame is uploaded once, its windows are cut on the GPU.

        Args:
            frames: at least one.
            windows: of each frame, int32 (windows, 4); at least one in all.

        Raises:
            RunError: the GPU failed.
        """
        input_wh = self._settings.input_wh
        frames = [frame for frame, boxes in zip(frames, windows, strict=True) if len(boxes)]
        windows = [boxes for boxes in windows if len(boxes)]
        levels = [levels_of(frame.box_xyxy, boxes, input_wh) for frame, boxes in zip(frames, windows, strict=True)]

        def prepare(lane: Lane, part: slice) -> Work:
            plan, largest = WindowPlan.of(frames[part], levels[part]), self._largest
            self._hold(lane, plan.upload, planes_bytes=plan.planes_bytes, rows=plan.windows)
            batch, memory, planes = int(lane.device_input), int(lane.device_frames), int(lane.device_planes)

            def upload() -> None:
                lane.copy(self._driver, plan.upload.size)
                self._kernels.resize_fields(plan, memory, planes, lane.stream)

            return Work(
                tuple(min(largest, plan.windows - start) for start in range(0, plan.windows, largest)),
                upload=upload,
                fill=lambda rows: self._kernels.gather(plan, rows, memory, planes, batch, lane.stream),
            )

        outputs = self._in_parts(len(frames), prepare)
        starts = np.cumsum([0, *map(len, windows)])
        ran = [start + level.windows for start, those in zip(starts, levels, strict=False) for level in those]
        places = np.argsort(np.concatenate(ran))
        return {name: values[places] for name, values in outputs.items()}

    def network_ms(self, count: int, *, repeats: int) -> list[float]:
        """Times of the network alone on the GPU, by its own clock: for measuring.

        Args:
            count: pictures of the batch, at most the largest.
            repeats: how many times it runs.
        """

        def measure() -> list[float]:
            times = []
            self._execute(lane, count)  # the first run of a batch size also makes its context and graph
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
        try:
            self._thread.submit(self._release).result()
        except self._driver.Error as error:  # a lost GPU: the end of the process releases what is left
            log.info("the GPU could not be released: %s", error)
        finally:
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
        self._kernels = PictureKernels(driver, input_wh=settings.input_wh, mean=settings.mean, std=settings.std)
        self._keep = (logger, runtime)
        mode = self._library.module.TensorIOMode
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self._input = next(name for name in names if self._engine.get_tensor_mode(name) == mode.INPUT)
        self._outputs = [name for name in names if name != self._input]
        shapes = {name: tuple(self._engine.get_tensor_shape(name))[1:] for name in self._outputs}
        for _ in range(settings.lanes):
            lane = make_lane(driver, settings.largest, settings.input_wh, shapes)
            self._lanes.append(lane)
            self._execute(lane, 1)  # the first run of a shape is slow; now rather than at the first frame
            lane.stream.synchronize()
            self._free.put(lane)

    def _in_parts(self, count: int, prepare: Callable[[Lane, slice], Work]) -> Tensors:
        """Runs items of any number: `prepare` fills a lane's host buffers with some and says what is to be done."""
        parts: list[dict[str, npt.NDArray[np.float32]]] = []
        start = 0
        while start < count:
            largest = self._largest
            part = slice(start, min(start + largest, count))
            try:
                with self._lane() as lane:
                    work = prepare(lane, part)
                    self._thread.submit(self._enqueue, lane, work).result()
                    self._wait(lane)
                    rows = sum(work.counts)
                    parts.append({name: array[:rows].astype(np.float32) for name, array in lane.host_outputs.items()})
            except (self._driver.MemoryError, GpuMemoryError) as error:
                self._shrink(largest, error)
                continue
            except self._driver.Error as error:
                raise RunError(f"the GPU failed: {error}") from error
            start = part.stop
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _shrink(self, tried: int, error: Exception) -> None:
        """Makes batches half as large as the one tried, which found no room."""
        if tried == 1:
            raise RunError(f"no room on the GPU even for single pictures: {error}") from error
        self._largest = min(self._largest, tried // 2)
        log.warning("no room on the GPU for batches of %d (%s); going on with %d", tried, error, self._largest)

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        lane = self._free.get()
        try:
            yield lane
        except BaseException:
            with suppress(self._driver.Error):  # copies from and to its buffers may still be under way
                self._call(lane.stream.synchronize)
            raise
        finally:
            self._free.put(lane)

    def _wait(self, lane: Lane) -> None:
        # In the caller's thread: the owning thread is free to enqueue the next batch meanwhile.
        self._context.push()
        try:
            lane.done.synchronize()
        finally:
            self._context.pop()

    def _enqueue(self, lane: Lane, work: Work) -> None:
        work.upload()
        start = 0
        for count in work.counts:
            rows = range(start, start + count)
            work.fill(rows)
            self._execute(lane, count)
            for name, array in lane.host_outputs.items():
                self._driver.memcpy_dtoh_async(array[start : rows.stop], lane.device_outputs[name], lane.stream)
            start = rows.stop
        lane.done.record(lane.stream)

    def _execute(self, lane: Lane, count: int) -> None:
        """Enqueues the network for the next power of two of pictures, so that few shapes need contexts and graphs."""
        size = min(1 << (count - 1).bit_length(), self._settings.largest)
        execution = lane.executions.get(size)
        if execution is None:
            execution = Execution(self._make_context(lane, size))
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

    def _make_context(self, lane: Lane, size: int) -> Any:
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
    def _infer(execution: Execution, lane: Lane) -> None:
        if not execution.context.execute_async_v3(lane.stream.handle):
            raise RunError("TensorRT failed to run the network; see -v")

    def _hold(self, lane: Lane, upload: Upload, *, planes_bytes: int = 0, rows: int = 0) -> None:
        """Fills the lane's pinned buffer with an upload; makes its buffers larger before where they do not hold it."""
        if not lane.holds(upload.size, planes_bytes, rows):
            self._call(lambda: lane.grow(self._driver, upload.size, planes_bytes, rows))
        upload.fill(lane.host_frames)

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
        self._kernels = None
        self._keep = ()
        if self._context is not None:
            self._context.pop()
            self._context.detach()
            self._context = None
