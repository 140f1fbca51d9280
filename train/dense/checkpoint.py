"""The network of a dense detector out of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import InputError
from train.networks.dense import DenseDetector, DenseSettings
from train.run.checkpoints import load_checkpoint


def load_network(checkpoint: Path) -> tuple[DenseDetector, dict[str, Any]]:
    """The averaged network of a checkpoint, and its record (settings, figures, epoch, numbers of mixed-in frames).

    Raises:
        InputError: the file does not exist or is no checkpoint of this network.
    """
    state = load_checkpoint(checkpoint)
    if "average" not in state or "settings" not in state:
        raise InputError(f"{str(checkpoint)!r} is no checkpoint of a dense detector")
    network = DenseDetector(DenseSettings(**state["settings"]["network"]))
    try:
        network.load_state_dict(state["average"])
    except RuntimeError as error:
        raise InputError(f"checkpoint {str(checkpoint)!r} is of another version's network; train it anew") from error
    record = {key: state[key] for key in ("epoch", "settings", "figures")}
    return network.eval(), {**record, "mixed_in": state.get("mixed_in", {})}
