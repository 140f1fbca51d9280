"""`polypstream study`."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import AbstractContextManager, nullcontext
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
    add_precision,
    add_runtime,
    add_stream,
    add_threshold,
    add_token_file,
    counted,
    new_parser,
)
from engine.console.output import progress_bar, say, tell
from engine.console.streams import guard_of
from engine.errors import InputError
from stream.record.track.marking import Marking

if TYPE_CHECKING:
    from stream.study.progress import StudyProgress, StudyResult
    from stream.study.stock import Stock

_EXAMPLES = """examples:
  polypstream study recordings/ --output results/                   every recording below the folder
  polypstream study recordings/ --output results/                   the same again: goes on where it stopped
  polypstream study list.csv --output results/ --classify           the recordings that a list names
  polypstream study recordings/ --output results/ --serve 8000      a page that shows how far it is
  polypstream study recordings/ --output results/ --decide-only --threshold 0.6      detects nothing again
  polypstream study recordings/ --output results/ --frames-table --videos track      more beside each report
  polypstream study recordings/ --output results/ --ray auto        on the machines of a Ray cluster

A list (CSV) has the column path, and may have procedure, cecum_time (seconds, MM:SS or HH:MM:SS in the procedure) and
others, which are carried along. Lines that follow each other and name one procedure are its recordings, in order.

Without a procedure's name, numbered parts are joined: exam1_001.mpg and exam1_002.mpg, VTS_01_1.VOB and VTS_01_2.VOB,
"exam part 1.mp4" and "exam part 2.mp4"; not exam-17.mp4 and exam-18.mp4.

exit status: 0 everything is done, 1 something failed (the others are done), 2 wrong usage or unusable input,
130 interrupted (the same command goes on)
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    study = new_parser(
        commands,
        "study",
        common,
        help="find polyps in many recordings, and report on each procedure",
        description="Finds polyps in all recordings of a folder or list, and writes a folder for each procedure. What "
        "is done stays done: the same command goes on where an earlier one stopped, however it ended.",
        epilog=_EXAMPLES,
    )
    study.add_argument("source", metavar="FOLDER|LIST", type=Path, help="folder of recordings, or a list (.csv)")
    study.add_argument("--output", type=Path, required=True, metavar="RESULTS", help="folder of the results")
    add_model(study)
    add_runtime(study)
    add_precision(study)
    add_threshold(study, use="show")
    add_endoscope(study)
    add_stream(study)
    add_deinterlace(study)
    add_classify(study)
    study.add_argument(
        "--workers", type=int, metavar="N", help="recordings looked at at once (default: as cores and memory allow)"
    )
    study.add_argument(
        "--serve",
        metavar="[HOST:]PORT",
        help="a page for browsers while it goes on (of this machine, without HOST); a token is made for each run and "
        "printed with the address",
    )
    add_token_file(study)
    study.add_argument(
        "--decide-only", action="store_true", help="decide anew what was perceived before; detects nothing"
    )
    study.add_argument(
        "--segment",
        type=float,
        metavar="MINUTES",
        help="look at long recordings in pieces of this length, several at once; results are the same (default: 5 with "
        "--ray, else whole recordings; with --classify they stay whole)",
    )
    cluster = study.add_argument_group("on a Ray cluster", "needs: pip install 'polypstream[cluster]'")
    cluster.add_argument(
        "--ray",
        metavar="auto|HOST:PORT",
        help="look at recordings on the machines of this cluster; this machine must be one of them",
    )
    cluster.add_argument(
        "--ship", action="store_true", help="send recordings to machines that do not see them under the same path"
    )
    cluster.add_argument(
        "--gpu-share",
        type=float,
        default=0.25,
        metavar="SHARE",
        help="of a GPU that one task takes, where there are GPUs (default: %(default)s; never tried on one)",
    )
    beside = study.add_argument_group("beside the reports")
    beside.add_argument("--pdf", action="store_true", help="write each report as PDF too")
    beside.add_argument("--fhir", action="store_true", help="write each report as FHIR R4 too")
    beside.add_argument(
        "--frames-table",
        action="store_true",
        help="write all frames of each procedure as a table, frames.parquet (needs 'polypstream[tables]')",
    )
    beside.add_argument(
        "--videos",
        choices=[one.value for one in Marking],
        help="write each recording with its marks: burned into the pictures (MP4), or as a track beside them (MKV)",
    )
    study.add_argument(
        "--keep-pictures",
        type=float,
        default=10.0,
        metavar="GIB",
        help="frames kept for the next reports take at most so much, those used longest ago go first (default: "
        "%(default)g; 0: none is kept)",
    )
    add_encoder(beside)
    study.add_argument("--no-join", action="store_true", help="each file is a procedure, whatever its name")
    study.set_defaults(command=_study)


