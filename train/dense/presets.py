"""Named settings of the dense detector, by what a frame costs. `benchmarks/presets.py` measures them."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import InputError
from train.dense.fit import FitSettings
from train.networks.dense import DenseSettings

#: From cheap to good. `base` is what ships.
PRESETS: Mapping[str, FitSettings] = {
    "nano": FitSettings(
        network=DenseSettings(trunk="lite0_short", channels=48, head_layers=1),
        input_wh=(224, 192),
        epochs=24,  # a small network is far from knowing its frames by heart
        batch_size=32,
        frozen_blocks=2,
    ),
    "small": FitSettings(network=DenseSettings(channels=64), input_wh=(256, 224)),
    "base": FitSettings(closing_epochs=4),
}


def preset(name: str) -> FitSettings:
    """The settings of a name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
