"""Detectors of finished runs joined into one model: the mean of their answers, or of their weights.

The mean of answers costs what all of them cost, takes any trunks, and may look at mirror images of the picture too. The
mean of weights costs what one costs, and can be trained on; the runs must have begun with the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from calibration.decisions.calibrating import CalibrationPlan
from calibration.shipping.shipping import Draft, ship, trunk_title
from engine.bundle import ModelBundle
from engine.errors import InputError
from engine.files import make_folder
from train.data.label_reading import AS_USUAL, LabelReading
from train.dense.checkpoint import load_network
from train.dense.weight_average import mean_of_weights
from train.networks.dense import DenseDetector, check_input
from train.networks.ensemble import DenseEnsemble, Mirror
from train.run.checkpoints import save_checkpoint


class Mean(Enum):
    """Of what the joined model is the mean."""

    ANSWERS = "answers"
    WEIGHTS = "weights"


@dataclass(frozen=True, slots=True)
class JoinRecipe:
    """What is joined.

    Attributes:
        checkpoints: of finished runs; of one input size, where none is given. One that stands twice counts twice.
        data: folders of the data sets that they were trained on; their validation split is judged by.
        folder: gets the bundle.
        name: of the model.
        mean: of what.
        mirror: mirror images that each detector looks at beside the picture.
        labels: what those of the data sets mean.
        input_wh: width and height of the joined model's input in pixels; None for the one they were trained at. A
            larger one shows polyps larger than they were learnt, which helps to find small ones.
        name_frames: whether the bundle lists the hashes of the frames that they learnt from.

    Raises:
        InputError: a size that no detector takes.
    """

    checkpoints: tuple[Path, ...]
    data: tuple[Path, ...]
    folder: Path
    name: str = "polyp"
    mean: Mean = Mean.ANSWERS
    mirror: Mirror = Mirror.NONE
    labels: LabelReading = AS_USUAL
    input_wh: tuple[int, int] | None = None
    name_frames: bool = True

    def __post_init__(self) -> None:
        if self.input_wh is not None:
            check_input(self.input_wh)


def bundle_joined(recipe: JoinRecipe, *, plan: CalibrationPlan | None = None, rehearse: bool = True) -> ModelBundle:
    """Writes one bundle of several checkpoints, or of one; beside it `mean.pt`, when it is the mean of their weights.

    Args:
        recipe: what is joined.
        plan: what is fitted, as for `bundle_checkpoint`.
        rehearse: whether a rule over time is chosen on rendered clips.

    Raises:
        InputError: a file that is no checkpoint of a detector, detectors of different input sizes, runs whose weights
            have no mean, or data that cannot be used.
        OutputError: the folder cannot be made.
        RunError: the exported network answers otherwise than torch.
        WriteError: the disk is full.
    """
    members, records = zip(*(load_network(path) for path in recipe.checkpoints), strict=True)
    fits = [record["settings"] for record in records]
    width, height = recipe.input_wh or _common_input(fits)
    trunks = [fit["network"]["trunk"] for fit in fits]
    settings = {"network": asdict(members[0].settings), "input_wh": [width, height]}
    mixed_in = _most([record["mixed_in"] for record in records])
    if recipe.mean is Mean.WEIGHTS:
        members = (mean_of_weights(members),)
        state = {
            "epoch": 0,
            "settings": settings,
            "mixed_in": mixed_in,
            "figures": {},
            "average": members[0].state_dict(),
        }
        make_folder(recipe.folder)
        save_checkpoint(state, recipe.folder / "mean.pt")
        shape = f"The mean of the weights of {len(set(recipe.checkpoints))} runs of {trunk_title(trunks[0])}"
    else:
        shape = f"The mean answer of {', '.join(map(trunk_title, trunks))}"
    if recipe.mirror is not Mirror.NONE:
        shape += f" over {len(recipe.mirror.flips)} views (mirror images: {recipe.mirror.value})"
    network = _network(members, recipe.mirror)
    draft = Draft(
        network,
        (width, height),
        recipe.data,
        recipe.folder,
        recipe.name,
        made={
            "mean": recipe.mean.value,
            "mirror": recipe.mirror.value,
            "joined": [{"epoch": record["epoch"], "settings": record["settings"]} for record in records],
            **({"settings": settings} if isinstance(network, DenseDetector) else {}),
        },
        mixed_in=mixed_in,
        name_frames=recipe.name_frames,
        shape=(f"{shape}, {width}x{height} pixels of the field of view.",),
        origin=("What each run was trained with stands in `model.json`, under `training`, `joined`.",),
        trunks=tuple(sorted(set(trunks))),
        labels=recipe.labels,
    )
    return ship(draft, plan=plan, rehearse=rehearse)


def _network(members: Sequence[DenseDetector], mirror: Mirror) -> DenseDetector | DenseEnsemble:
    """One detector that looks once stays a detector, whose bundle can be trained on."""
    if len(members) == 1 and mirror is Mirror.NONE:
        return members[0]
    return DenseEnsemble(members, mirror)


def _most(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The largest number of each kind: runs of one project mostly share such frames."""
    kinds = dict.fromkeys(kind for one in counts for kind in one)
    return {kind: max(one.get(kind, 0) for one in counts) for kind in kinds}


def _common_input(fits: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    sizes = {(int(width), int(height)) for width, height in (fit["input_wh"] for fit in fits)}
    if len(sizes) > 1:
        told = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise InputError(f"detectors that are joined must take one input size; these take {told}; choose one (--input)")
    (size,) = sizes
    return size
