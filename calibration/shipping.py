"""From a checkpoint to the bundle that ships: exported, judged as it will run, calibrated, its threshold chosen."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calibration.alarm_rule import rehearsal_clips
from calibration.calibrating import CalibrationPlan, calibrate, write_calibrated
from calibration.calibration_data import write_training_frames
from engine.bundle import ModelBundle
from engine.precision import store_in_half
from train.bundle_dense import bundle_dense
from train.datasets import Sample
from train.evaluate import still_of_sample
from train.fit_dense import load_network
from train.material import training_samples
from train.recipe_dense import DenseRecipe


def bundle_checkpoint(
    recipe: DenseRecipe, checkpoint: Path, *, plan: CalibrationPlan | None = None, rehearse: bool = True
) -> ModelBundle:
    """Writes the bundle of a checkpoint, into the run's folder under the model's name.

    Args:
        recipe: that the checkpoint was made by; calibration and threshold are fitted on the validation frames of its
            data sets, the alarm rule on rendered clips.
        checkpoint: `best.pt` of the run.
        plan: what is fitted; by default the threshold with the highest F1 that leaves 95 % of the frames without polyp
            quiet.
        rehearse: whether an alarm rule is chosen on rendered clips, which takes minutes to render.

    Raises:
        InputError: too few validation frames, a goal out of reach, or data that cannot be used.
        RunError: the exported network answers otherwise than torch.
    """
    training, validation = training_samples(recipe.data)
    network, record = load_network(checkpoint)
    facts: dict[str, Any] = {
        "licence": "Apache-2.0",
        "training": {
            "data": _counts(training),
            "synthetic_frames": recipe.synthetic,
            "went_on_from": recipe.start_from.name if recipe.start_from else None,
            "transplanted_polyps": recipe.transplanted,
            "polyps_painted_over": recipe.erased,
            "terms": "trained on public research data sets; see each set's own terms",
            "split": "by sequence, file list, or group of neighbouring frames; cvc-colondb never used",
            "epoch": record["epoch"],
            "settings": asdict(recipe.fit),
            "versions": {"python": platform.python_version(), "torch": version("torch")},
        },
        "metrics": {"validation": {"data": _counts(validation)}},
    }
    bundle = bundle_dense(
        network,
        recipe.folder / recipe.name,
        name=recipe.name,
        input_wh=recipe.fit.input_wh,
        threshold=0.5,
        card=_card(recipe, training, validation),
        facts=facts,
    )
    bundle = store_in_half(bundle)  # before anything is measured
    write_training_frames(bundle.folder, training)
    plan = plan or CalibrationPlan(optional=True)
    clips = rehearsal_clips(recipe.folder / "clips") if rehearse else []
    found = calibrate(bundle, [still_of_sample(sample) for sample in validation], clips, plan=plan)
    return write_calibrated(bundle, found, bundle.folder)


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for sample in samples:
        kind = "with_polyp" if sample.mask is not None else "without_polyp"
        row = counts.setdefault(sample.dataset, {})
        row[kind] = row.get(kind, 0) + 1
    return counts


def _card(recipe: DenseRecipe, training: Sequence[Sample], validation: Sequence[Sample]) -> str:
    rows = [
        f"| {name} | {_cell(_counts(training).get(name))} | {_cell(_counts(validation).get(name))} |"
        for name in sorted(_counts(training) | _counts(validation))
    ]
    width, height = recipe.fit.input_wh
    evidence = recipe.fit.network.mask_evidence > 0
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
            *(["A window counts as far as its score and the polyp's mask there agree."] if evidence else []),
            "",
            "| data set | training frames (with / without polyp) | validation frames (with / without polyp) |",
            "|---|---|---|",
            *rows,
            f"| rendered colonoscopy | {recipe.synthetic} | |",
            *([f"| frames given another frame's polyp | {recipe.transplanted} | |"] if recipe.transplanted else []),
            *(["| frames whose polyp was painted over | as many as possible | |"] if recipe.erased else []),
            "",
            *([f"Went on from `{recipe.start_from.name}`, an earlier model.", ""] if recipe.start_from else []),
            f"Trunk weights start from ImageNet (EfficientNet-{recipe.fit.network.trunk.capitalize()}, Apache-2.0).",
            "",
        ]
    )


def _cell(row: dict[str, int] | None) -> str:
    return f"{row.get('with_polyp', 0)} / {row.get('without_polyp', 0)}" if row else ""
