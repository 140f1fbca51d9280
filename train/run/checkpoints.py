"""What every training run leaves behind: checkpoints that are whole or not there, and one line of CSV an epoch."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from engine.errors import InputError, WriteError, first_line
from engine.files import replacing
from train.run.settings import changed_settings


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Writes a checkpoint; the one before stays until the new one is whole.

    Args:
        state: tensors, numbers, texts, lists and dictionaries of them only, so that `weights_only` loading works.
        path: file to write.

    Raises:
        WriteError: the disk is full or the folder cannot be written.
    """
    try:
        with replacing(path) as partial:
            torch.save(dict(state), partial)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise WriteError(
            f"checkpoint {str(path)!r} could not be written ({first_line(error)}); free space and resume"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without running any code that it might hold.

    Raises:
        InputError: it does not exist, is damaged, or holds more than weights and settings.
    """
    if not path.is_file():
        raise InputError(f"checkpoint {str(path)!r} does not exist; give the best.pt of a run")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds for a damaged file
        raise InputError(f"checkpoint {str(path)!r} cannot be read ({first_line(error)}); give another file") from error
    if not isinstance(state, dict):
        raise InputError(f"checkpoint {str(path)!r} holds no dictionary of weights; give another file")
    return state


def state_to_go_on(
    last: Path, settings: Any, *, kind: str, holds: str, free: Collection[str], learnt_from: str, material: str | None
) -> dict[str, Any]:
    """The checkpoint of a run that is to go on, when it is of just that run.

    Args:
        last: checkpoint of the run's last epoch.
        settings: dataclass that it goes on with.
        kind: of model, for the error.
        holds: key, beside `settings`, that checkpoints of this kind have.
        free: settings that may be others than before.
        learnt_from: what it learns from, for the error.
        material: digest of it; None to leave it aside.

    Raises:
        InputError: the checkpoint is damaged, of another kind, of other settings, or learnt from something else.
    """
    state = load_checkpoint(last)
    if holds not in state or "settings" not in state:
        raise InputError(f"{str(last)!r} is no checkpoint of a {kind}; give another folder")
    changed = changed_settings(state["settings"], settings, free=free)
    if material is not None and state.get("material", material) != material:
        changed.append(f"the {learnt_from} are others")
    if changed:
        raise InputError(
            f"checkpoint {str(last)!r} is of another network or run ({'; '.join(changed)}); "
            "go on with the same settings and data, or give another folder"
        )
    return state


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Adds a line to a CSV file; its first line names the columns."""
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.5g}" for key, value in row.items()})


def keep_rows(path: Path, last_epoch: int) -> None:
    """Drops the lines of a CSV file that belong to epochs after `last_epoch`: those that a killed run began."""
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        rows = [row for row in reader if float(row["epoch"]) <= last_epoch]
        columns = reader.fieldnames or ()
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)
