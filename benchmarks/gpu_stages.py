"""The stages of `benchmarks.gpu_check`, one a process: what each finds is written as soon as it is known.

Libraries are imported by the stages that need them: on a machine that lacks some the others run all the same.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu_check import FAILED, NOT_RUN, OK
from engine.arrays import WindowBoxes
from engine.bundle import ModelBundle, load_bundle
from engine.conversion.fp16 import FP16
from engine.errors import RuntimeUnavailableError
from engine.gpu.build import BatchProfile, BuildSettings, build_engine
from engine.gpu.cuda_graph import CudaGraph
from engine.gpu.library import load_library, require_gpu
from engine.gpu.pictures import PictureKernels, Upload, WindowPlan
from engine.gpu.runner import GpuRunner, RunnerSettings
from engine.runtime import FrameInput, RuntimeSettings
from engine.runtimes.tensorrt import TensorRtRuntime, batches_of, kept_engine, load_cuda_driver
from engine.windows.preprocess import lay_in, normalise
from engine.windows.sliding import cut_windows, levels_of

FRAME_WH = (384, 288)
#: Windows of such a frame, their places, their side in the frame, and the side at which VGG16 looks at them.
WINDOWS, PLACES, SIDE, INPUT = 336, (21, 16), 96, 150
#: Multiply-adds of VGG16's convolutions for all windows of a frame, in millions of millions.
VGG16_TMAC = 2.3
MEAN, STD = 127.0, 128.0
Figures = Iterator[tuple[str, Any]]


@dataclass
class Order:
    """What a stage is to do.

    Attributes:
        stage: its name.
        found: file for what it finds.
        folder: shared by all stages.
        seconds: after which it is ended from outside.
        model: shipped name or folder.
        frames: video or folder of pictures.
        count: frames for each latency.
        soak: frames of the endurance run.
    """

    stage: str
    found: str
    folder: str
    seconds: float
    model: str
    frames: str
    count: int
    soak: int
    started: float = field(default_factory=time.monotonic)

    def has(self, share: float) -> bool:
        """Whether less than this share of the time is used."""
        return time.monotonic() - self.started < share * self.seconds


def main() -> int:
    """Runs one stage."""
    order = Order(**json.loads(sys.argv[1]))
    stages: dict[str, Callable[[Order], Figures]] = {
        "gpu": _gpu,
        "kernels": _kernels,
        "transfers": _transfers,
        "graphs": _graphs,
        "library": _library,
        "model": _model,
        "engine": _engine,
        "parity": _parity,
        "dense": _dense,
        "feed": _feed,
        "windows_vgg16": lambda order: _windows(order, VGG16_TMAC),
        "windows_small_cnn": lambda order: _windows(order, None),
        "streams": _streams,
        "soak": _soak,
    }
    figures: dict[str, Any] = {}
    status: dict[str, Any] = {"status": OK}
    try:
        for name, value in stages[order.stage](order):
            figures[name] = value
            Path(order.found).write_text(json.dumps(figures), encoding="utf-8")
    except (RuntimeUnavailableError, ImportError) as error:
        status = {"status": NOT_RUN, "reason": str(error)}
    except Exception as error:  # whatever goes wrong is a finding
        status = {"status": FAILED, "reason": f"{type(error).__name__}: {error}"}
    Path(order.found).write_text(json.dumps({**status, **figures}), encoding="utf-8")
    return 0


def _gpu(order: Order) -> Figures:
    yield from asdict(require_gpu()).items()


def _library(order: Order) -> Figures:
    require_gpu()
    yield "library", load_library().title


@contextmanager
def _cuda(input_wh: tuple[int, int]) -> Iterator[tuple[Any, PictureKernels, Any]]:
    """PyCUDA with the context current, the kernels, and a stream."""
    require_gpu()
    driver = load_cuda_driver()
    driver.init()
    context = driver.Device(0).retain_primary_context()
    context.push()
    try:
        yield driver, PictureKernels(driver, input_wh=input_wh, mean=MEAN, std=STD), driver.Stream()
    finally:
        context.pop()
        context.detach()


def _window_input() -> tuple[FrameInput, WindowBoxes]:
    """A frame of noise and its 336 windows."""
    frame = np.random.default_rng(0).integers(0, 256, (FRAME_WH[1], FRAME_WH[0], 3), np.uint8)
    xs, ys = (np.linspace(0, length - SIDE, places) for length, places in zip(FRAME_WH, PLACES, strict=True))
    corners = np.stack([axis.ravel() for axis in np.meshgrid(np.rint(xs), np.rint(ys))], 1).astype(np.int32)
    return FrameInput(frame, (0, 0, *FRAME_WH)), np.concatenate([corners, corners + SIDE], 1)


def _device_copy(driver: Any, upload: Upload) -> Any:
    host = np.zeros(upload.size, np.uint8)
    upload.fill(host)
    return driver.to_device(host)


def _kernels(order: Order) -> Figures:
    """Largest differences of the kernels, on the GPU, to the processor; and their times."""
    random = np.random.default_rng(0)
    target = (288, 256)
    with _cuda(target) as (driver, kernels, stream):
        worst = 0.0
        for size, box in (
            ((720, 576), (100, 20, 676, 532)),
            ((384, 288), (10, 5, 200, 170)),
            (target, (0, 0, *target)),
        ):
            frame = FrameInput(random.integers(0, 256, (size[1], size[0], 3), np.uint8), box)
            upload, found = Upload.of([frame]), np.empty((3, target[1], target[0]), np.float16)
            given, made = _device_copy(driver, upload), driver.mem_alloc(found.nbytes)
            kernels.lay_in(upload, int(given), int(made), stream)
            stream.synchronize()
            driver.memcpy_dtoh(found, made)
            expected = normalise([lay_in(frame.image, box, target)[0]], MEAN, STD)[0]
            worst = max(worst, float(np.abs(found.astype(np.float32) - expected).max()) * STD)
        yield "lay_in_largest_difference_in_colour_values", worst
        large = Upload.of([FrameInput(random.integers(0, 256, (1080, 1920, 3), np.uint8), (270, 0, 1650, 1080))])
        given = _device_copy(driver, large)
        yield (
            "lay_in_1380x1080_ms",
            _event_ms(driver, lambda: kernels.lay_in(large, int(given), int(made), stream), order.count, stream),
        )
    with _cuda((INPUT, INPUT)) as (driver, kernels, stream):
        frame, windows = _window_input()
        plan = WindowPlan.of([frame], [levels_of(frame.box_xyxy, windows, (INPUT, INPUT))])
        batch = np.empty((WINDOWS, 3, INPUT, INPUT), np.float16)
        memory = int(given := _device_copy(driver, plan.upload))
        planes, made = driver.mem_alloc(plan.planes_bytes), driver.mem_alloc(batch.nbytes)

        def resize() -> None:
            kernels.resize_fields(plan, memory, int(planes), stream)

        def gather() -> None:
            kernels.gather(plan, range(WINDOWS), memory, int(planes), int(made), stream)

        resize()
        gather()
        stream.synchronize()
        driver.memcpy_dtoh(batch, made)
        expected = normalise(cut_windows(frame.image, frame.box_xyxy, windows, (INPUT, INPUT)), MEAN, STD)
        apart = float(np.abs(batch.astype(np.float32) - expected).max()) * STD
        yield "windows_largest_difference_in_colour_values", apart
        yield "resize_384x288_to_600x450_ms", _event_ms(driver, resize, order.count, stream)
        yield "gather_336_windows_ms", _event_ms(driver, gather, order.count, stream)
    if worst > 1.6 or apart > 1:
        raise RuntimeError(f"kernels differ from the processor: {worst:.3g} and {apart:.3g} colour values")


def _transfers(order: Order) -> Figures:
    """Uploads of a frame from pinned memory."""
    with _cuda((INPUT, INPUT)) as (driver, _, stream):
        for width, height in ((384, 288), (1920, 1080)):
            host = driver.pagelocked_zeros((height, width, 3), np.uint8)
            device = driver.mem_alloc(host.nbytes)

            def copy(host: Any = host, device: Any = device) -> None:
                driver.memcpy_htod_async(device, host, stream)

            yield f"upload_{width}x{height}_ms", _event_ms(driver, copy, order.count, stream)


def _graphs(order: Order) -> Figures:
    """Thirty small kernels, launched one by one and as a CUDA graph: wall time of the launches and their end."""
    with _cuda((64, 64)) as (driver, kernels, stream):
        upload = Upload.of([FrameInput(np.zeros((64, 64, 3), np.uint8), (0, 0, 64, 64))])
        given, made = _device_copy(driver, upload), driver.mem_alloc(3 * 64 * 64 * 2)

        def launches() -> None:
            for _ in range(30):
                kernels.lay_in(upload, int(given), int(made), stream)

        def measured(run: Callable[[], None]) -> dict[str, float]:
            def once(_: int) -> None:
                run()
                stream.synchronize()

            return _wall_ms(once, order, share=0.4)

        yield "one_by_one_ms", measured(launches)
        graph = CudaGraph(stream.handle, launches)
        yield "as_graph_ms", measured(lambda: graph.launch(stream.handle))
        graph.close()


def _event_ms(driver: Any, launch: Callable[[], None], repeats: int, stream: Any) -> dict[str, float]:
    """Times by the GPU's clock."""
    times = []
    for _ in range(repeats):
        begin, end = driver.Event(), driver.Event()
        begin.record(stream)
        launch()
        end.record(stream)
        end.synchronize()
        times.append(begin.time_till(end))
    return _summary(times)


