"""From the options of `polypstream train` to recipes: a preset, over it a file, over that the options, then `--set`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from calibration.shipping.joining import JoinRecipe, Mean
from engine.errors import InputError
from train.data.label_reading import labels_of
from train.dense.presets import preset
from train.dense.recipe import DenseRecipe
from train.networks.ensemble import Mirror
from train.run.settings import read_assignments, read_settings, with_settings
from train.windows.recipe import WindowRecipe

T = TypeVar("T")


def dense_recipe(arguments: argparse.Namespace) -> DenseRecipe:
    """The recipe of `--task detect`.

    Raises:
        InputError: an unknown preset or setting, a value that does not fit, or no data.
    """
    options = {
        "data": arguments.data,
        "name": arguments.name,
        "synthetic": arguments.synthetic,
        "start_from": arguments.start_from,
        "teacher": arguments.teacher,
        "labels.polyp": arguments.mask_polyp,
        "labels.orientation": arguments.mask_orientation,
        "fit.epochs": arguments.epochs,
        "fit.patience": arguments.patience,
        "fit.seed": arguments.seed,
        "fit.device": arguments.device,
        "keep_frames": False if arguments.no_cache else None,
        "name_frames": False if arguments.no_training_frames else None,
    }
    start = DenseRecipe(data=(), folder=arguments.output, fit=preset(arguments.preset))
    return _checked(_applied(start, arguments, options))


def join_recipe(arguments: argparse.Namespace) -> JoinRecipe:
    """The recipe of `--join`.

    Raises:
        InputError: no data, or a size that no detector takes.
    """
    recipe = JoinRecipe(
        checkpoints=tuple(arguments.join),
        data=tuple(arguments.data or ()),
        folder=arguments.output,
        name=arguments.name or "polyp",
        mean=Mean(arguments.mean),
        mirror=Mirror(arguments.mirror),
        labels=labels_of(arguments),
        name_frames=not arguments.no_training_frames,
    )
    return _checked(recipe if arguments.input is None else with_settings(recipe, {"input_wh": arguments.input}))


def window_recipe(arguments: argparse.Namespace) -> WindowRecipe:
    """The recipe of `--task windows`.

    Raises:
        InputError: an unknown setting, a value that does not fit, or not one folder of windows.
    """
    given: list[Path] = arguments.data or []
    if len(given) > 1:
        raise InputError(f"--task windows takes one folder of windows. Received: {len(given)}")
    blocks: str | None = arguments.train_blocks
    if blocks is not None and blocks != "all" and not blocks.isdigit():
        raise InputError(f"--train-blocks must be all or a number from 0. Received: {blocks!r}")
    options = {
        "data": given[0] if given else None,
        "name": arguments.name,
        "feature_cache": arguments.features,
        "fit.network": arguments.network,
        "fit.input_px": arguments.size,
        "fit.trained_blocks": "none" if blocks == "all" else blocks,
        "fit.weights": arguments.weights,
        "fit.epochs": arguments.epochs,
        "fit.patience": arguments.patience,
        "fit.seed": arguments.seed,
    }
    recipe = _applied(WindowRecipe(data=Path(), folder=arguments.output, name=""), arguments, options)
    name = recipe.name or recipe.fit.network.replace(":", "-")
    return _checked(with_settings(recipe, {"name": name}))


def _applied(start: T, arguments: argparse.Namespace, options: Mapping[str, Any]) -> T:
    """The start with a file of settings, the options that were given, and assignments."""
    from_file = read_settings(arguments.config) if arguments.config is not None else {}
    # A file that an earlier run left names that run's folder; this one has its own.
    own = {"folder": arguments.output, "resume": arguments.resume}
    said = {key: value for key, value in options.items() if value is not None}
    return with_settings(start, from_file, {**said, **own}, read_assignments(arguments.set))


def _checked(recipe: T) -> T:
    if getattr(recipe, "data", None) in ((), Path()):
        raise InputError("no data were named; give --data DIR, or `data` in the file of --config")
    return recipe
