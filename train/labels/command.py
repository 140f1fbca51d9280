"""`polypstream prepare import` and `prepare export`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command_line import Commands, Options, new_parser
from engine.console.output import say, tell
from train.data.label_reading import add_labels, labels_of

if TYPE_CHECKING:
    from train.interchange.class_names import Meaning

_IMPORT_EXAMPLES = """examples:
  polypstream prepare import project.zip --output data/mine              YOLO, COCO, VOC, CVAT, Label Studio: found out
  polypstream prepare import labels.json --pictures frames --output data/mine --class lesion=polyp --class clip=ignore
  polypstream prepare import annotations.xml --pictures videos --output data/mine     tracks over a recording (CVAT)
  polypstream train --data data/mine --output runs/mine
"""

_EXPORT_EXAMPLES = """examples:
  polypstream detect exam.mp4 --events exam.jsonl
  polypstream prepare export exam.jsonl --format cvat --output to-correct          tracks with key frames
  polypstream prepare export results --format label-studio --output to-correct     a study, or a folder of event files
  polypstream prepare export data/mine --format coco --output coco
  polypstream prepare export exam.jsonl --format yolo --field-only --output frames
  polypstream prepare export results --format yolo --output judged         what readers judged (polypstream review)
"""


def add_import(materials: Commands, common: argparse.ArgumentParser) -> None:
    """Adds `prepare import` to the command line."""
    parser = new_parser(
        materials,
        "import",
        common,
        help="labels of other programs, as a data set",
        description="Reads labels of YOLO, COCO, Pascal VOC, CVAT 1.1 (images and video), Label Studio, or folders of "
        "frames and masks, and writes them with their pictures as a data set that `train`, `calibrate` and `evaluate` "
        "take. Polyps with outlines become masks, others boxes.",
        epilog=_IMPORT_EXAMPLES,
    )
    parser.add_argument("labels", type=Path, metavar="LABELS", help="file, folder or ZIP archive of labels")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="data set to write")
    parser.add_argument(
        "--pictures", type=Path, nargs="+", default=[], metavar="DIR", help="where pictures and recordings lie as well"
    )
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="NAME=WHAT",
        help="what a class means: polyp, ignore, or unsure, which leaves pictures with it out (default: as its name "
        "says; what is unclear is asked)",
    )
    parser.add_argument(
        "--unlabelled",
        choices=["leave-out", "negative"],
        default="leave-out",
        help="pictures of which the format does not say that they show nothing (default: leave-out)",
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out pictures whose labels cannot be used")
    parser.add_argument("--predictions", action="store_true", help="take what a model said, where nobody labelled")
    add_labels(parser)
    parser.set_defaults(command=_import)


def add_export(materials: Commands, common: argparse.ArgumentParser) -> None:
    """Adds `prepare export` to the command line."""
    parser = new_parser(
        materials,
        "export",
        common,
        help="data sets and results, in the formats of labelling tools",
        description="Writes a data set, or what `detect` or `study` found, for labelling tools. What was found in a "
        "recording becomes tracks with key frames (cvat, label-studio), or frames that lie apart (coco, yolo, voc).",
        epilog=_EXPORT_EXAMPLES,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="data set, event file, folder of them, or a study")
    parser.add_argument(
        "--format", required=True, choices=["cvat", "coco", "yolo", "label-studio", "voc"], help="to write"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--pictures", type=Path, nargs="+", default=[], metavar="DIR", help="where the source of results lies now"
    )
    parser.add_argument(
        "--field-only",
        action="store_true",
        help="write pictures with the field of view alone, all else black, and numbers for names",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="of a box's side that boxes between key frames may be off; 0: every frame is exact (default: 0.05)",
    )
    parser.add_argument(
        "--spacing", type=float, default=0.5, metavar="S", help="seconds between frames of a recording (default: 0.5)"
    )
    parser.add_argument(
        "--negative-spacing",
        type=float,
        default=5.0,
        metavar="S",
        help="the same of frames without polyp, of recordings that readers judged to their end (default: 5)",
    )
    add_judgements(parser)
    add_labels(parser)
    parser.set_defaults(command=_export)


def add_judgements(options: Options) -> None:
    """Adds --reader and --no-judgements: what readers said on the review page counts."""
    options.add_argument("--reader", metavar="NAME", help="whose judgements count (default: of all who are done)")
    options.add_argument("--no-judgements", action="store_true", help="what was found, whatever readers judged")


def _import(arguments: argparse.Namespace) -> int:
    from train.interchange.class_names import read_meanings
    from train.labels.importing import ImportSettings, import_labels

    settings = ImportSettings(
        tuple(arguments.pictures),
        read_meanings(arguments.classes),
        unlabelled_are_negative=arguments.unlabelled == "negative",
        skip_bad=arguments.skip_bad,
        predictions=arguments.predictions,
        labels=labels_of(arguments),
    )
    ask = _ask if sys.stdin is not None and sys.stdin.isatty() else None
    say(*import_labels(arguments.labels, arguments.output, settings, ask=ask).lines())
    return 0


def _ask(name: str, count: int) -> Meaning:
    """Asks at the terminal until the answer is clear."""
    from train.interchange.class_names import Meaning

    while True:
        tell(f"Are the {count} labels of class {name!r} polyps? [y/n]")
        answer = sys.stdin.readline()
        if not answer:
            raise KeyboardInterrupt
        if answer.strip().lower() in ("y", "yes", "n", "no"):
            return Meaning.POLYP if answer.strip().lower().startswith("y") else Meaning.IGNORE


def _export(arguments: argparse.Namespace) -> int:
    from train.labels.export_writer import ExportSettings, Format
    from train.labels.exporting import export_labels

    settings = ExportSettings(
        Format(arguments.format),
        tuple(arguments.pictures),
        field_only=arguments.field_only,
        tolerance=arguments.tolerance,
        spacing_s=arguments.spacing,
        negative_spacing_s=arguments.negative_spacing,
        judgements=not arguments.no_judgements,
        reader=arguments.reader,
        labels=labels_of(arguments),
    )
    say(*export_labels(arguments.source, arguments.output, settings).lines())
    return 0