def _model(order: Order) -> Figures:
    """The model with its FP16 network, in the folder of this run."""
    from calibration.precisions.half_precision import make_fp16, read_frames
    from engine.conversion.fp16 import write_fp16

    bundle = load_bundle(order.model)
    folder = Path(order.folder) / "model"
    shutil.copytree(bundle.folder, folder)
    if FP16 not in bundle.networks:
        copy = load_bundle(folder)
        write_fp16(copy, make_fp16(copy, read_frames(order.frames)))
    yield "model", bundle.name


def _bundle(order: Order) -> ModelBundle:
    require_gpu()
    folder = Path(order.folder) / "model"
    if not folder.is_dir():
        list(_model(order))
    return load_bundle(folder)


def _engine(order: Order) -> Figures:
    """The engine, built or from the cache."""
    bundle, library = _bundle(order), load_library()
    start = time.perf_counter()
    plan = kept_engine(bundle, library, BuildSettings(batches_of(bundle)))
    yield "seconds", round(time.perf_counter() - start, 1)
    yield "megabytes", round(len(plan) / 1e6, 1)
    start = time.perf_counter()
    with _runtime(bundle):
        yield "seconds_to_load", round(time.perf_counter() - start, 1)


def _runtime(bundle: ModelBundle, streams: int = 1) -> TensorRtRuntime:
    return TensorRtRuntime(bundle, RuntimeSettings(streams=streams), "measured")


