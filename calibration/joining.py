"""Detectors of finished runs joined into one model: the mean of their answers, also on mirror images of the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.calibrating import CalibrationPlan
from calibration.shipping import Draft, ship, trunk_title
from engine.bundle import ModelBundle
from engine.errors import InputError
from train.fit_dense import load_network
from train.networks.dense import check_input
from train.networks.ensemble import DenseEnsemble, Mirror


@dataclass(frozen=True, slots=True)
class JoinRecipe:
    """What is joined.

    Attributes:
        checkpoints: of finished runs; of one input size, where none is given.
        data: folders of the data sets that they were trained on; their validation split is judged by.
        folder: gets the bundle.
        name: of the model.
        mirror: mirror images that each detector looks at beside the picture.
        input_wh: width and height of the joined model's input in pixels; None for the one they were trained at. A
            larger one shows polyps larger than they were learnt, which helps to find small ones.

    Raises:
        InputError: a size that no detector takes.
    """

    checkpoints: tuple[Path, ...]
    data: tuple[Path, ...]
    folder: Path
    name: str = "polyp"
    mirror: Mirror = Mirror.NONE
    input_wh: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.input_wh is not None:
            check_input(self.input_wh)


def bundle_joined(recipe: JoinRecipe, *, plan: CalibrationPlan | None = None, rehearse: bool = True) -> ModelBundle:
    """Writes one bundle of several checkpoints, or of one. A frame costs what all cost, times the number of views.

    Args:
        recipe: what is joined.
        plan: what is fitted, as for `bundle_checkpoint`.
        rehearse: whether an alarm rule is chosen on rendered clips.

    Raises:
        InputError: a file that is no checkpoint of a detector, detectors of different input sizes, or data that cannot
            be used.
        RunError: the exported network answers otherwise than torch.
    """
    members, records = zip(*(load_network(path) for path in recipe.checkpoints), strict=True)
    fits = [record["settings"] for record in records]
    width, height = recipe.input_wh or _common_input(fits)
    trunks = [fit["network"]["trunk"] for fit in fits]
    draft = Draft(
        DenseEnsemble(members, recipe.mirror),
        (width, height),
        recipe.data,
        recipe.folder,
        recipe.name,
        made={
            "mirror": recipe.mirror.value,
            "joined": [{"epoch": record["epoch"], "settings": record["settings"]} for record in records],
        },
        shape=(
            f"The mean answer of {', '.join(map(trunk_title, trunks))} over {len(recipe.mirror.flips)} views (mirror "
            f"images: {recipe.mirror.value}), {width}x{height} pixels of the field of view.",
        ),
        trunks=tuple(sorted(set(trunks))),
    )
    return ship(draft, plan=plan, rehearse=rehearse)


def _common_input(fits: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    sizes = {(int(width), int(height)) for width, height in (fit["input_wh"] for fit in fits)}
    if len(sizes) > 1:
        told = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise InputError(f"detectors that are joined must take one input size; these take {told}; choose one (--input)")
    (size,) = sizes
    return size
