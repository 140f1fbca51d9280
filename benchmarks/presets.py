"""What a frame costs with each preset of the dense detector: untrained weights, since cost does not depend on them.

    python -m benchmarks.presets --threads 2

Each network is exported, bundled and run by OpenVINO in FP32, one frame at a time. The presets take turns, so that
what else the machine does falls on all of them; given are the median and the tenth of the times, which is the steadier
one on a busy machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.environment import write_result
from engine.bundle import load_bundle
from engine.runtime import RuntimeSettings
from engine.runtimes.opening import open_runtime
from train.dense.presets import PRESETS
from train.export.dense import bundle_dense
from train.networks.dense import DenseDetector


def main() -> None:
    """Measures, prints a line for each preset, and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30, help="turns of ten frames each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = _measured(Path(scratch), arguments.threads, arguments.rounds)
    for name, row in rows.items():
        print(name, row)
    command = f"python -m benchmarks.presets --threads {arguments.threads} --rounds {arguments.rounds}"
    write_result(
        "presets",
        {"command": command, "runtime": "openvino, FP32", "threads": arguments.threads, "presets": rows},
    )


def _measured(scratch: Path, threads: int, rounds: int) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    runtimes = {}
    inputs = {}
    for name, settings in PRESETS.items():
        torch.manual_seed(0)
        network = DenseDetector(settings.network).eval()
        width, height = settings.input_wh
        folder = scratch / name
        bundle_dense(network, folder, name=name, input_wh=settings.input_wh, threshold=0.5, card="", facts={})
        runtimes[name] = open_runtime(load_bundle(str(folder)), "openvino", RuntimeSettings(threads=threads))
        inputs[name] = np.random.default_rng(0).normal(size=(1, 3, height, width)).astype(np.float32)
        rows[name] = {
            "input": f"{width}x{height}",
            "trunk": settings.network.trunk,
            "channels": settings.network.channels,
            "head_layers": settings.network.head_layers,
            "million_weights": round(sum(p.numel() for p in network.parameters()) / 1e6, 2),
            "million_multiply_adds": round(multiply_adds(network, settings.input_wh) / 1e6),
        }
    times: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(rounds):
        for name, runtime in runtimes.items():
            for _ in range(10):
                begun = time.perf_counter()
                runtime.run(inputs[name])
                if turn:  # the first turn warms up
                    times[name].append(1000 * (time.perf_counter() - begun))
    for name, runtime in runtimes.items():
        runtime.close()
        rows[name]["ms_per_frame_median"] = round(float(np.median(times[name])), 2)
        rows[name]["ms_per_frame_tenth"] = round(float(np.quantile(times[name], 0.1)), 2)
    return rows


@torch.no_grad()
def multiply_adds(network: DenseDetector, input_wh: tuple[int, int]) -> int:
    """Multiplications of the convolutions for one frame: what a preset costs on any machine, however busy."""
    total = 0

    def count(module: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    hooks = [one.register_forward_hook(count) for one in network.modules() if isinstance(one, torch.nn.Conv2d)]
    width, height = input_wh
    network(torch.zeros(1, 3, height, width))
    for hook in hooks:
        hook.remove()
    return total


if __name__ == "__main__":
    main()
