"""`polypstream train`: every recipe, from data to a bundle with its operating point."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from engine.command_line import Commands, new_parser
from engine.console.output import say
from engine.errors import InputError
from engine.files import claim_folder
from train.data.label_reading import add_labels

_TRAIN_EXAMPLES = """examples:
  polypstream train --data cvc-clinicdb kvasir-seg --output runs/first
  polypstream train --data cvc-clinicdb kvasir-seg --output runs/first --resume      after it was cut off
  polypstream train --preset nano --data cvc-clinicdb --output runs/nano --set fit.mixture.negatives=0.3
  polypstream train --config runs/first/recipe.json --start-from runs/first/best.pt --output runs/second
  polypstream train --data mine --start-from polyp --output runs/mine     the shipped model goes on with your frames
  polypstream train --data cvc-clinicdb --output runs/search --search 20 --epochs 6
  polypstream train --join runs/first/best.pt runs/second/best.pt --mirror sideways --data cvc-clinicdb kvasir-seg \\
                    --output runs/joined       the mean of two detectors, each on a picture and its mirror image
  polypstream train --join runs/first/best.pt runs/third/best.pt --mean weights --data cvc-clinicdb kvasir-seg \\
                    --output runs/mean         the mean of their weights: one detector, at the cost of one
  polypstream train --config runs/first/recipe.json --start-from runs/first/best.pt --teacher runs/joined/polyp \\
                    --output runs/taught       what the joined detectors know, in one of them
  polypstream train --task windows --network cnn3 --data windows --output runs/cnn3
  polypstream train --task windows --network vgg16 --weights vgg16-397923af.pth --train-blocks 1 --data windows \\
                    --output runs/vgg16        block 5 and the classifier fine-tuned
  polypstream train --task classify --data pictures --output runs/classes    a sub-folder of pictures for each class
  polypstream train --task classify --data lesions --output runs/lesion --weights runs/first/best.pt