def _study(arguments: argparse.Namespace) -> int:
    from stream.sources.interlaced.deinterlacer import Deinterlace
    from stream.study.extras.wanted import Extras
    from stream.study.run import run_study
    from stream.study.settings import StudySettings

    settings = StudySettings(
        source=arguments.source,
        results=arguments.output,
        model=arguments.model,
        runtime=arguments.runtime,
        precision=arguments.precision,
        threshold=arguments.threshold,
        endoscope=arguments.endoscope,
        stream=arguments.stream,
        deinterlace=Deinterlace(arguments.deinterlace),
        classify=arguments.classify,
        workers=arguments.workers,
        segment_s=None if arguments.segment is None else 60 * arguments.segment,
        ray=arguments.ray,
        ship=arguments.ship,
        gpu_share=arguments.gpu_share,
        extras=Extras(
            pdf=arguments.pdf,
            fhir=arguments.fhir,
            frames_table=arguments.frames_table,
            videos=None if arguments.videos is None else Marking(arguments.videos),
            encoder=arguments.encoder,
        ),
        most_picture_bytes=arguments.keep_pictures * 2**30,
        decide_only=arguments.decide_only,
        join=not arguments.no_join,
    )
    with _page(arguments), _Console() as console:
        result = run_study(settings, console)
    return _conclude(result, arguments.output)


def _page(arguments: argparse.Namespace) -> AbstractContextManager[object]:
    """The page of the study, where it is wanted; its address is said."""
    if arguments.serve is None:
        if arguments.token_file is not None:
            raise InputError("--token-file has no effect without --serve [HOST:]PORT; add it, or leave the file out")
        return nullcontext()
    from stream.web.access import make_token
    from stream.web.address import parse_page_address
    from stream.web.token_file import given_token

    try:
        from stream.study.summary.serving import StudyPage
    except ModuleNotFoundError as error:
        raise InputError("the page needs the package websockets: pip install 'polypstream[serve]'") from error
    address = parse_page_address(arguments.serve)
    token = given_token(arguments.token_file, seen=guard_of(sys.stdout).isatty())
    page = StudyPage(arguments.output, address, token or make_token())
    say(f"page: {page.url if token is None else page.url.partition('?')[0] + ' (it asks for the token)'}")
    return page


class _Console:
    """Says on the terminal how a study goes: one bar, in hours of video, and a line for each failure."""

    def __init__(self) -> None:
        self._bar = progress_bar(what="files", unit="file", dynamic_ncols=True, leave=False, delay=0.3)

    def __enter__(self) -> _Console:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def scanned(self, files: int) -> None:
        self._bar.update(files)

    def took_stock(self, stock: Stock, workers: int) -> None:
        from stream.study.progress import long_time
        from stream.study.stock import left_out_lines

        self._bar.close()
        total_s = sum(one.duration_s or 0.0 for one in stock.recordings)
        say(
            f"{counted(len(stock.recordings), 'recording')} of {counted(len(stock.procedures), 'procedure')}, "
            f"{long_time(total_s)} of video; {counted(workers, 'worker')}"
        )
        say(*stock.notes, *left_out_lines(stock.left_out))
        self._bar = progress_bar(
            what="video",
            unit="h",
            total=total_s / 3600,
            leave=False,
            dynamic_ncols=True,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total:.2f} hours [{elapsed}{postfix}]",
        )

    def said(self, line: str) -> None:
        logging.warning("%s", line)

    def progressed(self, progress: StudyProgress) -> None:
        from stream.study.progress import long_time

        bar = self._bar
        bar.total, bar.n = max(progress.total_s, progress.done_s) / 3600, progress.done_s / 3600
        parts = [f"{progress.procedures_done}/{progress.procedures} procedures"]
        if progress.speed and progress.left_s:
            parts = [f"{progress.speed:.1f} times real time", f"{long_time(progress.left_s)} left", *parts]
        if progress.failed:
            parts.append(f"{progress.failed} failed")
        bar.set_postfix_str(", ".join(parts), refresh=True)


def _conclude(result: StudyResult, results: Path) -> int:
    from stream.study.progress import about, long_time

    progress = result.progress
    for what, reasons in (("not whole", result.remarks), ("failed", result.failures)):
        for name, reason in reasons.items():
            tell(f"{what}: {about(name, reason)}")
    if result.not_perceived:
        tell(
            f"{counted(result.not_perceived, 'recording')} not looked at with these settings yet; run without "
            "--decide-only, or with the settings that they were looked at with"
        )
    outcome = "interrupted" if result.interrupted else "failed in part" if result.failures else "finished"
    say(
        f"{outcome}: {progress.procedures_done} of {counted(progress.procedures, 'procedure')}, "
        f"{long_time(progress.done_s)} of video; {results}"
    )
    if result.interrupted:
        return INTERRUPTED
    return 1 if result.failures or result.remarks or result.not_perceived else 0
