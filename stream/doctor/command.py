"""`polypstream doctor`."""

from __future__ import annotations

import argparse
import json

from engine.command_line import Commands


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    doctor = commands.add_parser(
        "doctor", parents=[common], help="what is installed, what would run, what is missing and how to get it"
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from engine.doctor.report import examine, format_report

    report = examine()
    print(json.dumps(report.as_json(), indent=2) if arguments.json else format_report(report))
    return 0 if report.can_detect else 1