A data set is a folder with images/ and masks/ (same names), or with non_polyp/.
"""

#: Options that only some tasks know.
_OPTIONS_OF = {
    ("detect",): (
        *("preset", "start_from", "teacher", "join", "mean", "mirror", "input", "synthetic", "device"),
        *("mask_polyp", "mask_orientation", "no_cache", "no_training_frames"),
    ),
    ("windows", "classify"): ("network", "weights", "train_blocks", "size", "features"),
    ("classify",): ("folds", "views", "note"),
    ("detect", "windows"): ("config", "set", "search", "patience"),
}
#: Options of a training, of which --join does none; and those of --join.
_OF_TRAINING = (
    *("preset", "config", "set", "search", "resume", "epochs", "patience", "seed"),
    *("start_from", "teacher", "synthetic", "device", "no_cache"),
)
_OF_JOINING = ("mean", "mirror", "input")


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    train = new_parser(
        commands,
        "train",
        common,
        help="train a detector from frames and masks",
        description="Trains the dense detector from data sets of frames and masks, or a window classifier from windows "
        "(`prepare patches`), or a classifier of pictures from a folder with a sub-folder for each class, "
        "and writes the bundle.",
        epilog=_TRAIN_EXAMPLES,
    )
    train.add_argument("--task", choices=["detect", "windows", "classify"], default="detect", help="kind of model")
    train.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="data sets, or one folder of windows or classes",
    )
    train.add_argument("--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    train.add_argument("--name", help="name of the model (default: polyp; the network's with --task windows)")
    train.add_argument(
        "--epochs", type=int, metavar="N", help="default: the preset's (base: 18); 20 for windows, 15 to classify"
    )
    train.add_argument("--patience", type=int, metavar="N", help="epochs without progress (default: 10; 6 for windows)")
    train.add_argument("--seed", type=int, help="of weights, order and variation (default: 1)")
    train.add_argument("--resume", action="store_true", help="go on from the last finished epoch or trial")
    train.add_argument("--config", type=Path, metavar="FILE", help="settings (YAML or JSON), as recipe.json of a run")
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in fit.rate=1e-3; may repeat"
    )
    train.add_argument("--search", type=int, metavar="N", help="try N sets of hyper-parameters, instead of one run")
    dense = train.add_argument_group("detector (--task detect)")
    add_labels(dense)
    dense.add_argument("--preset", default="base", metavar="NAME", help="by cost: nano, small, base (default)")
    dense.add_argument(
        "--start-from", type=Path, metavar="FILE|MODEL", help="checkpoint of an earlier run, or a model, to train on"
    )
    dense.add_argument(
        "--teacher",
        type=Path,
        metavar="MODEL",
        help="model whose answers are learnt beside the labels, as one of --join",
    )
    dense.add_argument(
        "--join",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="train nothing: make one model of the checkpoints of finished runs, which gives the mean of their answers",
    )
    dense.add_argument(
        "--mean",
        choices=["answers", "weights"],
        default="answers",
        help="with --join: mean of what; of weights costs no more than one run (which must have begun with the same "
        "weights: one --seed, or --start-from one checkpoint)",
    )
    dense.add_argument(
        "--mirror",
        choices=["none", "sideways", "all"],
        default="none",
        help="with --join: mirror images to look at beside the picture; sideways costs twice, all four times as much",
    )
    dense.add_argument(
        "--input", metavar="WxH", help="with --join: pixels of its input (default: those its detectors were trained at)"
    )
    dense.add_argument("--synthetic", type=int, metavar="N", help="rendered frames to mix in (default: 1200)")
    dense.add_argument("--device", metavar="NAME", help="auto (an NVIDIA GPU, if there is one; default), cpu, cuda")
    dense.add_argument(
        "--no-cache", action="store_true", help="keep no frames in the run's folder (else they stay in cache/)"
    )
    dense.add_argument(
        "--no-training-frames",
        action="store_true",
        help="list no hashes of the training frames in the bundle; `calibrate` can then no longer refuse such frames",
    )
    windows = train.add_argument_group("classifiers (--task windows or classify)")
    windows.add_argument(
        "--network",
        metavar="NAME",
        help="cnn1, cnn2, cnn3, vgg16, ... or timm:NAME (default: cnn3; efficientnet_lite0_map with --task classify)",
    )
    windows.add_argument("--weights", type=Path, metavar="FILE", help="state dictionary to start from")
    windows.add_argument(
        "--train-blocks",
        metavar="N",
        help="all, 0 (classifier only), or the last 1, 2, ... blocks (default: all; 0 with --task classify)",
    )
    windows.add_argument("--size", type=int, metavar="PX", help="side of the input (default: 150; 192 to classify)")
    windows.add_argument("--features", type=Path, metavar="DIR", help="folder for features of frozen blocks, to share")
    classify = train.add_argument_group("classifiers of pictures (--task classify)")
    classify.add_argument("--folds", type=int, default=5, metavar="N", help="of the cross-validation (default: 5)")
    classify.add_argument("--views", type=int, default=6, metavar="N", help="of each picture, varied (default: 6)")
    classify.add_argument("--note", action="append", default=[], metavar="TEXT", help="line for the model card")
    train.set_defaults(command=partial(_train, train.get_default))


def _train(default_of: Callable[[str], object], arguments: argparse.Namespace) -> int:
    for tasks, names in _OPTIONS_OF.items():
        given = _given(names, default_of, arguments)
        if given and arguments.task not in tasks:
            raise InputError(f"--task {arguments.task} does not know {given} (only {', '.join(tasks)}); leave it out")
    given = _given(_OF_JOINING if arguments.join is None else _OF_TRAINING, default_of, arguments)
    if given and arguments.join is None:
        raise InputError(f"{given} needs --join FILE: it makes a model of finished runs")
    if given:
        raise InputError(f"--join trains nothing; leave out {given}")
    tasks_of = {"windows": _train_windows, "classify": _train_classifier}
    try:  # imported here: training needs torch, everything else does not
        with claim_folder(arguments.output):
            return tasks_of.get(arguments.task, _train_detector)(arguments)
    except ImportError as error:
        raise InputError(f"training needs more packages ({error}): pip install 'polypstream[train]'") from error


def _given(names: Sequence[str], default_of: Callable[[str], object], arguments: argparse.Namespace) -> str:
    """Those of the options that were given, as they are written; empty where there is none."""
    given = [name for name in names if getattr(arguments, name) != default_of(name)]
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)


def _train_detector(arguments: argparse.Namespace) -> int:
    from calibration.shipping.shipping import bundle_checkpoint
    from calibration.shipping.train_recipes import dense_recipe
    from train.dense.recipe import train_dense
    from train.search.recipes import search_dense
    from train.search.search import table_text

    if arguments.join is not None:
        return _join(arguments)
    recipe = dense_recipe(arguments)
    if arguments.search is not None:
        say(*table_text(search_dense(recipe, trials=arguments.search)).splitlines())
        say(f"finished: the best settings stand in {recipe.folder / 'best.json'}, for --config")
        return 0
    bundle = bundle_checkpoint(recipe, train_dense(recipe))
    say(f"finished: threshold {bundle.threshold}; {bundle.folder}")
    return 0


def _join(arguments: argparse.Namespace) -> int:
    from calibration.shipping.joining import bundle_joined
    from calibration.shipping.train_recipes import join_recipe

    bundle = bundle_joined(join_recipe(arguments))
    say(f"finished: threshold {bundle.threshold}; {bundle.folder}")
    return 0


def _train_windows(arguments: argparse.Namespace) -> int:
    from calibration.shipping.train_recipes import window_recipe
    from train.search.recipes import search_windows
    from train.search.search import table_text
    from train.windows.recipe import LEAKS, train_windows

    recipe = window_recipe(arguments)
    if arguments.search is not None:
        say(*table_text(search_windows(recipe, trials=arguments.search)).splitlines())
        say(f"finished: the best settings stand in {recipe.folder / 'best.json'}, for --config")
        return 0
    result = train_windows(recipe)
    figures = result.fit.figures
    say(
        f"finished: epoch {result.fit.epoch}, validation accuracy {figures['accuracy']:.4f}, balanced "
        f"{figures['balanced_accuracy']:.4f}; threshold {result.bundle.threshold}; {result.bundle.folder}"
    )
    if result.leaks:
        say(LEAKS)
    return 0


def _train_classifier(arguments: argparse.Namespace) -> int:
    from calibration.shipping.classifier_recipe import ClassifierRecipe, figure_text, train_classifier
    from train.windows.fit import WindowFitSettings

    network = arguments.network or "efficientnet_lite0_map"
    blocks = _trained_blocks(arguments.train_blocks or "0")
    weights = arguments.weights or (_published_weights(network) if blocks is not None else None)
    epochs = 15 if arguments.epochs is None else arguments.epochs
    recipe = ClassifierRecipe(
        data=_only_folder(arguments),
        folder=arguments.output,
        name=arguments.name or "classes",
        fit=WindowFitSettings(
            network=network,
            input_px=192 if arguments.size is None else arguments.size,
            trained_blocks=blocks,
            weights=weights,
            epochs=epochs,
            patience=epochs,
            rate=3e-3 if blocks == 0 else 1e-3,
            balance=True,
            seed=1 if arguments.seed is None else arguments.seed,
        ),
        folds=arguments.folds,
        views=arguments.views,
        feature_cache=arguments.features,
        notes=tuple(arguments.note),
        resume=arguments.resume,
    )
    result = train_classifier(recipe)
    for remark in result.remarks:
        say(f"note: {remark}")
    told = [
        f"{key.replace('_', ' ')} {figure_text(result.figures[key])}"
        for key in ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity")
        if key in result.figures
    ]
    say(f"finished: {recipe.folds} folds: {', '.join(told)}; {result.bundle.folder}")
    return 0


def _published_weights(network: str) -> Path | None:
    """The ImageNet weights that the `train` extra brings; None for networks whose weights have to be given."""
    from train.dense.recipe import imagenet_weights

    if not network.startswith("efficientnet_"):
        return None
    return imagenet_weights(network.removeprefix("efficientnet_").removesuffix("_map"))


def _only_folder(arguments: argparse.Namespace) -> Path:
    folders: list[Path] = arguments.data or []
    if len(folders) != 1:
        raise InputError(f"--task {arguments.task} takes one folder with --data. Received: {len(folders)}")
    return folders[0]


def _trained_blocks(text: str) -> int | None:
    if text != "all" and not text.isdigit():
        raise InputError(f"--train-blocks must be all or a number from 0. Received: {text!r}")
    return None if text == "all" else int(text)
