"""`polypstream train`: every recipe, from data to a bundle with its operating point."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.command_line import Commands
from engine.errors import InputError

_TRAIN_EXAMPLES = """examples:
  polypstream train --data cvc-clinicdb kvasir-seg --output runs/first
  polypstream train --data cvc-clinicdb kvasir-seg --output runs/first --resume      after it was cut off
  polypstream train --task windows --network cnn3 --data windows --output runs/cnn3
  polypstream train --task windows --network vgg16 --weights vgg16-397923af.pth --train-blocks 1 --data windows \\
                    --output runs/vgg16        block 5 and the classifier fine-tuned

A data set is a folder with images/ and masks/ (same names), or with non_polyp/.
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    train = commands.add_parser(
        "train",
        parents=[common],
        help="train a detector from frames and masks",
        description="Trains the dense detector from data sets of frames and masks, or a window classifier from windows "
        "(`prepare patches`), and writes the bundle.",
        epilog=_TRAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("--task", choices=["detect", "windows"], default="detect", help="kind of model")
    train.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="data sets, or one folder of windows"
    )
    train.add_argument("--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    train.add_argument("--name", help="name of the model (default: polyp; the network's with --task windows)")
    train.add_argument("--epochs", type=int, metavar="N", help="default: 18 of 200 batches each; 20 for windows")
    train.add_argument("--synthetic", type=int, default=1200, metavar="N", help="rendered frames to mix in")
    train.add_argument("--resume", action="store_true", help="go on from the last finished epoch")
    windows = train.add_argument_group("window classifiers (--task windows)")
    windows.add_argument("--network", default="cnn3", metavar="NAME", help="cnn1, cnn2, cnn3, vgg16, ... or timm:NAME")
    windows.add_argument("--weights", type=Path, metavar="FILE", help="state dictionary to start from")
    windows.add_argument(
        "--train-blocks", default="all", metavar="N", help="all, 0 (classifier only), or the last 1, 2, ... blocks"
    )
    windows.add_argument("--size", type=int, default=150, metavar="PX", help="side of the input (default: 150)")
    windows.add_argument("--features", type=Path, metavar="DIR", help="folder for features of frozen blocks, to share")
    windows.add_argument("--patience", type=int, default=6, metavar="N", help="epochs without progress (default: 6)")
    windows.add_argument("--seed", type=int, default=1, help="of weights, order and variation (default: 1)")
    train.set_defaults(command=_train)


def _train(arguments: argparse.Namespace) -> int:
    # Imported here: training needs torch, everything else does not.
    try:
        if arguments.task == "windows":
            return _train_windows(arguments)
        from calibration.shipping import bundle_checkpoint
        from train.fit_dense import FitSettings
        from train.recipe_dense import DenseRecipe, train_dense
    except ImportError as error:
        raise InputError(f"training needs more packages ({error}): pip install 'polypstream[train]'") from error
    recipe = DenseRecipe(
        data=tuple(arguments.data),
        folder=arguments.output,
        name=arguments.name or "polyp",
        synthetic=arguments.synthetic,
        fit=FitSettings(epochs=arguments.epochs or 18),
        resume=arguments.resume,
    )
    bundle = bundle_checkpoint(recipe, train_dense(recipe))
    print(f"finished: threshold {bundle.threshold}; {bundle.folder}")
    return 0


def _train_windows(arguments: argparse.Namespace) -> int:
    from train.fit_windows import WindowFitSettings
    from train.recipe_windows import LEAKS, WindowRecipe, train_windows

    if len(arguments.data) != 1:
        raise InputError(f"--task windows takes one folder of windows. Received: {len(arguments.data)}")
    blocks: str = arguments.train_blocks
    if blocks != "all" and not blocks.isdigit():
        raise InputError(f"--train-blocks must be all or a number from 0. Received: {blocks!r}")
    recipe = WindowRecipe(
        data=arguments.data[0],
        folder=arguments.output,
        name=arguments.name or arguments.network.replace(":", "-"),
        fit=WindowFitSettings(
            network=arguments.network,
            input_px=arguments.size,
            trained_blocks=None if blocks == "all" else int(blocks),
            weights=arguments.weights,
            epochs=arguments.epochs or 20,
            patience=arguments.patience,
            seed=arguments.seed,
        ),
        resume=arguments.resume,
        feature_cache=arguments.features,
    )
    result = train_windows(recipe)
    figures = result.fit.figures
    print(
        f"finished: epoch {result.fit.epoch}, validation accuracy {figures['accuracy']:.4f}, balanced "
        f"{figures['balanced_accuracy']:.4f}; threshold {result.bundle.threshold}; {result.bundle.folder}"
    )
    if result.leaks:
        print(LEAKS)
    return 0
