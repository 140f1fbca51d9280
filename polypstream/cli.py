"""The command line: one parser, and a sub-command from each folder that has one."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from calibration.decisions import command as command_calibrate
from calibration.precisions import command as command_build
from calibration.shipping import command as command_train
from engine.command_line import INTERRUPTED, Parser
from engine.console.output import ConsoleHandler, ReaderGoneError, tell
from engine.console.streams import guarded_streams
from engine.errors import PolypstreamError
from engine.files import private_files
from engine.interrupts import handled
from engine.processes.programs import leave_current_folder
from polypstream import __version__
from stream.classification import command as command_classify
from stream.doctor import command as command_doctor
from stream.hospital import command as command_dicom
from stream.hospital.deidentify import command as command_deidentify
from stream.hospital.dicom import command as command_dicom_results
from stream.live import command as command_live
from stream.live.benchmark import command as command_benchmark
from stream.procedure import command as command_report
from stream.record import command as command_detect
from stream.review import command as command_review
from stream.study import command as command_study
from train.evaluation import command as command_evaluate
from train.prepare import command as command_prepare

#: In the order of `--help`. Each file imports what its work needs only when it is run.
_COMMANDS = (
    command_detect,
    command_live,
    command_study,
    command_report,
    command_dicom_results,  # an option of the three above it that make results
    command_review,
    command_dicom,
    command_deidentify,
    command_classify,
    command_train,
    command_prepare,
    command_evaluate,
    command_calibrate,
    command_build,
    command_benchmark,
    command_doctor,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status, which depends on the work alone and on no console."""
    with guarded_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    leave_current_folder()
    arguments = _parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, handlers=[ConsoleHandler()])
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        # A service manager's polite end, or a terminal that closes, is treated as Ctrl-C: what was finished is kept.
        with handled(to_the_end=True), private_files() if arguments.shows_patients else nullcontext():
            return command(arguments)
    except PolypstreamError as error:
        tell(f"polypstream: {error}")
        return error.exit_status
    except ReaderGoneError:
        return 0
    except KeyboardInterrupt:
        tell("polypstream: interrupted")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="polypstream",
        description="Polyp detection for endoscopy video. Research software, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"polypstream {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.set_defaults(shows_patients=False)
    common.add_argument("-v", "--verbose", action="store_true", help="say more about what is done")
    for module in _COMMANDS:
        module.add_command(commands, common)
    return parser
