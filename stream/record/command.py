"""`polypstream detect`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command_line import (
    INTERRUPTED,
    Commands,
    add_classify,
    add_deinterlace,
    add_encoder,
    add_endoscope,
    add_model,
    add_overwrite,
    add_precision,
    add_runtime,
    add_stream,
    add_threshold,
    counted,
    new_parser,
)
from engine.console.output import progress_bar, say, tell

if TYPE_CHECKING:
    from stream.record.anew import AnewResult
    from stream.record.recording import Opened, RecordingResult

_DETECT_EXAMPLES = """examples:
  polypstream detect exam.mp4 --output annotated.mp4 --events events.jsonl
  polypstream detect exam.mp4 --output marked.mkv      the recording as it is, with marks that players can hide
  polypstream detect frames/ --events events.jsonl --candidates      what was perceived beside what was decided
  polypstream detect exam.mp4 --output annotated.mp4 --classify      with the kind of each polyp that is seen well
  polypstream detect --from events.jsonl --threshold 0.6 --events other.jsonl    decided anew, in seconds
  polypstream detect exam.mkv --output annotated.mp4 --runtime onnxruntime --overwrite
  ffmpeg -i tape.mxf -c copy -f nut - | polypstream detect - --events events.jsonl      what comes through a pipe

exit status: 0 done, 1 a fault midway (what was finished is kept), 2 wrong usage or unusable input, 130 interrupted
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    detect = new_parser(
        commands,
        "detect",
        common,
        help="find polyps in a recording",
        description="Finds polyps in a video or animation, a picture with all its pages, or a folder of pictures (in "
        "natural order). `polypstream doctor SOURCE` lists what would be read.",
        epilog=_DETECT_EXAMPLES,
    )
    detect.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help="video file, picture, folder of pictures, or - for a pipe (not needed with --from)",
    )
    detect.add_argument("--output", type=Path, metavar="OUT.mp4|OUT.mkv", help="annotated video to write")
    detect.add_argument(
        "--marks",
        metavar="burned|track",
        help="burned: drawn into the pictures (default of .mp4). track: the recording's own pictures and sound as they "
        "are, and the marks as a subtitle track that players can hide (default of .mkv)",
    )
    add_encoder(detect)
    detect.add_argument("--events", type=Path, metavar="OUT.jsonl", help="one line of JSON a frame to write")
    add_stream(detect)
    add_deinterlace(detect)
    detect.add_argument(
        "--candidates", action="store_true", help="event lines also say what was perceived in each frame"
    )
    detect.add_argument(
        "--from",
        dest="perceived",
        type=Path,
        metavar="EVENTS.jsonl",
        help="decide anew from the candidates of an earlier run, without the network; only --output needs SOURCE",
    )
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
    from engine.errors import InputError
    from stream.record.recording import RecordingSettings, detect_recording
    from stream.sources.interlaced.deinterlacer import Deinterlace

    if arguments.perceived is not None:
        return _decide_anew(arguments)
    if arguments.source is None:
        raise InputError("SOURCE is missing; name a video, a picture or a folder, or event lines with --from")
    settings = RecordingSettings(
        source=arguments.source,
        output=arguments.output,
        events=arguments.events,
        candidates=arguments.candidates,
        model=arguments.model,
        runtime=arguments.runtime,
        precision=arguments.precision,
        strategy=arguments.strategy,
        threshold=arguments.threshold,
        endoscope=arguments.endoscope,
        classify=arguments.classify,
        overwrite=arguments.overwrite,
        stream=arguments.stream,
        marks=arguments.marks,
        encoder=arguments.encoder,
        deinterlace=Deinterlace(arguments.deinterlace),
    )
    bar = progress_bar(unit="frame", dynamic_ncols=True, leave=False, delay=0.3)

    def on_open(opened: Opened) -> None:
        runtime = opened.runtime
        logging.info("runtime %s (%s, %s): %s", runtime.name, runtime.library, runtime.precision, runtime.reason)
        bar.total = opened.info.frame_count

    with bar:
        result = detect_recording(settings, on_open=on_open, on_progress=lambda frames: bar.update(frames))
    say(_summary(result))
    return _exit_status(result)


def _decide_anew(arguments: argparse.Namespace) -> int:
    from engine.errors import InputError
    from stream.record.anew import AnewSettings, decide_anew

    unused = [name for name in ("candidates", "classify", "strategy", "endoscope") if getattr(arguments, name)]
    if unused:
        raise InputError(f"--{unused[0]} has no effect with --from, which looks at no picture; leave it out")

    result = decide_anew(
        AnewSettings(
            perceived=arguments.perceived,
            events=arguments.events,
            source=arguments.source,
            output=arguments.output,
            model=arguments.model,
            threshold=arguments.threshold,
            overwrite=arguments.overwrite,
            stream=arguments.stream,
            marks=arguments.marks,
            encoder=arguments.encoder,
        )
    )
    files = " ".join(map(str, result.files))
    say(
        f"{result.outcome.value}: {result.frames} frames decided anew in {result.seconds:.1f} s, "
        f"{counted(result.tracks, 'polyp')}; {files}"
    )
    return _exit_status(result)


def _exit_status(result: RecordingResult | AnewResult) -> int:
    """The exit status of a run; its error is said."""
    from stream.record.recording import Outcome

    if result.outcome is Outcome.INTERRUPTED:
        return INTERRUPTED
    if result.error is not None:
        tell(f"polypstream: {result.error}")
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
    if problems.still_growing is not None:
        line += "; the source was still growing: run again when it is complete"
    if result.runtime.failed_before:
        line += f"; {result.runtime.name} took over ({'; '.join(result.runtime.failed_before)})"
    return f"{line}; {' '.join(str(path) for path in result.files)}" if result.files else line
