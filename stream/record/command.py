"""`polypstream detect`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from engine.command_line import (
    INTERRUPTED,
    Commands,
    add_classify,
    add_endoscope,
    add_model,
    add_overwrite,
    add_precision,
    add_runtime,
    add_threshold,
    counted,
    new_parser,
)

if TYPE_CHECKING:
    from stream.record.recording import Opened, RecordingResult

_DETECT_EXAMPLES = """examples:
  polypstream detect exam.mp4 --output annotated.mp4 --events events.jsonl
  polypstream detect frames/ --events events.jsonl --threshold 0.0   every candidate, to draw curves from
  polypstream detect exam.mp4 --output annotated.mp4 --classify      with the kind of each polyp that is seen well
  polypstream detect exam.mkv --output annotated.mp4 --runtime onnxruntime --overwrite

exit status: 0 done, 1 a fault midway (what was finished is kept), 2 wrong usage or unusable input, 130 interrupted
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    detect = new_parser(
        commands,
        "detect",
        common,
        help="find polyps in a recording",
        description="Finds polyps in a video file, a picture, or a folder of pictures (in natural order).",
        epilog=_DETECT_EXAMPLES,
    )
    detect.add_argument("source", metavar="SOURCE", help="video file, picture, or folder of pictures")
    detect.add_argument("--output", type=Path, metavar="OUT.mp4", help="annotated video to write")
    detect.add_argument("--events", type=Path, metavar="OUT.jsonl", help="one line of JSON a frame to write")
    add_model(detect)
    add_runtime(detect)
    add_precision(detect)
    detect.add_argument("--strategy", metavar="STRATEGY", help="dense or windows: refuse a model of the other kind")
    add_threshold(detect, use="show")
    add_endoscope(detect)
    add_classify(detect)
    add_overwrite(detect)
    detect.set_defaults(command=_detect)


def _detect(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from stream.record.recording import Outcome, RecordingSettings, detect_recording

    settings = RecordingSettings(
        source=arguments.source,
        output=arguments.output,
        events=arguments.events,
        model=arguments.model,
        runtime=arguments.runtime,
        precision=arguments.precision,
        strategy=arguments.strategy,
        threshold=arguments.threshold,
        endoscope=arguments.endoscope,
        classify=arguments.classify,
        overwrite=arguments.overwrite,
    )
    bar: tqdm[NoReturn] = tqdm(unit="frame", disable=None, dynamic_ncols=True, leave=False, delay=0.3)

    def on_open(opened: Opened) -> None:
        runtime = opened.runtime
        logging.info("runtime %s (%s, %s): %s", runtime.name, runtime.library, runtime.precision, runtime.reason)
        bar.total = opened.info.frame_count

    with bar:
        result = detect_recording(settings, on_open=on_open, on_progress=lambda frames: bar.update(frames))
    print(_summary(result))
    if result.outcome is Outcome.INTERRUPTED:
        return INTERRUPTED
    if result.error is not None:
        print(f"polypstream: {result.error}", file=sys.stderr)
        return result.error.exit_status
    return 0


def _summary(result: RecordingResult) -> str:
    report = result.report
    speed = report.frames / report.seconds if report.seconds else 0.0
    parts = [f"{report.frames} frames at {speed:.1f} frames/s", counted(report.tracks, "polyp")]
    if result.video_frames is not None and result.video_frames != report.frames:
        parts.append(f"{result.video_frames} of them in the video")
    problems = result.problems
    corrupt = problems.corrupt_packets + problems.corrupt_frames
    for number, what in ((corrupt, "corrupt piece"), (problems.unreadable_pictures, "unreadable picture")):
        if number:
            parts.append(counted(number, what))
    line = f"{result.outcome.value}: {', '.join(parts)}"
    if result.runtime.failed_before:
        line += f"; {result.runtime.name} took over ({'; '.join(result.runtime.failed_before)})"
    return f"{line}; {' '.join(str(path) for path in result.files)}" if result.files else line
