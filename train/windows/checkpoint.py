"""The network of a window classifier out of a checkpoint, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.arrays import ImageStack
from engine.errors import InputError, first_line
from train.data.windows import as_input
from train.networks.registry import build_network
from train.networks.window_network import WindowNetwork, WindowSpec
from train.run.checkpoints import load_checkpoint
from train.run.device import mixed_precision

_CPU = torch.device("cpu")
_ANSWERED_AT_ONCE = 64


def load_classifier(checkpoint: Path) -> tuple[WindowNetwork, dict[str, Any]]:
    """The network of a checkpoint, and its record (settings, classes, figures, epoch).

    Raises:
        InputError: the file is missing, damaged or of another kind of network.
    """
    state = load_checkpoint(checkpoint)
    try:
        settings = state["settings"]
        network = build_network(settings["network"], WindowSpec(len(state["classes"]), settings["input_px"]))
        network.load_state_dict(state["network"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{str(checkpoint)!r} is no checkpoint of a window classifier ({first_line(error)})"
        ) from error
    return network.eval(), {key: state[key] for key in ("settings", "classes", "figures", "epoch")}


@torch.no_grad()
def window_logits(network: WindowNetwork, windows: ImageStack, *, bf16: bool = True) -> npt.NDArray[np.float32]:
    """What a network answers to windows.

    Args:
        network: in inference mode.
        windows: RGB uint8 (windows, side, side, 3).
        bf16: compute in bfloat16.

    Returns:
        Logits, float32 (windows, classes).
    """
    parts: list[Tensor] = []
    for start in range(0, len(windows), _ANSWERED_AT_ONCE):
        with mixed_precision(_CPU, enabled=bf16):
            parts.append(network(as_input(windows[start : start + _ANSWERED_AT_ONCE])).float())
    return torch.cat(parts).numpy()
