"""`polypstream classify`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command_line import Commands, add_model, add_overwrite, add_runtime, counted, new_parser
from engine.console.output import ReaderGoneError, say

if TYPE_CHECKING:
    from stream.classification.job import NamedPicture

_EXAMPLES = """examples:
  polypstream classify lesion.jpg --heatmap where.png
  polypstream classify frames/ --find --json lesions.jsonl        every polyp that the detector finds in whole frames
  polypstream classify pictures/ --model runs/classes/classes     a model of `polypstream train --task classify`

The shipped model `lesion` takes close-ups of one polyp; with --find it takes whole frames. Videos: `detect --classify`.
Research software, not a medical device: no decision about a patient may rest on its answers.

exit status: 0 done, 1 a fault midway, 2 wrong usage or unusable input, 130 interrupted
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    classify = new_parser(
        commands,
        "classify",
        common,
        help="say of pictures of lesions what kind they are",
        description="Names pictures, or the polyps found in them, and shows the probability of each class.",
        epilog=_EXAMPLES,
    )
    classify.add_argument("source", metavar="IMAGE_OR_FOLDER", help="picture (all its pages), or folder of pictures")
    add_model(classify, default="lesion", what="classifier")
    classify.add_argument(
        "--find", nargs="?", const="polyp", metavar="DETECTOR", help="find the polyps first (default: by model polyp)"
    )
    classify.add_argument(
        "--heatmap", type=Path, metavar="OUT", help="where the model looked: picture, or folder for a folder"
    )
    classify.add_argument("--json", type=Path, metavar="OUT.jsonl", help="one line of JSON for each result to write")
    add_runtime(classify)
    add_overwrite(classify)
    classify.set_defaults(command=_classify)


def _classify(arguments: argparse.Namespace) -> int:
    from stream.classification.job import ClassifySettings, classify_pictures

    settings = ClassifySettings(
        source=arguments.source,
        model=arguments.model,
        find=arguments.find,
        heat_map=arguments.heatmap,
        json=arguments.json,
        runtime=arguments.runtime,
        overwrite=arguments.overwrite,
    )
    rows: list[NamedPicture] = []

    def on_named(one: NamedPicture) -> None:
        heard = say(*([] if rows else [_header(one)]), _row(one))
        rows.append(one)
        if not heard and arguments.json is None and arguments.heatmap is None:
            raise ReaderGoneError

    result = classify_pictures(settings, on_named=on_named)
    for number, what in (
        (result.problems.unreadable_pictures, "unreadable picture was left out"),
        (result.without, "picture shows no lesion that could be found"),
    ):
        if number:
            logging.warning("%s", f"{number} x {what}" if number > 1 else f"1 {what}")
    written = [path for path in (arguments.json, arguments.heatmap if result.heat_maps else None) if path is not None]
    say(f"finished: {counted(len(rows), 'result')}" + "".join(f"; {path}" for path in written))
    return 0


def _header(one: NamedPicture) -> str:
    columns = [f"{name[:16]:>16}" for name in one.answer.probabilities]
    return f"{'file':<32} {'class':<16} {' '.join(columns)}" + ("  box" if one.box_xyxy is not None else "")


def _row(one: NamedPicture) -> str:
    columns = [f"{value:>16.3f}" for value in one.answer.probabilities.values()]
    box = "" if one.box_xyxy is None else "  " + " ".join(f"{value:.0f}" for value in one.box_xyxy)
    file = one.file if one.page is None else f"{one.file}, page {one.page}"
    return f"{file:<32} {one.answer.named:<16} {' '.join(columns)}{box}"
