"""From a checkpoint to the bundle that ships: exported, judged as it will run, calibrated, its threshold chosen."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calibration.decisions.calibrating import CalibrationPlan, calibrate, write_calibrated
from calibration.decisions.data import write_training_frames
from calibration.decisions.time_rule import rehearsal_clips
from engine.bundle import ModelBundle
from engine.conversion.fp16 import store_in_half
from engine.text.printing import markdown_code, markdown_text
from train.augmentation.transplant import ERASED, TRANSPLANTED
from train.data.datasets import Sample
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.masks.check import mask_summaries
from train.dense.batches import RENDERED
from train.dense.checkpoint import load_network
from train.dense.material import training_samples
from train.dense.recipe import DenseRecipe
from train.export.dense import bundle_dense
from train.judging.stills import still_of_sample
from train.networks.dense import DenseDetector
from train.networks.ensemble import DenseEnsemble

#: Validation frames of which clips are made, for the rule over time.
_MOVED_STILLS = 120

_Counts = dict[str, dict[str, int]]

#: What a model card calls the frames that no data set holds.
_MIXED_IN = {
    RENDERED: "rendered colonoscopy",
    TRANSPLANTED: "frames given another frame's polyp",
    ERASED: "frames whose polyp was painted over",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A trained network and what its bundle says of it.

    Attributes:
        network: that is exported.
        input_wh: width and height of its input in pixels.
        data: folders of the data sets that it was trained on; their validation split is judged by.
        folder: gets the bundle, under the model's name.
        name: of the model.
        made: how it was trained, for `model.json`.
        shape: lines of the model card on the network.
        mixed_in: numbers of the frames that no data set holds, by how they were made (`FramePools.mixed_in`).
        origin: paragraphs of the model card on the models that it went on from or learnt from.
        trunks: whose ImageNet weights it started from.
        labels: what those of the data sets mean.
        name_frames: whether the bundle lists the hashes of the frames that it learnt from.
    """

    network: DenseDetector | DenseEnsemble
    input_wh: tuple[int, int]
    data: tuple[Path, ...]
    folder: Path
    name: str
    made: Mapping[str, Any]
    shape: tuple[str, ...]
    mixed_in: Mapping[str, int] = field(default_factory=dict)
    origin: tuple[str, ...] = ()
    trunks: tuple[str, ...] = ()
    labels: LabelReading = AS_USUAL
    name_frames: bool = True


def bundle_checkpoint(
    recipe: DenseRecipe, checkpoint: Path, *, plan: CalibrationPlan | None = None, rehearse: bool = True
) -> ModelBundle:
    """Writes the bundle of a checkpoint, into the run's folder under the model's name.

    Args:
        recipe: that the checkpoint was made by; calibration and threshold are fitted on the validation frames of its
            data sets, the rule over time on rendered clips and moved stills.
        checkpoint: `best.pt` of the run.
        plan: what is fitted; by default the threshold with the highest F1 that leaves 95 % of the frames without polyp
            quiet.
        rehearse: whether a rule over time is chosen on rendered clips and moved stills, which takes minutes.

    Raises:
        InputError: too few validation frames, a goal out of reach, or data that cannot be used.
        RunError: the exported network answers otherwise than torch.
    """
    network, record = load_network(checkpoint)
    fit = recipe.fit
    width, height = fit.input_wh
    evidence = "A window counts as far as its score and the polyp's mask there agree."
    shape = (
        f"{trunk_title(fit.network.trunk)} trunk, features at strides 8, 16, 32 mixed into "
        f"{fit.network.channels} channels, {width}x{height} pixels of the field of view.",
        *([evidence] if network.settings.mask_evidence else []),
    )
    draft = Draft(
        network,
        fit.input_wh,
        recipe.data,
        recipe.folder,
        recipe.name,
        made={
            "synthetic_frames": recipe.synthetic,
            "went_on_from": recipe.start_from.name if recipe.start_from else None,
            "taught_by": recipe.teacher.name if recipe.teacher else None,
            "transplanted_polyps": recipe.transplanted,
            "polyps_painted_over": recipe.erased,
            "epoch": record["epoch"],
            "settings": asdict(fit),
        },
        shape=shape,
        mixed_in=record["mixed_in"],
        origin=tuple(_origin(recipe)),
        trunks=(fit.network.trunk,),
        labels=recipe.labels,
        name_frames=recipe.name_frames,
    )
    return ship(draft, plan=plan, rehearse=rehearse)


