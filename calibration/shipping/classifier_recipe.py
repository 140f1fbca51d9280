"""The recipe of picture classifiers: from a folder of class folders to a calibrated bundle and what it is worth."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from calibration.scores.class_scores import fit_class_calibration
from calibration.shipping.cross_validation import cross_validate, figures_of, threshold_of, train_on
from engine.bundle import ModelBundle
from engine.conversion.fp16 import store_in_half
from engine.files import make_folder, write_text
from engine.text.printing import markdown_code, markdown_text
from train.data.class_folders import FEW_PICTURES, ClassFolders, read_class_folders
from train.export.classifier import bundle_classifier
from train.windows.checkpoint import load_classifier
from train.windows.fit import WindowFitSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClassifierRecipe:
    """What a picture classifier is made of.

    Attributes:
        data: folder with a sub-folder of pictures for each class.
        folder: of the run: checkpoints, features, `cross_validation.json`, bundle.
        name: of the model.
        fit: how each network is trained; all its epochs are done.
        folds: of the cross-validation, 3 or more.
        views: how often each picture is learned from, varied, where blocks are frozen.
        feature_cache: folder for features of frozen blocks, to be shared by runs; the run's own when None.
        notes: what the model card has to say beyond figures.
        resume: take up the trainings that are in the folder, where their settings and pictures were just these.
    """

    data: Path
    folder: Path
    name: str = "classes"
    fit: WindowFitSettings = field(default_factory=WindowFitSettings)
    folds: int = 5
    views: int = 6
    feature_cache: Path | None = None
    notes: tuple[str, ...] = ()
    resume: bool = False


@dataclass(frozen=True, slots=True)
class ClassifierResult:
    """A bundle, its cross-validated figures, and what has to be said about the pictures it was made of."""

    bundle: ModelBundle
    figures: Mapping[str, Any]
    remarks: tuple[str, ...]


def train_classifier(recipe: ClassifierRecipe) -> ClassifierResult:
    """Cross-validates, then trains on everything, calibrates, exports and writes the bundle.

    Raises:
        InputError: pictures or weights that cannot be used.
        OutputError: the folder cannot be made.
        RunError: a training failed.
        WriteError: the disk is full.
    """
    data = read_class_folders(recipe.data, size=recipe.fit.input_px)
    remarks = (*data.problems, *_doubts(data))
    for remark in remarks:
        log.warning("%s", remark)
    make_folder(recipe.folder)
    write_text(recipe.folder / "recipe.json", json.dumps(asdict(recipe), indent=2, default=str))
    cache = recipe.feature_cache or recipe.folder / "features"
    judged = cross_validate(
        recipe.fit,
        data,
        recipe.folder,
        folds=recipe.folds,
        views=recipe.views,
        feature_cache=cache,
        resume=recipe.resume,
    )
    figures = {"folds": recipe.folds, **figures_of(judged, data)}
    names = sorted(set(data.subsets) - {""})
    subsets = np.array(data.subsets)
    figures["subsets"] = {name: figures_of(judged, data, subsets == name) for name in names}
    text = json.dumps({"figures": figures, "pictures": _answers(data, judged.probabilities, judged.folds)}, indent=2)
    write_text(recipe.folder / "cross_validation.json", text + "\n")
    # Every picture was answered by a network that had not seen it: together they calibrate the one that saw all.
    labels = data.windows.labels
    calibration = fit_class_calibration(judged.logits, labels)
    fit = train_on(
        recipe.fit,
        data,
        np.ones(len(labels), bool),
        recipe.folder / "all",
        views=recipe.views,
        feature_cache=cache,
        resume=recipe.resume,
    )
    network, record = load_classifier(fit.checkpoint)
    facts: dict[str, Any] = {
        "licence": "research use; see the terms of the training data",
        "training": {
            "pictures": data.windows.counts(),
            "near_duplicate_groups": len(np.unique(data.groups)),
            "start": fit.start or "random weights",
            "notes": recipe.notes,
            "views": recipe.views,
            "settings": {key: value for key, value in record["settings"].items() if key != "weights"},
            "versions": {"python": platform.python_version(), "torch": version("torch")},
            **{key: value for key, value in data.record.items() if key != "view"},
        },
        "metrics": {"cross_validation": figures},
    }
    if "view" in data.record:
        facts["view"] = data.record["view"]
    bundle = bundle_classifier(
        network,
        recipe.folder / recipe.name,
        name=recipe.name,
        input_px=recipe.fit.input_px,
        classes=data.windows.classes,
        shifts=calibration.shifts.tolist(),
        temperature=calibration.temperature,
        threshold=threshold_of(calibration.probabilities(judged.logits), labels),
        card=_card(recipe, figures, fit.start, (*recipe.notes, *remarks)),
        facts=facts,
    )
    return ClassifierResult(store_in_half(bundle), figures, remarks)


def figure_text(figure: Mapping[str, Any]) -> str:
    """A figure with its interval for people."""
    value, interval = figure["value"], figure["interval"]
    if value is None:
        return "unknown"
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else f"{value:.3f}"


def _doubts(data: ClassFolders) -> list[str]:
    """What a reader of the figures has to be told."""
    count = len(data.files)
    if count >= FEW_PICTURES:
        return []
    return [
        f"{count} pictures are few: the figures are cross-validated, but their intervals are wide, and what was "
        "learned may be how the pictures were taken; no conclusion about other pictures can be drawn from them"
    ]


def _answers(data: ClassFolders, probabilities: Any, folds: Any) -> list[dict[str, Any]]:
    rows = zip(data.files, data.windows.labels, data.groups, data.subsets, folds, probabilities, strict=True)
    return [
        {
            "file": file,
            "class": data.windows.classes[label],
            "group": int(group),
            "subset": subset,
            "fold": int(fold),
            "probabilities": [round(float(value), 4) for value in row],
        }
        for file, label, group, subset, fold, row in rows
    ]


def _card(recipe: ClassifierRecipe, figures: Mapping[str, Any], start: str, remarks: tuple[str, ...]) -> str:
    counts = ", ".join(f"{count} {markdown_text(name)}" for name, count in figures["counts"].items())
    rows = [("all", figures), *figures["subsets"].items()]
    keys = [key for key in ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity") if key in figures]
    first = next(iter(figures["counts"]))
    lines = [
        f"# Model {markdown_code(recipe.name)}",
        "",
        f"A classifier of pictures (`{recipe.fit.network}`, {recipe.fit.input_px} pixels). **Research use only; not a",
        "medical device; no basis for any decision about a patient.**",
        "",
        f"Trained on {counts} ({figures['groups']} groups of pictures that are no near-duplicates of each other).",
        f"Start: {start or 'random weights'}.",
        "",
        f"Cross-validation, {figures['folds']} folds, groups never divided; 95 % intervals by bootstrap over groups.",
        "Calibration and threshold of each fold were chosen on other folds."
        + (f" Sensitivity is that for {markdown_text(first)}." if "sensitivity" in figures else ""),
        "",
        "| pictures | number | " + " | ".join(key.replace("_", " ") for key in keys) + " |",
        "|---" * (len(keys) + 2) + "|",
        *(
            f"| {markdown_text(name)} | {row['pictures']} | " + " | ".join(figure_text(row[key]) for key in keys) + " |"
            for name, row in rows
        ),
        "",
        f"Always naming the largest class gives an accuracy of {figures['majority_share']:.3f}.",
        "",
        *(f"- {markdown_text(remark)}" for remark in remarks),
    ]
    return "\n".join(lines).rstrip() + "\n"
