"""From a checkpoint to the bundle that ships: exported, judged as it will run, its operating point chosen and told."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calibration.operating_point import OperatingPoint, choose_threshold
from engine.bundle import ModelBundle
from stream.detector import Detector
from train.bundle_dense import bundle_dense
from train.datasets import Sample, Split, read_datasets, refuse_test_only
from train.evaluate import evaluate_stills
from train.fit_dense import load_network
from train.recipe_dense import DenseRecipe


def bundle_checkpoint(recipe: DenseRecipe, checkpoint: Path, *, least_quiet_share: float = 0.95) -> ModelBundle:
    """Writes the bundle of a checkpoint, into the run's folder under the model's name.

    Args:
        recipe: that the checkpoint was made by; the threshold is chosen on the validation frames of its data sets.
        checkpoint: `best.pt` of the run.
        least_quiet_share: share of validation frames without polyp that the threshold must leave quiet.

    Raises:
        InputError: no threshold keeps that share, or the data cannot be used.
        RunError: the exported network answers otherwise than torch.
    """
    training = read_datasets(recipe.data, split=Split.TRAIN)
    validation = read_datasets(recipe.data, split=Split.VALIDATION)
    refuse_test_only([*training, *validation])
    network, record = load_network(checkpoint)
    folder = recipe.folder / recipe.name
    input_wh = recipe.fit.input_wh
    facts: dict[str, Any] = {"licence": "Apache-2.0"}
    bundle_dense(network, folder, name=recipe.name, input_wh=input_wh, threshold=0.5, card="", facts=facts)
    with Detector.open(str(folder), threshold=0.0) as detector:
        result = evaluate_stills(detector, validation)
    point = choose_threshold(result.outcome, least_quiet_share=least_quiet_share)
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
        card=_card(recipe, point, least_quiet_share, training, validation),
        facts=facts,
    )


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for sample in samples:
        kind = "with_polyp" if sample.mask is not None else "without_polyp"
        row = counts.setdefault(sample.dataset, {})
        row[kind] = row.get(kind, 0) + 1
    return counts


def _card(
    recipe: DenseRecipe,
    point: OperatingPoint,
    least_quiet_share: float,
    training: Sequence[Sample],
    validation: Sequence[Sample],
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
            f"the thresholds that leave at least {least_quiet_share:.0%} of the validation frames without polyp "
            f"quiet ({point.quiet_share:.1%} at the chosen one).",
            "",
            "Trunk weights start from ImageNet (EfficientNet-Lite0, Apache-2.0).",
            "",
        ]
    )


def _cell(row: dict[str, int] | None) -> str:
    return f"{row.get('with_polyp', 0)} / {row.get('without_polyp', 0)}" if row else ""
