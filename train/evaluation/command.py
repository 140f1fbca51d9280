"""`polypstream evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.command_line import Commands, add_precision, add_runtime, add_split, add_threshold, new_parser
from engine.console.output import say
from train.data.label_reading import add_labels, labels_of

_EVALUATE_EXAMPLES = """examples:
  polypstream evaluate polyp cvc-colondb kvasir-seg --report report.html
  polypstream evaluate runs/first/polyp cvc-clinicdb --split validation --json figures.json
  polypstream evaluate polyp exam.mp4 clips.json         with exam.truth.jsonl beside it; a list of clips
  polypstream evaluate polyp videos --report clips.html  each with NAME.visible.csv: every false or late event
  polypstream evaluate polyp frames --split all --compare runs/a/polyp runs/b/polyp --report matrix.html
  polypstream evaluate polyp normal-frames --report fires_report.html --pictures 100      all that it fires on
  polypstream evaluate detections.json truth.json --threshold 0.5      of another program

A data set is a folder with images/ and masks/ (same names); or with non_polyp/, and polyp/ for frames that show one
nobody outlined (judged by frame, with --split all); COCO JSON with its pictures; a clip with NAME.truth.jsonl or
CLIP.visible.csv (first,last,label) beside it, or a folder of such clips; or a list
{"clips": [{"video": "a.mp4", "polyps": [{"frames": [[0, 360]]}]}]}.
A report with pictures shows patients: do not publish it.
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    evaluate = new_parser(
        commands,
        "evaluate",
        common,
        help="judge a detector on labelled frames and clips",
        description="Judges a detector at its own threshold by the protocols of the field, in one pass over the data.",
        epilog=_EVALUATE_EXAMPLES,
    )
    evaluate.add_argument("model", metavar="MODEL", help="shipped model or bundle; or detections as COCO JSON")
    evaluate.add_argument("data", type=Path, nargs="+", metavar="DATASET", help="frames, COCO JSON or clips; see below")
    add_split(evaluate, ["train", "validation", "test", "all"], default="test")
    add_threshold(evaluate, use="count")
    evaluate.add_argument("--compare", nargs="+", default=[], metavar="MODEL", help="models to put beside it: a matrix")
    add_labels(evaluate, categories=True)
    add_runtime(evaluate)
    add_precision(evaluate)
    evaluate.add_argument("--json", type=Path, metavar="OUT.json", help="all figures and curves to write")
    evaluate.add_argument("--report", type=Path, metavar="OUT.html", help="page to write: curves, tables, pictures")
    evaluate.add_argument(
        "--pictures", type=int, default=8, metavar="N", help="misses, and false alarms, that it shows of frames"
    )
    evaluate.add_argument(
        "--no-pictures", dest="pictures", action="store_const", const=0, help="keep pictures of patients out of it"
    )
    evaluate.add_argument("--coco", type=Path, metavar="DIR", help="folder for truth and detections as COCO JSON")
    evaluate.set_defaults(command=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from train.evaluation.job import EvaluateSettings, run_evaluation
    from train.evaluation.report_tables import summary_lines

    settings = EvaluateSettings(
        models=(arguments.model, *arguments.compare),
        data=tuple(arguments.data),
        split=arguments.split,
        threshold=arguments.threshold,
        runtime=arguments.runtime,
        precision=arguments.precision,
        json=arguments.json,
        report=arguments.report,
        pictures=arguments.pictures,
        coco=arguments.coco,
        labels=labels_of(arguments),
    )
    for model in run_evaluation(settings).models:
        say(*summary_lines(model))
    return 0
