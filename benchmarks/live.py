"""Delays of live detection at 640x480 and 1920x1080, 25, 30 and 60 frames/s, with histograms.

Each cell is written to `results/live.json` as soon as it was measured, and left out by a later run of the same length:
the same command takes up a run that was cut off. Leave the machine alone meanwhile.

    python -m benchmarks.live                     six cells of 5 minutes: half an hour
    python -m benchmarks.live --cell 1920x1080@25 --seconds 1800
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS, environment, write_result
from stream.live.benchmark.benchmark import LiveBenchmark, LiveBenchmarkReport, LiveBenchmarkSettings
from stream.live.benchmark.delay_histogram import draw_histogram
from stream.live.paths.opening import DetectorChoice
from stream.live.sources.address import parse_pattern
from stream.live.switching import prompt_switching

_CELLS = [f"{size}@{rate}" for size in ("640x480", "1920x1080") for rate in (25, 30, 60)]
_NAME = "live"


def main() -> None:
    """Measures what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="of each cell, half of it with detection")
    parser.add_argument("--cell", action="append", metavar="WxH@R", help="only this one; may be given several times")
    parser.add_argument("--again", action="store_true", help="measure also what has been measured")
    parser.add_argument("--model", default="polyp", metavar="NAME|DIR")
    parser.add_argument("--threads", type=int, default=0, help="of detection; 0 for all cores")
    arguments = parser.parse_args()
    known = _known()
    for cell in arguments.cell or _CELLS:
        wanted = {"seconds_asked_for": arguments.seconds, "model": arguments.model, "threads": arguments.threads}
        found = known.get(cell, {})
        if not arguments.again and all(found.get(name) == value for name, value in wanted.items()):
            print(f"{cell}: measured already")
            continue
        report = _measure(cell, arguments)
        picture = RESULTS / f"live_{cell.replace('@', '_')}.png"
        draw_histogram(report.delays_ms, picture, title=f"{cell}, {report.runtime}")
        here = {name: environment()[name] for name in ("processor", "commit")}  # cells may be of several machines
        known[cell] = {**wanted, **report.as_json(), "histogram": picture.name, **here}
        path = write_result(_NAME, {"command": "python -m benchmarks.live", "cells": known})
        print(f"{cell}: on {report.detection_on.shown}; off {report.detection_off.shown}")
        print(f"{cell}: annotation {report.detection_on.annotated}; {path}", flush=True)


def _measure(cell: str, arguments: argparse.Namespace) -> LiveBenchmarkReport:
    request = parse_pattern(cell)
    settings = LiveBenchmarkSettings(request.resolution_wh, Fraction(request.rate), seconds=arguments.seconds)
    choice = DetectorChoice.of(arguments.model, threads=arguments.threads)
    with prompt_switching():
        return LiveBenchmark(settings, choice).run()


def _known() -> dict[str, Any]:
    path: Path = RESULTS / f"{_NAME}.json"
    if not path.is_file():
        return {}
    cells: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


if __name__ == "__main__":
    main()
