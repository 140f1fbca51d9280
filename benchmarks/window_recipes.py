"""Every recipe of window classifiers on one data set, by random windows and by sequences, side by side.

    python -m benchmarks.window_recipes --data DATA/cvc-clinicdb --weights vgg16.pth --work runs/window_recipes

The random split leaks: neighbouring frames stand on both sides. It is measured because most papers on window
classifiers report it; the gap to the split by sequence is the finding. Windows, features and finished recipes in the
work folder are used again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import write_result
from engine.runtime import RuntimeSettings
from stream.detection.detector import Detector
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from train.data.datasets import Split, read_dataset
from train.judging.stills import evaluate_stills
from train.prepare.patches import SUMMARY, PatchSettings, SplitKind, prepare_patches
from train.windows.fit import WindowFitSettings
from train.windows.recipe import WindowRecipe, train_windows

_VGG_PX = 96  # at 150 pixels features of VGG16 cost two and a half times as much


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipe to run."""

    name: str
    what: str
    fit: WindowFitSettings


def entries(weights: Path) -> list[Entry]:
    """The recipes, cheapest first."""
    small = [
        Entry(
            f"cnn{layers}",
            f"small CNN, {layers} convolution layer{'s' if layers > 1 else ''}, trained whole",
            WindowFitSettings(network=f"cnn{layers}", epochs=10, patience=5),
        )
        for layers in (1, 2, 3)
    ]
    return [
        *small,
        Entry(
            "vgg16_transfer",
            "VGG16, four blocks frozen, classifier trained",
            WindowFitSettings(
                network="vgg16_conv4", input_px=_VGG_PX, trained_blocks=0, weights=weights, epochs=40, patience=10
            ),
        ),
        Entry(
            "vgg16_fine_tuned",
            "VGG16, four blocks frozen, block 5 (from random weights) and classifier trained",
            WindowFitSettings(
                network="vgg16", input_px=_VGG_PX, trained_blocks=1, weights=weights, epochs=4, patience=3, rate=3e-4
            ),
        ),
    ]


def main() -> None:
    """Runs the recipes and writes the figures after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set with masks and sequences")
    parser.add_argument("--weights", type=Path, required=True, help="VGG16 weights, the first four blocks at least")
    parser.add_argument("--work", type=Path, required=True, help="folder for windows and runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", help="names of recipes to run")
    parser.add_argument("--stills", nargs="*", default=[], help="recipes to judge as detectors on validation frames")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    work: Path = arguments.work
    splits: dict[str, Any] = {}
    for kind in (SplitKind.RANDOM, SplitKind.SEQUENCE):
        folder = work / "windows" / kind.value
        if not (folder / SUMMARY).is_file():
            prepare_patches([arguments.data], folder, PatchSettings(split=kind, negatives_per_frame=3))
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        splits[kind.value] = {
            "leaks": summary["leaks"],
            "windows": summary["counts"],
            "frames_without_negative_window": len(summary["frames_without_negative_window"]),
        }
    for entry in entries(arguments.weights):
        if arguments.only and entry.name not in arguments.only:
            continue
        for kind in (SplitKind.RANDOM, SplitKind.SEQUENCE):
            record = work / entry.name / kind.value / "figures.json"
            if not record.is_file():
                record.parent.mkdir(parents=True, exist_ok=True)
                figures = _run(entry, kind, work, arguments.threads)
                record.write_text(json.dumps(figures, indent=2), encoding="utf-8")
            print(f"{entry.name} {kind.value}: {json.loads(record.read_text())['accuracy']:.4f}", flush=True)
        if entry.name in arguments.stills:
            _judge_as_detector(work, entry, arguments.data, arguments.threads)
        _write(work, arguments.data.name, arguments.weights, splits)


def _judge_as_detector(work: Path, entry: Entry, data: Path, threads: int) -> None:
    """The network of the split by sequence, slid over whole validation frames; kept beside its other figures."""
    folder = work / entry.name / SplitKind.SEQUENCE.value
    samples = [sample for sample in read_dataset(data) if sample.split is Split.VALIDATION]
    settings = RuntimeSettings(threads=threads)
    with Detector.open(str(folder / entry.name), threshold=0.0, settings=settings) as detector:
        figures = evaluate_stills(detector, samples).figures(detector.bundle.threshold)
    record = folder / "figures.json"
    known = json.loads(record.read_text(encoding="utf-8"))
    known["validation_frames"] = figures
    known["detector"] = _speed(folder / entry.name, data, threads)
    record.write_text(json.dumps(known, indent=2), encoding="utf-8")


def _run(entry: Entry, kind: SplitKind, work: Path, threads: int) -> dict[str, Any]:
    result = train_windows(
        WindowRecipe(
            data=work / "windows" / kind.value,
            folder=work / entry.name / kind.value,
            name=entry.name,
            fit=entry.fit,
            feature_cache=work / "features",
            resume=True,
        )
    )
    figures = {key: _rounded(value) for key, value in result.fit.figures.items()}
    return {
        **figures,
        "leaks": result.leaks,
        "best_epoch": result.fit.epoch,
        "start": result.fit.start or "random weights",
        "threads": threads,
    }


def _speed(bundle: Path, data: Path, threads: int, frames: int = 5) -> dict[str, Any]:
    """Time for one frame of the bundle as a detector; short, since it is a side figure."""
    paths = sorted((data / "images").iterdir())[:: max(1, len(list((data / "images").iterdir())) // frames)][:frames]
    with Detector.open(str(bundle), settings=RuntimeSettings(threads=threads)) as detector:
        images = [read_picture(path) for path in paths]
        fields = [find_field_of_view(image) for image in images]
        sliding = detector.bundle.sliding
        windows = [len(sliding.windows_xyxy(field.box_xyxy, field.mask)) for field in fields] if sliding else []
        detector.detect(images[:1], fields[:1])
        times = []
        for image, field in zip(images, fields, strict=True):
            begun = time.perf_counter()
            detector.detect([image], [field])
            times.append(1000 * (time.perf_counter() - begun))
        runtime = detector.runtime.description.name
    return {
        "windows_per_frame": statistics.median(windows) if windows else None,
        "ms_per_frame_median": round(statistics.median(times), 1),
        "runtime": runtime,
    }


def _write(work: Path, data: str, weights: Path, splits: dict[str, Any]) -> None:
    recipes: dict[str, Any] = {}
    for entry in entries(weights):
        found = {
            kind.value: json.loads(path.read_text(encoding="utf-8"))
            for kind in (SplitKind.RANDOM, SplitKind.SEQUENCE)
            if (path := work / entry.name / kind.value / "figures.json").is_file()
        }
        if found:
            fit = entry.fit
            settings = {
                "network": fit.network,
                "input_px": fit.input_px,
                "trained_blocks": "all" if fit.trained_blocks is None else fit.trained_blocks,
                "most_epochs": fit.epochs,
                "rate": fit.rate,
                "seed": fit.seed,
            }
            recipes[entry.name] = {"what": entry.what, "settings": settings, **found}
    command = f"python -m benchmarks.window_recipes --data {data} --weights {weights.name} --work WORK"
    note = "figures are those of the validation windows on which the best epoch was chosen; the random split leaks"
    write_result(
        "window_recipes", {"command": command, "note": note, "data": data, "splits": splits, "recipes": recipes}
    )


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
