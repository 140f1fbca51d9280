"""The search for hyper-parameters of each recipe: what is shared by its trials is read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from train.data.datasets import Split
from train.data.windows import read_windows
from train.dense.recipe import DenseRecipe, as_labelled, fit_recipe, gather_recipe
from train.search.search import DENSE_SPACE, WINDOW_SPACE, Report, TrialRow, search
from train.windows.fit import fit_windows
from train.windows.recipe import WindowRecipe


def search_dense(recipe: DenseRecipe, *, trials: int) -> list[TrialRow]:
    """Searches for the highest centroid F1 on validation frames.

    Raises:
        InputError: data or settings that cannot be used, or the folder holds a search and `resume` is off.
        RunError: every trial failed.
    """
    recipe = as_labelled(recipe)
    material = gather_recipe(recipe)

    def run(one: DenseRecipe, report: Report) -> None:
        def on_epoch(epoch: int, figures: Mapping[str, Any]) -> None:
            report(epoch, float(figures["f1"]))

        fit_recipe(one, material, on_epoch=on_epoch)

    return search(recipe, DENSE_SPACE, run, trials=trials, seed=recipe.fit.seed, resume=recipe.resume)


def search_windows(recipe: WindowRecipe, *, trials: int) -> list[TrialRow]:
    """Searches for the highest balanced accuracy on validation windows.

    Raises:
        InputError: windows or settings that cannot be used, or the folder holds a search and `resume` is off.
        RunError: every trial failed.
    """
    training = read_windows(recipe.data, Split.TRAIN, size=recipe.fit.input_px)
    validation = read_windows(recipe.data, Split.VALIDATION, size=recipe.fit.input_px)
    features = recipe.feature_cache or recipe.folder / "features"

    def run(one: WindowRecipe, report: Report) -> None:
        def on_epoch(epoch: int, figures: Mapping[str, Any]) -> None:
            report(epoch, float(figures["balanced_accuracy"]))

        fit_windows(one.fit, training, validation, one.folder, feature_cache=features, on_epoch=on_epoch)

    # Features of frozen blocks are the same for all trials.
    kept = replace(recipe, feature_cache=features)
    return search(kept, WINDOW_SPACE, run, trials=trials, seed=recipe.fit.seed, resume=recipe.resume)
