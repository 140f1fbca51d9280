"""`polypstream live`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command_line import (
    INTERRUPTED,
    Commands,
    Options,
    add_classify,
    add_deinterlace,
    add_encoder,
    add_endoscope,
    add_model,
    add_overwrite,
    add_precision,
    add_runtime,
    add_stream,
    add_threads,
    add_threshold,
    add_token_file,
    counted,
    new_parser,
)
from engine.console.output import say, tell
from engine.errors import PolypstreamError
from stream.live.console import LiveConsole, summary, terminal

if TYPE_CHECKING:
    from stream.live.rooms.names import Room
    from stream.live.run import LiveRunSettings
    from stream.sources.pipes.growing import Follow

_EXAMPLES = """examples:
  polypstream live camera:0 --show                                 a window; q quits, space pauses, m marks, s snapshot
  polypstream live rtsp://10.0.0.5/endoscope --serve 8000          a page: open the address that is printed
  polypstream live camera:0 --serve 0.0.0.0:8000 --record exam.mp4 for other machines too
  polypstream live camera:0 --serve 8000 --token-file token.txt    where nobody looks at a terminal
  polypstream live "camera:0?format=uyvy&size=1920x1080&rate=50" --show --events exam.jsonl --snapshots exam/
  polypstream live camera:0 --show --classify                      with the kind of each polyp that is seen well
  polypstream live exam.mp4 --realtime --show                      a file at its own pace
  polypstream live exam.ts --follow --show                         a recording that is still being written
  ffmpeg -f decklink -i CARD -c:v rawvideo -f nut - | polypstream live - --show        any card, by its own tools
  polypstream live pattern:1920x1080@25 --show --duration 60       a rendered colon, without any camera
  polypstream live OR1=camera:0 OR2=rtsp://10.0.0.5/scope --serve 8000 --record exam.mp4
                                                                   two rooms on one page; exam.OR1.mp4, exam.OR2.mp4

exit status: 0 the source ended, the time was over or the user quit; 1 a fault while running (what was finished is
kept); 2 wrong usage or unusable input; 130 interrupted by Ctrl-C or SIGTERM (all files are finished)
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    live = new_parser(
        commands,
        "live",
        common,
        help="find polyps in a camera or network stream, as it comes",
        description="Shows a camera, a network stream or a file played in real time, with the polyps found in it. The "
        "picture never waits for detection, and goes on whatever becomes of it.",
        epilog=_EXAMPLES,
    )
    live.add_argument(
        "source",
        metavar="[NAME=]SOURCE",
        nargs="+",
        help="camera:0, rtsp/udp/http address, - (a pipe), pattern: or video file; several are rooms, each in a "
        "process of its own",
    )
    add_stream(live)
    add_deinterlace(live)
    ways = live.add_argument_group("ways to see it (at least one of the first four)")
    ways.add_argument("--show", action="store_true", help="a window that fills the screen")
    ways.add_argument(
        "--serve",
        metavar="[HOST:]PORT",
        help="a page for browsers (of this machine, without HOST); a token is made for each run and printed with the "
        "address, to a terminal only",
    )
    ways.add_argument("--record", type=Path, metavar="OUT.mp4", help="write the untouched pictures")
    ways.add_argument("--events", type=Path, metavar="OUT.jsonl", help="one line of JSON a frame that was looked at")
    ways.add_argument("--candidates", action="store_true", help="event lines also say what was perceived")
    ways.add_argument(
        "--snapshots",
        type=Path,
        metavar="DIR",
        help="pictures of each polyp, and what key s asks for",
    )
    ways.add_argument("--sound", action="store_true", help="a short sound when a polyp is found")
    ways.add_argument("--record-marks", action="store_true", help="record with boxes and state drawn in")
    add_encoder(ways)
    ways.add_argument("--no-arcs", action="store_true", help="no arcs towards polyps near the edge of the picture")
    ways.add_argument("--windowed", action="store_true", help="the window does not fill the screen")
    _add_token(ways.add_mutually_exclusive_group())
    add_overwrite(ways)
    live.add_argument(
        "--source-ca",
        type=Path,
        metavar="FILE",
        help="certificates (PEM) of the authority that signed an https or rtsps source's (default: the system's)",
    )
    finding = live.add_argument_group("detection")
    add_model(finding)
    add_runtime(finding)
    add_precision(finding)
    add_classify(finding)
    add_threshold(finding, use="show")
    add_endoscope(finding)
    add_threads(finding)
    finding.add_argument(
        "--max-age", type=float, default=200, metavar="MS", help="oldest box that is shown (default: 200 ms)"
    )
    finding.add_argument("--no-pause", action="store_true", help="look at blurred and washed-out frames too")
    live.add_argument("--duration", type=float, metavar="S", help="end after so many seconds")
    live.add_argument(
        "--realtime",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="files and patterns at their own pace (default), or as fast as can be",
    )
    _add_follow(live)
    live.set_defaults(command=_live)


def _add_follow(options: Options) -> None:
    options.add_argument(
        "--follow", action="store_true", help="SOURCE is a file that is still being written: go on as it grows"
    )
    options.add_argument(
        "--follow-from", choices=("end", "start"), help="begin near its end (default), or at its beginning"
    )
    options.add_argument(
        "--follow-wait", type=float, metavar="S", help="end when it has not grown for so many seconds (default: 10)"
    )


