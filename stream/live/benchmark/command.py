"""`polypstream benchmark`."""

from __future__ import annotations

import argparse
import json
import platform
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.command_line import Commands, add_model, add_overwrite, add_runtime, add_threads, new_parser
from engine.console.output import progress_bar, say
from engine.files import replacing, write_errors, write_text

if TYPE_CHECKING:
    from stream.live.benchmark.benchmark import LiveBenchmarkReport, LiveBenchmarkSettings

_EXAMPLES = """examples:
  polypstream benchmark live                                          one minute at 1920x1080, 25 frames/s
  polypstream benchmark live --size 640x480 --rate 60 --seconds 300
  polypstream benchmark live --json delays.json --histogram delays.png

exit status: 0 measured, 1 the measurement broke off, 2 wrong usage, 130 interrupted
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    benchmark = commands.add_parser(
        "benchmark",
        help="measure delays of live detection on this machine",
        description="Measures what regulators ask of a polyp detector beside a live picture (21 CFR 876.1520).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = benchmark.add_subparsers(metavar="KIND", required=True)
    live = new_parser(
        kinds,
        "live",
        common,
        help="delays of a live run, frames lost, pixels changed outside the marks",
        description="Runs a rendered test pattern through the live display with detection on and off in turns, and "
        "measures at the display: video delay (frame available to marked picture on the screen), annotation delay "
        "(frame available to its own boxes on the screen), frames dropped and repeated, pixels changed outside the "
        "marks. Leave the machine alone meanwhile.",
        epilog=_EXAMPLES,
        shows_patients=False,
    )
    live.add_argument("--size", default="1920x1080", metavar="WxH", help="pixels of a frame (default: 1920x1080)")
    live.add_argument("--rate", default="25", metavar="R", help="frames a second (default: 25)")
    live.add_argument("--seconds", type=float, default=60.0, metavar="N", help="length, half of it with detection")
    add_model(live)
    add_runtime(live)
    add_threads(live)
    live.add_argument("--json", type=Path, metavar="OUT.json", help="figures to write, with the environment")
    live.add_argument("--histogram", type=Path, metavar="OUT.png", help="picture of the delays to write")
    add_overwrite(live)
    live.set_defaults(command=_benchmark_live)


def _benchmark_live(arguments: argparse.Namespace) -> int:
    from stream.live.benchmark.delay_histogram import check_histogram
    from stream.record.output_path import claim_output

    settings = _settings(arguments)
    with ExitStack() as held:
        for target, suffixes in ((arguments.json, {".json"}), (arguments.histogram, {".png", ".svg", ".pdf"})):
            if target is not None:
                held.enter_context(claim_output(target, suffixes=suffixes, overwrite=arguments.overwrite))
        if arguments.histogram is not None:
            check_histogram()
        return _measure(arguments, settings)


def _measure(arguments: argparse.Namespace, settings: LiveBenchmarkSettings) -> int:
    from stream.live.benchmark.benchmark import LiveBenchmark
    from stream.live.benchmark.delay_histogram import draw_histogram
    from stream.live.paths.opening import DetectorChoice
    from stream.live.switching import prompt_switching

    choice = DetectorChoice.of(arguments.model, runtime=arguments.runtime, threads=arguments.threads)
    bar_format = "{desc}{percentage:3.0f}% |{bar}|"
    with prompt_switching(), progress_bar(total=100, unit="%", leave=False, bar_format=bar_format) as bar:
        report = LiveBenchmark(settings, choice).run(on_look=lambda share: bar.update(100 * share - bar.n))
    say(*_summary(report))
    remedy = "the figures stand above"
    if arguments.json is not None:
        text = json.dumps({"environment": _environment(), **report.as_json()}, indent=2) + "\n"
        write_text(arguments.json, text, remedy=remedy)
    if arguments.histogram is not None:
        title = f"{arguments.size}, {arguments.rate} frames/s, {report.runtime}"
        target: Path = arguments.histogram
        with (
            write_errors(target, remedy=remedy),
            replacing(target, keep_ending=True, overwrite=arguments.overwrite) as partial,
        ):
            draw_histogram(report.delays_ms, partial, title=title)
    return 0


def _settings(arguments: argparse.Namespace) -> LiveBenchmarkSettings:
    from engine.errors import InputError
    from stream.live.benchmark.benchmark import LiveBenchmarkSettings
    from stream.live.sources.address import parse_pattern

    try:
        request = parse_pattern(f"{arguments.size}@{arguments.rate}")
    except InputError:
        raise InputError(
            f"--size {arguments.size} --rate {arguments.rate} cannot be had; give for example "
            "--size 1920x1080 --rate 25, with 128 to 8192 pixels a side and up to 1000 frames/s"
        ) from None
    return LiveBenchmarkSettings(request.resolution_wh, request.rate, seconds=arguments.seconds)


def _summary(report: LiveBenchmarkReport) -> list[str]:
    on, off = report.detection_on, report.detection_off
    compared = on.counts.compared + off.counts.compared
    differing = on.counts.differing_px + off.counts.differing_px
    added = report.added_ms
    return [
        f"video delay, detection on:  {on.shown}",
        f"video delay, detection off: {off.shown}",
        *([f"added by detection:         p50 {added['p50']:+.2f}, p99 {added['p99']:+.2f} ms"] if added else []),
        f"annotation delay:           {on.annotated or 'no boxes were shown'}",
        f"frames:                     {on.captured + off.captured}, "
        f"{on.counts.dropped + off.counts.dropped} dropped, {on.counts.repeated + off.counts.repeated} repeated",
        f"pixels outside the marks:   {differing} differ in {compared} pictures",
    ]


def _environment() -> dict[str, Any]:
    from engine.machine import processor
    from stream.record.recording import library_versions

    machine = processor()
    return {
        "processor": machine.name,
        "cores": machine.cores,
        "usable_cores": machine.usable_cores,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": library_versions(),
    }
