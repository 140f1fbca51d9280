"""`polypstream report`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from engine.command_line import Commands, add_overwrite, counted, new_parser
from engine.console.output import progress_bar, say

_EXAMPLES = """examples:
  polypstream detect exam.mp4 --events exam.jsonl --candidates && polypstream report exam.jsonl
  polypstream report exam.jsonl --cecum-time 9:40 --pdf         with insertion and withdrawal, and as PDF
  polypstream report results/exam-17 --pdf --overwrite          a procedure of a study, anew
  polypstream report exam.jsonl --overwrite                     anew, with what `polypstream review` says
  polypstream report exam.jsonl --recordings /archive/exam.mp4  the recording lies elsewhere by now

The report of exam.jsonl stands in exam.report/: report.html (one file), report.json, findings/*.jpg.
It takes the packages of `pip install 'polypstream[study]'`, --pdf those of 'polypstream[pdf]'.

exit status: 0 done, 1 a fault midway, 2 wrong usage or unusable input, 130 interrupted
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    report = new_parser(
        commands,
        "report",
        common,
        help="report of a procedure: findings, times",
        description="Writes the report of a procedure: each lesion once with its best picture, a strip of the whole "
        "procedure, its times. The recordings are read and stay as they are. Research software, not a medical device.",
        epilog=_EXAMPLES,
    )
    report.add_argument(
        "result",
        metavar="RESULT",
        type=Path,
        help="folder of a procedure in a study's results, or event lines of `polypstream detect --candidates`",
    )
    report.add_argument("--output", type=Path, metavar="FOLDER", help="folder to write to (default: beside RESULT)")
    report.add_argument("--pdf", action="store_true", help="also write report.pdf")
    report.add_argument("--fhir", action="store_true", help="also write report.fhir.json (FHIR R4)")
    report.add_argument(
        "--cecum-time",
        metavar="TIME",
        help="when the turning point was reached: seconds, M:SS or H:MM:SS of the procedure (default: as a review "
        "says; where none does, as a study's list says; it is not guessed)",
    )
    report.add_argument(
        "--recordings",
        type=Path,
        metavar="PLACE",
        help="folder or file where moved recordings are now",
    )
    report.add_argument("--reader", metavar="NAME", help="whose review counts (default: of all who are done)")
    report.add_argument("--no-review", action="store_true", help="as it was detected; judgements have no say")
    add_overwrite(report, what="a report that exists")
    report.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> int:
    from stream.procedure.report import write_report
    from stream.procedure.times import parse_time

    told = arguments.cecum_time
    cecum_s = None if told is None else parse_time(told, name="--cecum-time")
    steps = _Steps()
    try:
        written = write_report(
            arguments.result,
            output=arguments.output,
            pdf=arguments.pdf,
            fhir=arguments.fhir,
            cecum_s=cecum_s,
            reader=arguments.reader,
            with_review=not arguments.no_review,
            recordings=arguments.recordings,
            overwrite=arguments.overwrite,
            on_step=steps.update,
        )
    finally:
        steps.close()
    pages = [path for path in written.files if path.suffix != ".jpg"]
    say(f"{counted(len(written.contents['findings']), 'finding')}; {' '.join(map(str, pages))}")
    return 0


class _Steps:
    """A progress bar for each step, one after the other."""

    def __init__(self) -> None:
        self._name = ""
        self._shown = ExitStack()
        self._move: Callable[[int], object] = lambda done: None

    def update(self, name: str, total: int, done: int) -> None:
        if name != self._name:
            self.close()
            self._name = name
            bar = progress_bar(what=name, total=total, unit="", dynamic_ncols=True, leave=False, delay=0.3)
            self._move = self._shown.enter_context(bar).update
        self._move(done)

    def close(self) -> None:
        self._shown.close()
