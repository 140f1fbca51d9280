"""Several rooms on one machine: frames lost, delays, detections a second of each room, for 1, 2 and 4 rooms.

Each room shows, records and looks at a rendered pattern of its own. One source is measured in both ways: in one
process, and as a single room beside a detector's process. All ways are measured in turns. Delays are those of whole
runs, from the first frame on: the patterns are still being rendered over the first seconds.

    python -m benchmarks.live_rooms                        640x480 at 25 frames/s, two rounds of 40 s
    python -m benchmarks.live_rooms --pattern 1920x1080@25 --seconds 120
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import write_result
from engine.bundle import load_bundle
from engine.serving.slot import Slot, shared_folder
from stream.live.outputs.outputs import OutputSettings
from stream.live.rooms.names import parse_rooms
from stream.live.rooms.run import run_rooms
from stream.live.run import LiveReport, LiveRunSettings, run_live
from stream.live.sources.address import parse_pattern
from stream.live.states.view import LiveStatus
from stream.live.switching import prompt_switching

_WAYS = ("one process", "1 room", "2 rooms", "4 rooms")
_COPIES = 200


def main() -> None:
    """Measures all ways in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pattern", default="640x480@25", metavar="WxH@R")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", default="polyp", metavar="NAME|DIR")
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
    loads = []
    for _ in range(arguments.rounds):
        for way in _WAYS:
            found[way].append(_measure(way, arguments))
            loads.append(os.getloadavg()[0])
            print(f"{way}: {found[way][-1]}", flush=True)
    figures = {
        "command": "python -m benchmarks.live_rooms",
        "pattern": arguments.pattern,
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "load_average": {"lowest": round(min(loads), 1), "highest": round(max(loads), 1)},
        "copy": _copies(arguments.model),
        "ways": {
            way: {"median": _medians([run["all"] for run in runs]), "rounds": runs} for way, runs in found.items()
        },
    }
    print(write_result("live_rooms", figures))


class _Rates:
    """Frames a second of each room, from the moment when all of them are looked at."""

    def __init__(self) -> None:
        self.first: tuple[float, Mapping[str, LiveStatus]] | None = None
        self.last: tuple[float, Mapping[str, LiveStatus]] | None = None

    def look(self, statuses: Mapping[str, LiveStatus]) -> None:
        if all(status.looked_at for status in statuses.values()):
            self.last = time.monotonic(), dict(statuses)
            self.first = self.first or self.last

    def of(self, name: str) -> dict[str, float]:
        if self.first is None or self.last is None or self.first is self.last:
            return {"captured_per_second": 0.0, "looked_at_per_second": 0.0}
        span_s = self.last[0] - self.first[0]
        before, after = self.first[1][name], self.last[1][name]
        return {
            "captured_per_second": round((after.captured - before.captured) / span_s, 2),
            "looked_at_per_second": round((after.looked_at - before.looked_at) / span_s, 2),
        }


def _measure(way: str, arguments: argparse.Namespace) -> dict[str, Any]:
    rates = _Rates()
    parse_pattern(arguments.pattern)
    source = f"pattern:{arguments.pattern}"
    with tempfile.TemporaryDirectory() as folder:
        outputs = OutputSettings(record=Path(folder) / "r.mp4", events=Path(folder) / "e.jsonl")
        settings = LiveRunSettings(source, outputs, model=arguments.model, duration_s=arguments.seconds)
        if way == _WAYS[0]:
            with prompt_switching():
                reports = {"room1": run_live(settings, on_look=lambda status: rates.look({"room1": status}))}
        else:
            rooms = parse_rooms([source] * int(way.partition(" ")[0]))
            ended = run_rooms(replace(settings, source=""), rooms, on_look=rates.look)
            reports = {room.name: room.report for room in ended if room.report is not None}
    of_rooms = {name: _figures(report, rates.of(name)) for name, report in reports.items()}
    return {"all": _medians(list(of_rooms.values())), "rooms": of_rooms}


def _figures(report: LiveReport, rates: Mapping[str, float]) -> dict[str, float]:
    captured = report.status.captured
    return {
        "captured": captured,
        "not_recorded": captured - report.written["recorded_frames"],
        **rates,
        **{f"video_{name}": value for name, value in _delays(report.video_delay).items()},
        **{f"annotation_{name}": value for name, value in _delays(report.annotation_delay).items()},
    }


def _delays(summary: Mapping[str, float | int | None]) -> dict[str, float]:
    return {name: float(summary[name] or 0.0) for name in ("p50_ms", "p99_ms", "max_ms")}


def _medians(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(one[name] for one in figures), 3) for name in figures[0]} if figures else {}


def _copies(model: str) -> dict[str, Any]:
    """The one copy of a frame's picture on its way to the detector, as the network takes it."""
    width, height = load_bundle(model).input_wh
    picture = np.zeros((1, 3, height, width), np.float32)
    folder = shared_folder()
    try:
        with Slot.make(folder, picture.nbytes) as slot:
            took = []
            for _ in range(_COPIES):
                began_s = time.perf_counter()
                slot.write(picture)
                took.append(1e6 * (time.perf_counter() - began_s))
    finally:
        folder.rmdir()
    return {"bytes": picture.nbytes, "median_us": round(statistics.median(took), 1)}


if __name__ == "__main__":
    main()
