"""What each precision of a bundle loses on test frames, and how fast it is: gates, parity and speeds.

    python -m benchmarks.precisions --data DATA [--model polyp]

DATA holds `cvc-colondb` and `kvasir-seg`. Writes `benchmarks/results/precisions.json` and prints its tables. These are
frames that nothing was tuned on: what is found here must not be tuned on either.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.environment import write_result
from calibration.precisions.emulated_runtime import EmulatedRuntime
from calibration.precisions.gate import ACCEPTED_FALLS, BF16, FP32, INT8, INT8_TENSORRT, GateResult, Quality
from calibration.precisions.half_precision import network_pictures, read_frames, verify
from calibration.precisions.material import judge_detectors
from calibration.precisions.report import REPORT
from engine.arrays import Float32s
from engine.bundle import GATES, ModelBundle, Task, load_bundle
from engine.conversion.fp16 import FP16
from engine.errors import RuntimeUnavailableError
from engine.runtime import Runtime, RuntimeSettings
from engine.runtimes.opening import open_runtime
from train.data.datasets import Split, read_dataset
from train.judging.stills import Still, still_of_sample

_COLON, _KVASIR = "cvc-colondb", "kvasir-seg"
_PROCESSOR = (FP32, BF16, INT8)
_RUNTIMES = ("openvino", "onnxruntime")
_THREADS = 2
#: CPU INT8 has to be this much faster than FP32 in the same run.
_LEAST_GAIN = 1.6


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="polyp")
    parser.add_argument("--rounds", type=int, default=15, help="of the speeds, all precisions in turns (default: 15)")
    parser.add_argument("--speeds-only", action="store_true", help="print speeds and write nothing")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model)
    frames = read_frames(arguments.data / _COLON / "images")
    speeds = measure_speeds(bundle, network_pictures(bundle, frames), arguments.rounds)
    print(speed_table(speeds))
    if arguments.speeds_only:
        return
    quality = {name: _quality(bundle, stills) for name, stills in _test_frames(arguments.data).items()}
    figures = {
        "model": {"name": bundle.name, "input_wh": list(bundle.input_wh), "threshold": bundle.threshold},
        "files_mb": {key: round(file.path.stat().st_size / 1e6, 2) for key, file in bundle.networks.items()},
        "gates": _gates(quality),
        "validation_gates": bundle.record.get(GATES),
        "fp16_parity": _parity(bundle, arguments.data),
        "speeds": speeds,
        "making": json.loads((bundle.folder / REPORT).read_text(encoding="utf-8")),
    }
    figures["making"].pop("representative")  # a list of names, in the bundle
    path = write_result("precisions", figures)
    print("\n".join([_gate_table(figures["gates"]), "", _parity_table(figures["fp16_parity"])]))
    print("\n".join(["", _method_table(figures["making"]["methods"]), "", f"written: {path}"]))


def _test_frames(data: Path) -> dict[str, list[Still]]:
    kvasir = [sample for sample in read_dataset(data / _KVASIR) if sample.split is Split.TEST]
    return {
        _COLON: [still_of_sample(sample) for sample in read_dataset(data / _COLON)],
        _KVASIR: [still_of_sample(sample) for sample in kvasir],
    }


def _quality(bundle: ModelBundle, stills: Sequence[Still]) -> dict[str, tuple[int, Quality]]:
    with ExitStack() as stack:
        runtimes = {}
        for name in (*_PROCESSOR, FP16, INT8_TENSORRT):
            runtime = _open(bundle, name)
            if runtime is not None:
                runtimes[name] = stack.enter_context(runtime)
        return {name: (len(stills), found) for name, found in judge_detectors(bundle, runtimes, stills).items()}


def _open(bundle: ModelBundle, precision: str) -> Runtime | None:
    try:
        if precision in _PROCESSOR:
            return open_runtime(bundle, "openvino", RuntimeSettings(precision=precision))
        return EmulatedRuntime(bundle, precision, "stands for the engine")
    except RuntimeUnavailableError as error:
        print(f"left out: {error}")
        return None


def _gates(quality: Mapping[str, Mapping[str, tuple[int, Quality]]]) -> dict[str, Any]:
    """F1 counts on the unseen centre, AP50 on the test list of the data set that was trained on."""
    found: dict[str, Any] = {}
    accepted = ACCEPTED_FALLS[Task.DETECT]
    counting = {_COLON: "centroid_f1", _KVASIR: "ap50"}
    for name in quality[_COLON]:
        if name == FP32:
            continue
        results = {
            data: GateResult(rows[name][0], rows[FP32][1], rows[name][1], {counting[data]: accepted[counting[data]]})
            for data, rows in quality.items()
        }
        passed = all(result.passed for result in results.values())
        found[name] = {"passed": passed, **{data: result.as_json() for data, result in results.items()}}
    return found


def _parity(bundle: ModelBundle, data: Path) -> dict[str, Any]:
    """FP16 with the rounding of a GPU against FP32: scores and detections."""
    found = {}
    for name in (_COLON, _KVASIR, "cvc-clinicdb"):
        if (data / name).is_dir():
            with EmulatedRuntime(bundle, FP16, "stands for the engine") as candidate:
                report = verify(bundle, candidate, read_frames(data / name / "images"))
            found[name] = {
                "passed": report.passed,
                "frames": report.frames,
                "outputs": asdict(report.outputs),
                "detections": asdict(report.detections),
            }
    return found


def measure_speeds(bundle: ModelBundle, pictures: Float32s, rounds: int) -> dict[str, Any]:
    """Of the network alone: one picture at a time on two threads, and two streams of one thread; all in turns.

    Args:
        bundle: to run.
        pictures: float32 (count, 3, height, width), as the network takes them.
        rounds: of all precisions.
    """
    single: dict[str, Runtime] = {}
    several: dict[str, Runtime] = {}
    opened: dict[str, float] = {}
    with ExitStack() as stack:
        for runtime in _RUNTIMES:
            for precision in _PROCESSOR:
                name = f"{runtime} {precision}"
                try:
                    started = time.perf_counter()
                    settings = RuntimeSettings(threads=_THREADS, precision=precision)
                    single[name] = stack.enter_context(open_runtime(bundle, runtime, settings))
                    opened[name] = time.perf_counter() - started
                    settings = RuntimeSettings(streams=_THREADS, threads=_THREADS, precision=precision)
                    several[name] = stack.enter_context(open_runtime(bundle, runtime, settings))
                except RuntimeUnavailableError:
                    continue
        latency: dict[str, list[float]] = {name: [] for name in single}
        rate: dict[str, list[float]] = {name: [] for name in single}
        with ThreadPoolExecutor(_THREADS) as pool:
            for number in range(rounds + 1):  # the first warms up
                for name in single:
                    picture = pictures[number % len(pictures)][None]
                    times = [_timed(single[name], picture) for _ in range(4)]
                    started = time.perf_counter()
                    list(pool.map(several[name].run, [picture] * 8))
                    seconds = time.perf_counter() - started
                    if number:
                        latency[name] += times
                        rate[name].append(8 / seconds)
    found = {}
    for name in single:
        base = f"{name.split()[0]} {FP32}"
        milliseconds = float(np.median(latency[name])) * 1e3
        per_second = float(np.median(rate[name]))
        found[name] = {
            "latency_ms": round(milliseconds, 2),
            "latency_gain": round(float(np.median(latency[base])) * 1e3 / milliseconds, 2),
            "frames_per_second": round(per_second, 1),
            "throughput_gain": round(per_second / float(np.median(rate[base])), 2),
            "opening_s": round(opened[name], 2),
        }
    return {"threads": _THREADS, "rounds": rounds, "least_gain_of_int8": _LEAST_GAIN, "runtimes": found}


def _timed(runtime: Runtime, picture: npt.NDArray[np.float32]) -> float:
    started = time.perf_counter()
    runtime.run(picture)
    return time.perf_counter() - started


def speed_table(speeds: Mapping[str, Any]) -> str:
    """The speeds for people."""
    lines = ["| runtime, precision | latency, ms | gain | frames/s | gain | opening, s |", "|---|---|---|---|---|---|"]
    for name, row in speeds["runtimes"].items():
        lines.append(
            f"| {name} | {row['latency_ms']:.1f} | {row['latency_gain']:.2f} | {row['frames_per_second']:.1f} | "
            f"{row['throughput_gain']:.2f} | {row['opening_s']:.2f} |"
        )
    return "\n".join(lines)


def _gate_table(gates: Mapping[str, Any]) -> str:
    lines = [
        f"| precision | {_COLON} F1 (FP32) | falls by | {_KVASIR} AP50 (FP32) | falls by | gate |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in gates.items():
        colon, kvasir = row[_COLON], row[_KVASIR]
        lines.append(
            f"| {name} | {colon['found']['centroid_f1']:.4f} ({colon['fp32']['centroid_f1']:.4f}) | "
            f"{colon['falls']['centroid_f1']:+.4f} | "
            f"{kvasir['found']['ap50']:.4f} ({kvasir['fp32']['ap50']:.4f}) | {kvasir['falls']['ap50']:+.4f} | "
            f"{'passed' if row['passed'] else 'NOT passed'} |"
        )
    return "\n".join(lines)


def _parity_table(parity: Mapping[str, Any]) -> str:
    lines = ["| FP16 against FP32 | frames | largest score difference | detections changed |", "|---|---|---|---|"]
    for name, row in parity.items():
        changed, total = row["detections"]["changed"], row["detections"]["detections"]
        lines.append(f"| {name} | {row['frames']} | {row['outputs']['score']:.4f} | {changed} of {total} |")
    return "\n".join(lines)


def _method_table(methods: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| INT8 network | ranges | score error, rms (largest) | all layers in INT8 |",
        "|---|---|---|---|",
    ]
    for row in methods:
        lines.append(
            f"| {row['network']} | {row['method']} | {row['score_error_rms']:.4f} ({row['score_error_largest']:.3f}) | "
            f"{row['all_layers_score_error_rms']:.4f} ({row['all_layers_score_error_largest']:.3f}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
