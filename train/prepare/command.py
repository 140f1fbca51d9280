"""`polypstream prepare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.command_line import Commands, Options, add_threshold, new_parser
from engine.console.output import say
from engine.errors import InputError
from train.data.label_reading import add_labels, labels_of
from train.labels.command import add_export, add_import
from train.selection.command import add_select

_PATCHES_EXAMPLES = """examples:
  polypstream prepare patches --data cvc-clinicdb --output windows
  polypstream prepare patches --data cvc-clinicdb --output leaking --split random      to compare with older papers only
"""

_LESIONS_EXAMPLES = """examples:
  polypstream prepare lesions --data bkai-neopolyp --output lesions
  polypstream train --task classify --data lesions --output runs/lesion --name lesion
"""

_HARD_NEGATIVES_EXAMPLES = """examples:
  polypstream prepare hard-negatives runs/first/best.pt --data cvc-clinicdb normal.mp4 --output mined
  polypstream train --data cvc-clinicdb mined --start-from runs/first/best.pt --output runs/second
"""

_WEAK_LABELS_EXAMPLES = """examples:
  polypstream prepare weak-labels polyp --data frames_with_polyps --output weak
  polypstream prepare weak-labels runs/first/best.pt --data cp-child/polyp polyp.mp4 --output weak --least 0.2
  polypstream train --data cvc-clinicdb weak --start-from runs/first/best.pt --output runs/second
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    prepare = commands.add_parser("prepare", help="make training material from data sets")
    materials = prepare.add_subparsers(metavar="WHAT", required=True)
    patches = new_parser(
        materials,
        "patches",
        common,
        help="windows with and without polyps, cut from frames and masks",
        description="Cuts windows with and without polyps from frames and masks; margins are found and left out.",
        epilog=_PATCHES_EXAMPLES,
    )
    patches.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data sets with masks")
    patches.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    patches.add_argument("--size", type=int, default=150, metavar="PX", help="side of the windows (default: 150)")
    patches.add_argument("--context", type=float, default=0.15, metavar="SHARE", help="around a polyp (default: 0.15)")
    patches.add_argument("--negatives-per-frame", type=int, default=4, metavar="N", help="at most (default: 4)")
    patches.add_argument(
        "--split", choices=["sequence", "files", "random"], default="sequence", help="random leaks (default: sequence)"
    )
    patches.add_argument("--seed", type=int, default=1, help="of places and of a random split (default: 1)")
    patches.add_argument("--jpeg", action="store_true", help="write JPEG instead of PNG")
    add_labels(patches)
    patches.set_defaults(command=_prepare_patches)
    clean = new_parser(
        materials,
        "clean",
        common,
        help="remove the frames that training runs keep",
        description="Removes cache/ and features/ of runs: frames of patients, and what was computed of them. "
        "Checkpoints, settings and bundles stay; a run that goes on reads its data sets anew.",
        epilog="examples:\n  polypstream prepare clean runs/first runs/second\n",
    )
    clean.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    clean.set_defaults(command=_clean)
    add_import(materials, common)
    add_export(materials, common)
    add_select(materials, common)
    _add_hard_negatives(materials, common)
    _add_weak_labels(materials, common)
    lesions = new_parser(
        materials,
        "lesions",
        common,
        help="lesions cut from frames whose masks name classes",
        description="Cuts every lesion with some of its surroundings into a sub-folder for its class, for `train "
        "--task classify`. Lesions of near-duplicate frames are marked as belonging together.",
        epilog=_LESIONS_EXAMPLES,
    )
    lesions.add_argument("--data", type=Path, required=True, metavar="DIR", help="data set with images/ and classes/")
    lesions.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    lesions.add_argument(
        "--classes",
        nargs="+",
        default=["neoplastic", "non_neoplastic"],
        metavar="NAME",
        help="of the numbers 1, 2, ... in classes/ (default: neoplastic non_neoplastic)",
    )
    lesions.add_argument("--context", type=float, default=1.6, metavar="N", help="side in lesion sizes (default: 1.6)")
    lesions.add_argument("--size", type=int, default=224, metavar="PX", help="side of the pictures (default: 224)")
    add_labels(lesions, polyp=False)
    lesions.set_defaults(command=_prepare_lesions)


