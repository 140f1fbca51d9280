"""Averages the weights of two runs of which the second went on from the first ("model soup", Wortsman et al. 2022)."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.errors import InputError
from train.checkpoints import load_checkpoint, save_checkpoint


def average_checkpoints(first: Path, second: Path, output: Path, *, share: float = 0.5) -> None:
    """Writes a checkpoint with weights between those of two runs; settings and record are the second's.

    Judge it on validation frames: the average of runs that do not descend from each other is worth nothing.

    Args:
        first: checkpoint of the earlier run.
        second: checkpoint of the run that started from it.
        output: checkpoint to write, for `--start-from` and for a bundle.
        share: of the second run's weights, 0 to 1.

    Raises:
        InputError: a file that is no checkpoint of a detector, checkpoints of different networks, or a wrong share.
        WriteError: it cannot be written.
    """
    if not 0 <= share <= 1:
        raise InputError(f"the share must be within 0 to 1. Received: {share}")
    earlier, later = load_checkpoint(first), load_checkpoint(second)
    for path, state in ((first, earlier), (second, later)):
        if "average" not in state or "settings" not in state:
            raise InputError(f"{str(path)!r} is no checkpoint of a dense detector")
    start, end = earlier["average"], later["average"]
    if {key: value.shape for key, value in start.items()} != {key: value.shape for key, value in end.items()}:
        raise InputError(f"{str(first)!r} and {str(second)!r} are of different networks; name two runs of one")
    mixed = {
        key: torch.lerp(start[key], value, share) if value.is_floating_point() else value for key, value in end.items()
    }
    record = {key: later[key] for key in ("epoch", "settings", "figures")}
    save_checkpoint({**record, "average": mixed}, output)