def _parity(order: Order) -> Figures:
    from calibration.precisions.half_precision import read_frames, verify

    bundle = _bundle(order)
    with _runtime(bundle) as runtime:
        report = verify(bundle, runtime, read_frames(order.frames))
    yield from report.as_json().items()
    if not report.passed:
        raise RuntimeError("the engine is too far from FP32")


def _frames(order: Order) -> list[FrameInput]:
    from calibration.precisions.half_precision import read_frames

    seen = read_frames(order.frames)
    return [
        FrameInput(image, field.box_xyxy, field.mask) for image, field in zip(seen.images, seen.fields, strict=True)
    ]


def _dense(order: Order) -> Figures:
    """One frame at a time: the network alone, frame in to outputs back, frame in to merged detections."""
    bundle, frames = _bundle(order), _frames(order)
    with _runtime(bundle) as runtime:
        yield "network_only_ms", _summary(runtime.network_ms(1, repeats=order.count))
        frame = _wall_ms(lambda number: runtime.run_frames([frames[number % len(frames)]]), order, share=0.6)
        yield "frame_to_outputs_ms", frame
        yield "frame_to_detections_ms", _wall_ms(_detect(bundle, runtime, frames), order, share=0.9)


def _feed(order: Order) -> Figures:
    """Frame in to merged detections at the rates of live feeds: a GPU that idles between frames lowers its clocks."""
    bundle, frames = _bundle(order), _frames(order)
    with _runtime(bundle) as runtime:
        detect = _detect(bundle, runtime, frames)
        for rate, share in ((25, 0.45), (60, 0.9)):
            times = _wall_ms(detect, order, share=share, every_s=1 / rate)
            yield f"frame_to_detections_at_{rate}_frames_per_s_ms", times


def _detect(bundle: ModelBundle, runtime: TensorRtRuntime, frames: Sequence[FrameInput]) -> Callable[[int], object]:
    from stream.detection.detector import Detector
    from stream.frame import FieldOfView

    detector = Detector(bundle, runtime)

    def detect(number: int) -> object:
        frame = frames[number % len(frames)]
        return detector.detect([frame.image], [FieldOfView(frame.box_xyxy, frame.mask)])

    return detect


