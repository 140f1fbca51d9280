"""`polypstream doctor`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from engine.command_line import Commands, new_parser
from engine.console.output import say, tell

_EXAMPLES = """examples:
  polypstream doctor                what is installed, what would run, what is missing and how to get it
  polypstream doctor exam.mp4       the streams of a file, and which one would be taken
  polypstream doctor frames/        the pictures of a folder, and what would be left out
  polypstream doctor --cameras      cameras and capture cards: formats, sizes and rates (Linux)

exit status: 0 detection can run here, the file can be read, or there is a camera; 1 detection cannot run here, or there
is no camera; 2 the file cannot be read
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    doctor = new_parser(
        commands,
        "doctor",
        common,
        help="what is installed, what would run, what is missing and how to get it; what is in a file",
        description="Says what is installed, what would run, and what is missing. With a file: what is in it, and what "
        "of it would be taken.",
        epilog=_EXAMPLES,
    )
    doctor.add_argument("file", nargs="?", metavar="FILE", help="video, picture or folder of pictures to look into")
    doctor.add_argument(
        "--cameras", action="store_true", help="list cameras and capture cards with what they give (Linux)"
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    if arguments.cameras:
        return _cameras(arguments.file, as_json=arguments.json)
    return _machine(arguments.json) if arguments.file is None else _file(arguments.file, as_json=arguments.json)


def _machine(as_json: bool) -> int:
    from engine.doctor.report import examine, format_report

    report = examine()
    text = json.dumps(report.as_json(), indent=2) if as_json else format_report(report)
    say(*text.splitlines())
    return 0 if report.can_detect else 1


def _file(file: str, *, as_json: bool) -> int:
    from stream.doctor.contents import examine_contents, format_contents

    contents = examine_contents(file)
    text = json.dumps(contents.as_json(), indent=2) if as_json else format_contents(contents)
    say(*text.splitlines())
    if contents.error is None:
        return 0
    tell(f"polypstream: {contents.error}")
    return contents.error.exit_status


def _cameras(file: str | None, *, as_json: bool) -> int:
    from engine.errors import InputError
    from stream.doctor.cameras import examine_cameras, format_cameras

    if file is not None:
        raise InputError(f"--cameras looks at cameras and at no file; leave it out, or {file}")
    cameras = examine_cameras()
    text = json.dumps([asdict(one) for one in cameras], indent=2) if as_json else format_cameras(cameras)
    say(*text.splitlines())
    return 0 if cameras else 1
