"""Checks and measures all that needs an NVIDIA GPU: kernels, engine, parity, latency, streams, windows, soak.

    python -m benchmarks.gpu_check [--model polyp] [--frames examples/colon.mp4] [--count 2000] [--soak 100000]

A part that cannot run is told with its reason, and the others run all the same. Exit status 1 when a part failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.environment import write_result
from calibration.half_precision import make_fp16, read_frames, verify
from engine.bundle import ModelBundle, load_bundle
from engine.gpu_pictures import KERNELS
from engine.gpu_runner import GpuRunner, RunnerSettings
from engine.precision import FP16, convert_to_fp16
from engine.preprocess import lay_in, layout, normalise
from engine.runtime import FrameInput, RuntimeSettings
from engine.runtime_tensorrt import TensorRtRuntime, load_cuda_driver
from engine.tensorrt_build import BatchProfile, BuildSettings, build_engine
from engine.tensorrt_library import load_library, require_gpu
from stream.detector import Detector
from tests.conv_networks import SMALL, VGG16, write_classifier

FRAME_WH = (384, 288)
#: Windows of such a frame, and the side at which VGG16 looks at them: 2.3 TMAC a frame.
WINDOWS, SIDE = 336, 150
VGG16_MACS = 2.3e12


@dataclass(frozen=True)
class Asked:
    """Arguments of the command line."""

    model: str
    frames: str
    count: int
    soak: int


def main() -> int:
    """Runs every part and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="polyp")
    parser.add_argument("--frames", default="examples/colon.mp4")
    parser.add_argument("--count", type=int, default=2000, help="frames for each latency")
    parser.add_argument("--soak", type=int, default=100_000, help="frames of the endurance run; 0 leaves it out")
    asked = Asked(**vars(parser.parse_args()))
    parts: dict[str, Callable[[Asked], dict[str, Any]]] = {
        "gpu": _gpu,
        "kernels": _kernels,
        "transfers": _transfers,
        "library": _library,
        "parity": _parity,
        "dense": _dense,
        "streams": _streams,
        "windows": _windows,
        "soak": _soak,
    }
    figures: dict[str, Any] = {}
    for name, part in parts.items():
        print(f"== {name}", flush=True)
        try:
            figures[name] = part(asked)
        except Exception as error:  # whatever goes wrong in one part, the others still run
            figures[name] = {"failed": f"{type(error).__name__}: {error}"}
        for key, value in figures[name].items():
            print(f"   {key}: {value}", flush=True)
    path = write_result("gpu", figures)
    print(_table(figures))
    print(path)
    return int(any("failed" in found for found in figures.values()))


def _gpu(asked: Asked) -> dict[str, Any]:
    return asdict(require_gpu())


def _library(asked: Asked) -> dict[str, Any]:
    return {"library": load_library().title}


@contextmanager
def _cuda() -> Iterator[tuple[Any, Any]]:
    """PyCUDA with the context current, and the kernels."""
    require_gpu()
    driver = load_cuda_driver()
    driver.init()
    context = driver.Device(0).retain_primary_context()
    context.push()
    try:
        yield driver, driver.module_from_buffer((KERNELS / "pictures.ptx").read_bytes() + b"\0")
    finally:
        context.pop()
        context.detach()