def _follow(arguments: argparse.Namespace) -> Follow | None:
    """How a growing file is followed; None where none is.

    Raises:
        InputError: an option of --follow without it, or a time that is not positive.
    """
    from engine.errors import InputError
    from stream.sources.pipes.growing import Begin, Follow

    begin, wait_s = arguments.follow_from, arguments.follow_wait
    if not arguments.follow:
        unused = "--follow-from" if begin is not None else "--follow-wait" if wait_s is not None else None
        if unused is not None:
            raise InputError(f"{unused} has no effect without --follow; add --follow, or leave it out")
        return None
    return Follow(Begin(begin or "end"), 10.0 if wait_s is None else wait_s)


def _add_token(options: Options) -> None:
    add_token_file(options)
    options.add_argument(
        "--token", metavar="TEXT", help="the page's token; all users of this machine can read it while this runs"
    )
    options.add_argument(
        "--no-token",
        action="store_true",
        help="every user and every program of this machine can see the patient, and start and stop recordings",
    )


def _live(arguments: argparse.Namespace) -> int:
    """Runs, and leaves: a library that hangs in a thread, or still opens a model, must not hold up or spoil the end."""
    from stream.live.run import hanging_threads

    try:
        status = _run(arguments)
    except PolypstreamError as error:
        tell(f"polypstream: {error}")
        status = error.exit_status
    except KeyboardInterrupt:
        tell("polypstream: interrupted; unfinished files are called NAME.partial")
        status = INTERRUPTED
    if hanging_threads():
        # At Python's own end such a thread would be ended in the middle of C++ code, which aborts the process.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _run(arguments: argparse.Namespace) -> int:
    from stream.live.rooms.names import parse_rooms
    from stream.live.run import run_live
    from stream.live.switching import prompt_switching
    from stream.record.recording import Outcome

    rooms = parse_rooms(arguments.source)
    settings = _settings(arguments, rooms[0].source)
    if len(rooms) > 1:
        return _run_rooms(settings, rooms)
    console = LiveConsole()
    try:
        with prompt_switching():
            report = run_live(settings, on_open=console.opened, on_look=lambda status: console.look({"": status}))
    finally:
        console.end()
    say(summary(report))
    if report.error is not None:
        tell(f"polypstream: {report.error}")
        return report.error.exit_status
    return INTERRUPTED if report.outcome is Outcome.INTERRUPTED else 0


def _run_rooms(settings: LiveRunSettings, rooms: Sequence[Room]) -> int:
    from stream.live.rooms.run import run_rooms, worst_status

    console = LiveConsole()
    try:
        reports = run_rooms(settings, rooms, on_open=console.opened, on_look=console.look)
    finally:
        console.end()
    for report in reports:
        restarted = f" (its process was started again {counted(report.restarts, 'time')})" if report.restarts else ""
        if report.report is not None:
            say(f"{report.name}: {summary(report.report)}{restarted}")
        elif report.error is None:
            say(f"{report.name}: interrupted before it had begun{restarted}")
        if report.error is not None:
            tell(f"polypstream: {report.name}: {report.error}{restarted if report.report is None else ''}")
    return worst_status(reports)


def _settings(arguments: argparse.Namespace, source: str) -> LiveRunSettings:
    from stream.live.outputs.outputs import OutputSettings
    from stream.live.paths.analysis import AnalysisSettings
    from stream.live.paths.detection import DetectionSettings
    from stream.live.paths.pipeline import LiveSettings
    from stream.live.run import LiveRunSettings
    from stream.live.sources.capture import CaptureSettings
    from stream.sources.interlaced.deinterlacer import Deinterlace
    from stream.view.frame_quality import QualitySettings
    from stream.web.address import parse_page_address

    quality = QualitySettings(sharpness=0, white_share=1) if arguments.no_pause else QualitySettings()
    analysis = AnalysisSettings(quality, arguments.endoscope)
    return LiveRunSettings(
        source=source,
        outputs=OutputSettings(
            show=arguments.show,
            full_screen=not arguments.windowed,
            serve=None if arguments.serve is None else parse_page_address(arguments.serve),
            token=None if arguments.serve is None else _token(arguments),
            without_token=arguments.no_token,
            record=arguments.record,
            record_marks=arguments.record_marks,
            encoder=arguments.encoder,
            arcs=not arguments.no_arcs,
            events=arguments.events,
            candidates=arguments.candidates,
            snapshots=arguments.snapshots,
            sound=arguments.sound,
            overwrite=arguments.overwrite,
        ),
        model=arguments.model,
        runtime=arguments.runtime,
        precision=arguments.precision,
        threshold=arguments.threshold,
        threads=arguments.threads,
        classify=arguments.classify,
        duration_s=arguments.duration,
        live=LiveSettings(longest_age_s=arguments.max_age / 1000, detection=DetectionSettings(analysis)),
        capture=CaptureSettings(
            realtime=arguments.realtime,
            stream=arguments.stream,
            source_ca=arguments.source_ca,
            deinterlace=Deinterlace(arguments.deinterlace),
            follow=_follow(arguments),
        ),
    )


def _token(arguments: argparse.Namespace) -> str | None:
    """The token of the page; None when it is to be made, or there is to be none.

    Raises:
        InputError: it cannot be had, or nobody would learn the one that is made.
    """
    from stream.web.access import check_token
    from stream.web.token_file import given_token

    if arguments.no_token:
        return None
    if arguments.token is not None:
        check_token(arguments.token)
        logging.warning("all users of this machine can read the token on the command line; --token-file keeps it")
        return str(arguments.token)
    return given_token(arguments.token_file, seen=terminal() is not None)