def _add_trained_model(options: Options) -> None:
    options.add_argument("model", metavar="MODEL", help="shipped model, bundle, or checkpoint (best.pt)")


def _add_spacing(options: Options) -> None:
    options.add_argument(
        "--spacing", type=float, default=0.5, metavar="S", help="seconds between frames of a video (default: 0.5)"
    )


def _clean(arguments: argparse.Namespace) -> int:
    from train.run.output_folder import clean_run

    for run in arguments.runs:
        removed = clean_run(run)
        say(f"{run}: removed {', '.join(f'{one.name}/' for one in removed) or 'nothing'}")
    return 0


def _add_hard_negatives(materials: Commands, common: argparse.ArgumentParser) -> None:
    negatives = new_parser(
        materials,
        "hard-negatives",
        common,
        help="false alarms of a detector, as negatives to train on",
        description="Runs a detector over training frames and over videos without polyps, and writes what it takes for "
        "a polyp where there is none as a data set that `train --data` takes.",
        epilog=_HARD_NEGATIVES_EXAMPLES,
    )
    _add_trained_model(negatives)
    negatives.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="PATH", help="data sets; videos or folders without polyp"
    )
    negatives.add_argument("--output", type=Path, required=True, metavar="DIR", help="data set to write")
    add_threshold(negatives, use="count")
    add_labels(negatives)
    _add_spacing(negatives)
    negatives.set_defaults(command=_prepare_hard_negatives)


def _add_weak_labels(materials: Commands, common: argparse.ArgumentParser) -> None:
    labels = new_parser(
        materials,
        "weak-labels",
        common,
        help="polyps outlined by a detector in frames that are known to show one",
        description="Outlines polyps in pictures and videos that are known to show one, and writes them as a data set "
        "that `train --data` takes, with a sheet of all outlines to look through.",
        epilog=_WEAK_LABELS_EXAMPLES,
    )
    _add_trained_model(labels)
    labels.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="PATH", help="pictures, folders, videos with polyps"
    )
    labels.add_argument("--output", type=Path, required=True, metavar="DIR", help="data set to write")
    labels.add_argument(
        "--least", type=float, default=0.3, metavar="P", help="score from which the surest place is it (default: 0.3)"
    )
    labels.add_argument(
        "--sure", type=float, default=0.5, metavar="P", help="score from which it is a further polyp (default: 0.5)"
    )
    _add_spacing(labels)
    labels.set_defaults(command=_prepare_weak_labels)


def _prepare_weak_labels(arguments: argparse.Namespace) -> int:
    try:
        from train.prepare.weak_labels import WeakLabelSettings, label_frames
    except ImportError as error:
        raise InputError(f"this needs more packages ({error}): pip install 'polypstream[train]'") from error
    settings = WeakLabelSettings(arguments.least, arguments.sure, arguments.spacing)
    say(label_frames(arguments.model, arguments.data, arguments.output, settings).text())
    return 0


def _prepare_hard_negatives(arguments: argparse.Namespace) -> int:
    try:
        from train.prepare.mining import MiningSettings, mine
    except ImportError as error:
        raise InputError(f"this needs more packages ({error}): pip install 'polypstream[train]'") from error
    settings = MiningSettings(threshold=arguments.threshold, spacing_s=arguments.spacing, labels=labels_of(arguments))
    say(mine(arguments.model, arguments.data, arguments.output, settings).text())
    return 0


def _prepare_lesions(arguments: argparse.Namespace) -> int:
    from train.prepare.lesions import LesionSettings, prepare_lesions

    settings = LesionSettings(
        tuple(arguments.classes), context=arguments.context, size=arguments.size, labels=labels_of(arguments)
    )
    counts = prepare_lesions(arguments.data, arguments.output, settings)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    say(f"finished: lesions: {told}; {arguments.output}")
    return 0


def _prepare_patches(arguments: argparse.Namespace) -> int:
    from train.prepare.patches import PatchSettings, SplitKind, prepare_patches

    settings = PatchSettings(
        size=arguments.size,
        context=arguments.context,
        negatives_per_frame=arguments.negatives_per_frame,
        split=SplitKind(arguments.split),
        seed=arguments.seed,
        jpeg=arguments.jpeg,
        labels=labels_of(arguments),
    )
    say(*prepare_patches(arguments.data, arguments.output, settings).text().splitlines())
    return 0