def _kernels(asked: Asked) -> dict[str, Any]:
    """Largest differences of both kernels, on the GPU, to the processor."""
    random = np.random.default_rng(0)
    target, mean, std = (288, 256), 127.0, 128.0
    worst = 0.0
    with _cuda() as (driver, module):
        kernel = module.get_function("lay_in")
        for size, box in (
            ((720, 576), (100, 20, 676, 532)),
            ((384, 288), (10, 5, 200, 170)),
            (target, (0, 0, *target)),
        ):
            frame = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
            found = np.empty((3, target[1], target[0]), np.float16)
            given, made = driver.to_device(frame), driver.mem_alloc(found.nbytes)
            halvings, (left, top, right, bottom), letterbox = layout(box, target)
            inner = letterbox.inner_xyxy
            numbers = (left, top, right - left, bottom - top, halvings)
            inside = (*target, inner[0], inner[1], inner[2] - inner[0], inner[3] - inner[1])
            kernel(
                *(np.uint64(int(given)), np.int32(size[0]), *map(np.int32, numbers), np.uint64(0)),
                *(np.uint64(int(made)), *map(np.int32, inside), np.float32(mean), np.float32(1 / std)),
                block=(256, 1, 1),
                grid=(-(-target[0] * target[1] // 256), 1),
            )
            driver.memcpy_dtoh(found, made)
            expected = normalise([lay_in(frame, box, target)[0]], mean, std)[0]
            worst = max(worst, float(np.abs(found.astype(np.float32) - expected).max()) * std)
        planes = random.normal(size=(3, FRAME_WH[1], FRAME_WH[0])).astype(np.float16)
        corners = np.stack([random.integers(0, length - SIDE + 1, WINDOWS) for length in FRAME_WH], 1).astype(np.int32)
        batch = np.empty((WINDOWS, 3, SIDE, SIDE), np.float16)
        devices = [driver.to_device(planes), driver.to_device(corners), driver.mem_alloc(batch.nbytes)]
        gather = module.get_function("gather_windows")

        def launch() -> None:
            gather(
                *(np.uint64(int(devices[0])), np.int32(FRAME_WH[0]), np.int32(FRAME_WH[1])),
                *(np.uint64(int(devices[1])), np.int32(WINDOWS), np.uint64(int(devices[2]))),
                *(np.int32(SIDE), np.int32(SIDE)),
                block=(256, 1, 1),
                grid=(-(-batch.size // 256), 1),
            )

        launch()
        driver.memcpy_dtoh(batch, devices[2])
        same = all(
            np.array_equal(batch[row], planes[:, y : y + SIDE, x : x + SIDE]) for row, (x, y) in enumerate(corners)
        )
        times = _event_ms(driver, launch, 200)
    if worst > 1.6 or not same:
        raise RuntimeError(f"kernels differ from the processor: {worst:.3g} colour values, windows identical: {same}")
    return {"largest_difference_in_colour_values": worst, "windows_identical": same, "gather_336_windows_ms": times}


def _transfers(asked: Asked) -> dict[str, Any]:
    """Upload of one full-HD frame from pinned memory."""
    with _cuda() as (driver, _):
        host = driver.pagelocked_zeros((1080, 1920, 3), np.uint8)
        device, stream = driver.mem_alloc(host.nbytes), driver.Stream()
        return {
            "upload_1920x1080_ms": _event_ms(
                driver, lambda: driver.memcpy_htod_async(device, host, stream), 500, stream=stream
            )
        }


def _event_ms(driver: Any, launch: Callable[[], None], repeats: int, *, stream: Any = None) -> dict[str, float]:
    times = []
    for _ in range(repeats):
        begin, end = driver.Event(), driver.Event()
        begin.record(stream)
        launch()
        end.record(stream)
        end.synchronize()
        times.append(begin.time_till(end))
    return _summary(times)


def _bundle(asked: Asked) -> ModelBundle:
    bundle = load_bundle(asked.model)
    return bundle if FP16 in bundle.networks else make_fp16(bundle, read_frames(asked.frames))


def _parity(asked: Asked) -> dict[str, Any]:
    bundle = _bundle(asked)
    with TensorRtRuntime(bundle, RuntimeSettings(), "measured") as runtime:
        report = verify(bundle, runtime, read_frames(asked.frames))
    if not report.passed:
        raise RuntimeError(f"parity failed: {report.as_json()}")
    return report.as_json()


def _frames(asked: Asked) -> list[FrameInput]:
    seen = read_frames(asked.frames)
    return [
        FrameInput(image, field.box_xyxy, field.mask) for image, field in zip(seen.images, seen.fields, strict=True)
    ]


def _dense(asked: Asked) -> dict[str, Any]:
    """One frame at a time: frame in to outputs back, and to merged detections."""
    bundle, frames, seen = _bundle(asked), _frames(asked), read_frames(asked.frames)
    with TensorRtRuntime(bundle, RuntimeSettings(), "measured") as runtime:
        network = _wall_ms(lambda number: runtime.run_frames([frames[number % len(frames)]]), asked.count)
        detector = Detector(bundle, runtime)
        whole = _wall_ms(
            lambda number: detector.detect([seen.images[number % len(frames)]], [seen.fields[number % len(frames)]]),
            asked.count,
        )
        return {
            "library": runtime.description.library,
            "network_only_ms": _summary(runtime.network_ms(1, repeats=asked.count)),
            "frame_to_outputs_ms": network,
            "frame_to_detections_ms": whole,
        }


def _streams(asked: Asked) -> dict[str, Any]:
    """Frames a second of 1 to 16 threads that run one frame each."""
    bundle, frames = _bundle(asked), _frames(asked)
    rates: dict[str, Any] = {}
    for streams in (1, 2, 4, 8, 16):
        with TensorRtRuntime(bundle, RuntimeSettings(streams=streams), "measured") as runtime:
            share = max(1, asked.count // streams)

            def work(runtime: TensorRtRuntime = runtime, share: int = share) -> None:
                for number in range(share):
                    runtime.run_frames([frames[number % len(frames)]])

            threads = [threading.Thread(target=work) for _ in range(streams)]
            start = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rates[f"{streams}_frames_per_s"] = round(streams * share / (time.perf_counter() - start), 1)
    return rates


def _windows(asked: Asked) -> dict[str, Any]:
    """All 336 windows of a frame through classifiers of full width, the network alone."""
    require_gpu()
    library, driver = load_library(), load_cuda_driver()
    found: dict[str, Any] = {"windows": WINDOWS, "side": SIDE}
    with tempfile.TemporaryDirectory() as name:
        for title, plan in (("small_cnn", SMALL), ("vgg16", VGG16)):
            full = write_classifier(Path(name) / f"{title}.onnx", plan, side=SIDE)
            half = full.with_suffix(".fp16.onnx")
            convert_to_fp16(full, half, _noise(1))
            settings = BuildSettings(BatchProfile(1, WINDOWS, WINDOWS))
            built = build_engine(half, library, settings, input_wh=(SIDE, SIDE))
            runner = GpuRunner(driver, library, built.plan, RunnerSettings((SIDE, SIDE), WINDOWS, 1, 127.0, 128.0))
            try:
                times = _summary(runner.network_ms(WINDOWS, repeats=min(asked.count, 300)))
            finally:
                runner.close()
            found[f"{title}_ms"] = times
    found["vgg16_tmac_per_s"] = round(VGG16_MACS / 1e12 / (found["vgg16_ms"]["p50"] / 1e3), 1)
    return found


def _noise(count: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.6, (count, 3, SIDE, SIDE)).astype(np.float32)


def _soak(asked: Asked) -> dict[str, Any]:
    """Many frames; memory of the GPU must stay what it was after the first thousand."""
    if asked.soak == 0:
        return {"left_out": True}
    bundle, frames = _bundle(asked), _frames(asked)
    with TensorRtRuntime(bundle, RuntimeSettings(), "measured") as runtime:
        times: list[float] = []
        free_before = 0
        for number in range(asked.soak):
            if number == min(1000, asked.soak - 1):
                free_before = runtime.free_bytes()
            start = time.perf_counter()
            runtime.run_frames([frames[number % len(frames)]])
            times.append(1e3 * (time.perf_counter() - start))
        grown = free_before - runtime.free_bytes()
    if grown > 1 << 20:
        raise RuntimeError(f"memory of the GPU grew by {grown} bytes over {asked.soak} frames")
    return {"frames": asked.soak, "memory_grown_bytes": grown, "frame_to_outputs_ms": _summary(times)}


def _wall_ms(run: Callable[[int], object], count: int) -> dict[str, float]:
    for number in range(50):
        run(number)
    times = []
    for number in range(count):
        start = time.perf_counter()
        run(number)
        times.append(1e3 * (time.perf_counter() - start))
    return _summary(times)


def _summary(times_ms: list[float]) -> dict[str, float]:
    times = np.array(times_ms)
    found = {"mean": times.mean(), "max": times.max()}
    found |= {f"p{share}": np.percentile(times, share) for share in (50, 90, 95, 99)}
    return {name: round(float(value), 4) for name, value in found.items()}


def _table(figures: dict[str, Any]) -> str:
    rows = ["| what | p50 ms | p99 ms | max ms |", "|---|---|---|---|"]
    for part, found in figures.items():
        for name, value in found.items():
            if isinstance(value, dict) and "p50" in value:
                rows.append(f"| {part}: {name} | {value['p50']} | {value['p99']} | {value['max']} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