def _origin(recipe: DenseRecipe) -> Iterator[str]:
    if recipe.start_from:
        yield f"Went on from {markdown_code(recipe.start_from.name)}, an earlier model."
    if recipe.teacher:
        yield f"Learnt the answers of model {markdown_code(recipe.teacher.name)} beside the labels."


def ship(draft: Draft, *, plan: CalibrationPlan | None = None, rehearse: bool = True) -> ModelBundle:
    """Exports a network, stores it in half precision, and fits its scores, threshold and rule over time.

    Args and errors as `bundle_checkpoint`.
    """
    training, validation = training_samples(draft.data, draft.labels)
    facts: dict[str, Any] = {
        "licence": "Apache-2.0",
        "training": {
            "data": _counts(training),
            "masks": mask_summaries(draft.data, draft.labels),
            "terms": "trained on public research data sets; see each set's own terms",
            "split": "by sequence, file list, or group of neighbouring frames; cvc-colondb never used",
            "versions": {"python": platform.python_version(), "torch": version("torch")},
            **draft.made,
        },
        "metrics": {"validation": {"data": _counts(validation)}},
    }
    bundle = bundle_dense(
        draft.network,
        draft.folder / draft.name,
        name=draft.name,
        input_wh=draft.input_wh,
        threshold=0.5,
        card=_card(draft, _counts(training), _counts(validation)),
        facts=facts,
    )
    bundle = store_in_half(bundle)  # before anything is measured
    if draft.name_frames:
        write_training_frames(bundle.folder, training)
    plan = plan or CalibrationPlan(optional=True, moved_stills=_MOVED_STILLS if rehearse else 0)
    clips = rehearsal_clips(draft.folder / "clips") if rehearse else []
    found = calibrate(bundle, [still_of_sample(sample) for sample in validation], clips, plan=plan)
    return write_calibrated(bundle, found, bundle.folder)


def trunk_title(trunk: str) -> str:
    """A trunk's name as a model card says it: `EfficientNet-Lite0` for `lite0`."""
    return f"EfficientNet-{trunk.capitalize()}"


def _counts(samples: Sequence[Sample]) -> _Counts:
    counts: _Counts = {}
    for sample in samples:
        kind = "with_polyp" if sample.has_labels else "without_polyp"
        row = counts.setdefault(sample.dataset, {})
        row[kind] = row.get(kind, 0) + 1
    return counts


def _card(draft: Draft, training: _Counts, validation: _Counts) -> str:
    rows = [
        f"| {markdown_text(name)} | {_cell(training.get(name))} | {_cell(validation.get(name))} |"
        for name in sorted(training | validation)
    ]
    trunks = ", ".join(trunk_title(trunk) for trunk in draft.trunks)
    return "\n".join(
        [
            f"# Model {markdown_code(draft.name)}",
            "",
            "A dense one-pass window detector of polyps in colonoscopy pictures. **Research use only; not a medical",
            "device.** It was trained on still frames of few hospitals and makes mistakes, above all on instruments,",
            "stool, bubbles, strong folds, and flat or very small polyps.",
            "",
            *draft.shape,
            "",
            "| data set | training frames (with / without polyp) | validation frames (with / without polyp) |",
            "|---|---|---|",
            *rows,
            *(f"| {_MIXED_IN[kind]} | {count} | |" for kind, count in draft.mixed_in.items() if count),
            "",
            *(line for sentence in draft.origin for line in (sentence, "")),
            f"Trunk weights start from ImageNet ({trunks}, Apache-2.0).",
            "",
        ]
    )


def _cell(row: dict[str, int] | None) -> str:
    return f"{row.get('with_polyp', 0)} / {row.get('without_polyp', 0)}" if row else ""