def _windows(order: Order, tmac: float | None) -> Figures:
    """All 336 windows of a frame through a classifier of full width: the network alone, and frame in to scores."""
    from engine.conversion.fp16 import convert_to_fp16
    from tests.kit.conv_networks import SMALL, VGG16, write_classifier

    require_gpu()
    plan = VGG16 if tmac is not None else SMALL
    library, driver = load_library(), load_cuda_driver()
    full = write_classifier(Path(order.folder) / f"{order.stage}.onnx", plan, side=INPUT)
    half = full.with_suffix(".fp16.onnx")
    noise: npt.NDArray[np.float32] = np.random.default_rng(0).normal(0, 0.6, (1, 3, INPUT, INPUT)).astype(np.float32)
    convert_to_fp16(full, half, noise)
    start = time.perf_counter()
    built = build_engine(half, library, BuildSettings(BatchProfile(1, WINDOWS, WINDOWS)), input_wh=(INPUT, INPUT))
    yield "seconds_to_build", round(time.perf_counter() - start, 1)
    frame, windows = _window_input()
    for largest in (WINDOWS, 64):
        runner = GpuRunner(driver, library, built.plan, RunnerSettings((INPUT, INPUT), largest, 1, MEAN, STD))
        try:
            if largest == WINDOWS:
                alone = _summary(runner.network_ms(WINDOWS, repeats=min(order.count, 100)))
                yield "network_only_336_windows_ms", alone
                if tmac is not None:
                    yield "tmac_per_s", round(tmac / (alone["p50"] / 1e3), 1)
            share = 0.75 if largest == WINDOWS else 0.95
            times = _wall_ms(lambda _: runner.run_windows([frame], [windows]), order, share=share)  # noqa: B023
            yield f"frame_to_scores_in_batches_of_{largest}_ms", times
        finally:
            runner.close()


def _streams(order: Order) -> Figures:
    """Frames a second of 1 to 16 threads that run one frame each."""
    bundle, frames = _bundle(order), _frames(order)
    for streams in (1, 2, 4, 8, 16):
        with _runtime(bundle, streams) as runtime:
            share = max(1, order.count // streams)

            def work(runtime: TensorRtRuntime = runtime, share: int = share) -> None:
                for number in range(share):
                    runtime.run_frames([frames[number % len(frames)]])

            threads = [threading.Thread(target=work) for _ in range(streams)]
            start = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            yield f"{streams}_streams_frames_per_s", round(streams * share / (time.perf_counter() - start), 1)


def _soak(order: Order) -> Figures:
    """Many frames; the GPU's memory must stay what it was after the first thousand."""
    bundle, frames = _bundle(order), _frames(order)
    with _runtime(bundle) as runtime:
        times: list[float] = []
        free_before = 0
        while len(times) < order.soak and order.has(0.9):
            if len(times) == min(1000, order.soak // 2):
                free_before = runtime.free_bytes()
            start = time.perf_counter()
            runtime.run_frames([frames[len(times) % len(frames)]])
            times.append(1e3 * (time.perf_counter() - start))
        grown = free_before - runtime.free_bytes()
    yield "frames", len(times)
    yield "frame_to_outputs_ms", _summary(times)
    yield "memory_grown_bytes", grown
    if grown > 1 << 20:
        raise RuntimeError(f"memory of the GPU grew by {grown} bytes over {len(times)} frames")


def _wall_ms(run: Callable[[int], object], order: Order, *, share: float, every_s: float = 0.0) -> dict[str, float]:
    """Wall times, until the count is reached or this share of the stage's time is used; one begins each `every_s`."""
    for number in range(min(50, order.count)):
        run(number)
        if not order.has(share):
            break
    times: list[float] = []
    while len(times) < order.count and (order.has(share) or not times):
        start = time.perf_counter()
        run(len(times))
        taken_s = time.perf_counter() - start
        times.append(1e3 * taken_s)
        time.sleep(max(every_s - taken_s, 0.0))
    return _summary(times)


def _summary(times_ms: list[float]) -> dict[str, float]:
    times = np.array(times_ms)
    found = {"mean": times.mean(), "max": times.max()}
    found |= {f"p{share}": np.percentile(times, share) for share in (50, 90, 95, 99)}
    return {"count": len(times), **{name: round(float(value), 4) for name, value in found.items()}}


if __name__ == "__main__":
    sys.exit(main())
