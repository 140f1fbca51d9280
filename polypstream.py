"""polypstream: polyp detection for endoscopy video. The command line, and the names that programs import.

Research software, not a medical device.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from engine.doctor import examine, format_report
from engine.errors import PolypstreamError
from engine.runtime import AUTO, runtime_names
from stream.recording import Opened, Outcome, RecordingResult, RecordingSettings, detect_recording

__version__ = "0.1.0"

_INTERRUPTED = 130
_DETECT_EXAMPLES = """examples:
  polypstream detect exam.mp4 --output annotated.mp4 --events events.jsonl
  polypstream detect frames/ --events events.jsonl --threshold 0.0   every candidate, to draw curves from
  polypstream detect exam.mkv --output annotated.mp4 --runtime onnxruntime --overwrite

exit status: 0 done, 1 a fault midway (what was finished is kept), 2 wrong usage or unusable input, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    arguments = _parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)
    # A service manager's polite end is treated as Ctrl-C: what was finished is kept.
    signal.signal(signal.SIGTERM, _interrupt)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except PolypstreamError as error:
        print(f"polypstream: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("polypstream: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="polypstream",
        description="Polyp detection for endoscopy video. Research software, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"polypstream {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="store_true", help="say more about what is done")

    detect = commands.add_parser(
        "detect",
        parents=[common],
        help="find polyps in a recording",
        description="Finds polyps in a video file, a picture, or a folder of pictures (in natural order).",
        epilog=_DETECT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    detect.add_argument("source", metavar="SOURCE", help="video file, picture, or folder of pictures")
    detect.add_argument("--output", type=Path, metavar="OUT.mp4", help="annotated video to write")
    detect.add_argument("--events", type=Path, metavar="OUT.jsonl", help="one line of JSON a frame to write")
    detect.add_argument("--model", default="polyp", metavar="NAME|DIR", help="shipped model or bundle (default: polyp)")
    detect.add_argument("--runtime", default=AUTO, metavar="RUNTIME", help=f"{', '.join((AUTO, *runtime_names()))}")
    detect.add_argument("--threshold", type=float, metavar="P", help="score to show from, 0 to 1 (default: the model's)")
    detect.add_argument("--overwrite", action="store_true", help="replace files that exist")
    detect.set_defaults(command=_detect)

    doctor = commands.add_parser(
        "doctor", parents=[common], help="what is installed, what would run, what is missing and how to get it"
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(command=_doctor)
    return parser


def _detect(arguments: argparse.Namespace) -> int:
    settings = RecordingSettings(
        source=arguments.source,
        output=arguments.output,
        events=arguments.events,
        model=arguments.model,
        runtime=arguments.runtime,
        threshold=arguments.threshold,
        overwrite=arguments.overwrite,
    )
    bar: tqdm[None] = tqdm(unit="frame", disable=None, dynamic_ncols=True, leave=False, delay=0.3)

    def on_open(opened: Opened) -> None:
        runtime = opened.runtime
        logging.info("runtime %s (%s): %s", runtime.name, runtime.library, runtime.reason)
        bar.total = opened.info.frame_count

    with bar:
        result = detect_recording(settings, on_open=on_open, on_progress=bar.update)
    print(_summary(result))
    if result.outcome is Outcome.INTERRUPTED:
        return _INTERRUPTED
    if result.error is not None:
        print(f"polypstream: {result.error}", file=sys.stderr)
        return result.error.exit_status
    return 0


def _summary(result: RecordingResult) -> str:
    report = result.report
    speed = report.frames / report.seconds if report.seconds else 0.0
    parts = [f"{report.frames} frames at {speed:.1f} frames/s", _count(report.tracks, "polyp")]
    problems = result.problems
    corrupt = problems.corrupt_packets + problems.corrupt_frames
    for number, what in ((corrupt, "corrupt piece"), (problems.unreadable_pictures, "unreadable picture")):
        if number:
            parts.append(_count(number, what))
    line = f"{result.outcome.value}: {', '.join(parts)}"
    return f"{line}; {' '.join(str(path) for path in result.files)}" if result.files else line


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _doctor(arguments: argparse.Namespace) -> int:
    report = examine()
    print(json.dumps(report.as_json(), indent=2) if arguments.json else format_report(report))
    return 0 if report.can_detect else 1


if __name__ == "__main__":
    sys.exit(main())
