"""`polypstream prepare select`."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.command_line import Commands, new_parser
from engine.console.output import say
from engine.errors import InputError
from train.labels.command import add_judgements

_EXAMPLES = """examples:
  polypstream study recordings/ --output results/
  polypstream prepare select results/ --frames 500 --output to-label     YOLO labels, a table, a contact sheet
  polypstream prepare select results/ --frames 200 --format cvat --data data/mine --output to-label
  polypstream detect exam.mp4 --events exam.jsonl --candidates
  polypstream prepare select exam.jsonl --output to-label
  polypstream prepare import corrected.zip --pictures to-label --output data/more
"""


def add_select(materials: Commands, common: argparse.ArgumentParser) -> None:
    """Adds `prepare select` to the command line."""
    parser = new_parser(
        materials,
        "select",
        common,
        help="frames that are worth labelling next",
        description="Chooses frames of results in which the detector is in doubt, changes its mind, was judged wrong, "
        "or sees what its training set does not hold, spread over procedures and no two alike, and writes them with "
        "what was found in them, to be corrected in a labelling tool.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "results", type=Path, metavar="RESULTS", help="results of a study, or event files with candidates"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--frames", type=int, default=500, metavar="N", help="to choose (default: 500)")
    parser.add_argument(
        "--format",
        default="yolo",
        choices=["cvat", "coco", "yolo", "label-studio", "voc"],
        help="of the labels to be corrected (default: yolo)",
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[], metavar="DIR", help="training set: frames like its own are left out"
    )
    parser.add_argument(
        "--model", default="polyp", metavar="NAME|DIR", help="detector that made the results (default: polyp)"
    )
    parser.add_argument(
        "--spacing", type=float, default=1.0, metavar="S", help="seconds between frames of a recording (default: 1)"
    )
    parser.add_argument(
        "--pictures", type=Path, nargs="+", default=[], metavar="DIR", help="where the recordings lie now"
    )
    parser.add_argument(
        "--field-only",
        action="store_true",
        help="write pictures with the field of view alone, all else black, and numbers for names",
    )
    add_judgements(parser)
    parser.set_defaults(command=_select)


def _select(arguments: argparse.Namespace) -> int:
    try:
        from train.labels.export_writer import ExportSettings, Format
        from train.selection.selecting import SelectionSettings, select_frames
    except ImportError as error:
        raise InputError(f"this needs more packages ({error}): pip install 'polypstream[train]'") from error
    export = ExportSettings(
        Format(arguments.format),
        tuple(arguments.pictures),
        field_only=arguments.field_only,
        judgements=not arguments.no_judgements,
        reader=arguments.reader,
    )
    settings = SelectionSettings(export, arguments.frames, arguments.spacing, arguments.model, tuple(arguments.data))
    say(*select_frames(arguments.results, arguments.output, settings).lines())
    return 0
