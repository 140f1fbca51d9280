"""The recipe of window classifiers, from a folder of windows to a bundle with the strategy `windows`."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.bundle import ModelBundle
from engine.files import make_folder, write_text
from engine.text.printing import markdown_code
from engine.windows.sliding import SlidingGrid
from train.data.datasets import Split
from train.data.windows import read_windows
from train.export.windows import bundle_windows
from train.run.output_folder import refuse_run
from train.windows.checkpoint import load_classifier
from train.windows.fit import WindowFit, WindowFitSettings, earlier_run, fit_windows

#: What is said wherever a figure of a leaking split is given.
LEAKS = "split at random by window: IT LEAKS (neighbouring frames stand on both sides); the figures flatter"


@dataclass(frozen=True, slots=True)
class WindowRecipe:
    """What a window classifier is made of.

    Attributes:
        data: folder of windows, as `polypstream prepare patches` writes it.
        folder: of the run: checkpoints, log, curves, bundle.
        name: of the model.
        fit: how it is trained.
        sliding: windows that a detector made of it looks at.
        resume: go on from the last finished epoch.
        feature_cache: folder for features of frozen blocks, to be shared by runs; the run's own when None.
    """

    data: Path
    folder: Path
    name: str = "windows"
    fit: WindowFitSettings = field(default_factory=WindowFitSettings)
    sliding: SlidingGrid = field(default_factory=SlidingGrid)
    resume: bool = False
    feature_cache: Path | None = None


@dataclass(frozen=True, slots=True)
class WindowResult:
    """A bundle, what its network is worth on the validation windows, and whether that figure leaks (None: unknown)."""

    bundle: ModelBundle
    fit: WindowFit
    leaks: bool | None


def train_windows(recipe: WindowRecipe) -> WindowResult:
    """Runs the recipe: trains, exports, writes the bundle.

    Raises:
        InputError: windows, weights or a checkpoint that cannot be used.
        OutputError: the folder holds a run that is not to go on, or cannot be made.
        RunError: the training failed; its checkpoints are kept and `resume` goes on from the last.
        WriteError: the disk is full.
    """
    if not recipe.resume:
        refuse_run(recipe.folder)
    training = read_windows(recipe.data, Split.TRAIN, size=recipe.fit.input_px)
    validation = read_windows(recipe.data, Split.VALIDATION, size=recipe.fit.input_px)
    material = training.digest()
    if recipe.resume and (last := recipe.folder / "last.pt").is_file():
        earlier_run(recipe.fit, last, material=material)  # before anything of it is written over
    make_folder(recipe.folder)
    write_text(recipe.folder / "recipe.json", json.dumps(asdict(recipe), indent=2, default=str))
    fit = fit_windows(
        recipe.fit,
        training,
        validation,
        recipe.folder,
        feature_cache=recipe.feature_cache,
        material=material,
        resume=recipe.resume,
    )
    network, record = load_classifier(fit.checkpoint)
    # One half is right for a window; a field of view holds so many that normal ones must stay below more surely.
    threshold = min(max(0.5, fit.figures["quiet_threshold"]), 0.99)
    facts: dict[str, Any] = {
        "licence": "research use; see the terms of the training data",
        "training": {
            "windows": {"train": training.counts(), "validation": validation.counts()},
            "split": _split_text(training.leaks),
            "leaks": training.leaks,
            "epoch": fit.epoch,
            "start": fit.start or "random weights",
            "settings": record["settings"],
            "versions": {"python": platform.python_version(), "torch": version("torch")},
        },
        "metrics": {"validation_windows": fit.figures},
    }
    bundle = bundle_windows(
        network,
        recipe.folder / recipe.name,
        name=recipe.name,
        input_px=recipe.fit.input_px,
        classes=training.classes,
        sliding=recipe.sliding,
        threshold=threshold,
        card=_card(recipe, fit, training.leaks),
        facts=facts,
    )
    return WindowResult(bundle, fit, training.leaks)


def _split_text(leaks: bool | None) -> str:
    if leaks is None:
        return "unknown: the windows came without a manifest"
    return LEAKS if leaks else "no sequence or listed file stands on two sides"


def _card(recipe: WindowRecipe, fit: WindowFit, leaks: bool | None) -> str:
    figures = fit.figures
    return "\n".join(
        [
            f"# Model {markdown_code(recipe.name)}",
            "",
            f"A window classifier (`{recipe.fit.network}`, {recipe.fit.input_px} pixels) that is slid over the field",
            "of view. **Research use only; not a medical device.**",
            "",
            f"Validation windows: accuracy {figures['accuracy']:.4f}, balanced accuracy "
            f"{figures['balanced_accuracy']:.4f}; always naming the largest class gives "
            f"{figures['majority_share']:.4f}. The best epoch was chosen on these windows.",
            "",
            f"Split: {_split_text(leaks)}.",
            "",
            f"Start: {fit.start or 'random weights'}.",
            "",
        ]
    )
