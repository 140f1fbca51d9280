"""The epochs of a training run: each trained, judged, logged and kept, until there are enough or none gets better."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError, first_line
from train.run.checkpoints import save_checkpoint
from train.run.run_log import OnEpoch, RunLog

log = logging.getLogger(__name__)

#: What epochs are compared by: the first number decides, among equals the next one.
Mark = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch: epochs done.
        best: highest mark so far; empty before the first epoch.
        since: epochs done after the one with that mark.
    """

    epoch: int = 0
    best: Mark = ()
    since: int = 0

    def after(self, mark: Mark) -> Progress:
        """The progress after one more epoch."""
        better = mark > self.best
        return Progress(self.epoch + 1, mark if better else self.best, 0 if better else self.since + 1)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Progress:
        """That of a checkpoint. Raises KeyError, TypeError or ValueError for one that holds none."""
        return cls(int(state["epoch"]), tuple(map(float, state["best"])), int(state["since"]))


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        row: numbers for the log.
        figures: on validation data; empty without.
        mark: what the epoch is compared by.
    """

    row: Mapping[str, float]
    figures: Mapping[str, Any]
    mark: Mark


def run_epochs(
    one: Callable[[int], Epoch],
    state: Callable[[], Mapping[str, Any]],
    *,
    start: Progress,
    epochs: int,
    patience: int,
    folder: Path,
    title: str,
    kept_of_best: Collection[str],
    on_epoch: OnEpoch | None = None,
) -> None:
    """Does the epochs that are left, and keeps `last.pt` and `best.pt`, the log and the curves.

    Args:
        one: trains and judges an epoch, given its number from 0.
        state: what a checkpoint holds beside progress and figures.
        start: how far the run is.
        epochs: at most, those done before included.
        patience: epochs without a better mark after which the run stops.
        folder: of the run.
        title: of the curves.
        kept_of_best: keys of the state that `best.pt` holds.
        on_epoch: called when an epoch's checkpoint is written.

    Raises:
        WriteError: the disk is full.
    """
    progress = start
    with RunLog(folder, title=title, finished=start.epoch) as log_of_run:
        for number in range(start.epoch, epochs):
            if progress.since >= patience:
                log.info("stopped: no better validation figure for %d epochs", progress.since)
                break
            done = one(number)
            progress = progress.after(done.mark)
            log_of_run.add({"epoch": progress.epoch, **done.row})
            record = {
                **state(),
                "epoch": progress.epoch,
                "best": list(progress.best),
                "since": progress.since,
                "figures": dict(done.figures),
            }
            if progress.since == 0:  # before the last: a run that is killed between the two does the epoch again
                save_checkpoint({key: record[key] for key in kept_of_best}, folder / "best.pt")
            save_checkpoint(record, folder / "last.pt")
            if on_epoch is not None:
                on_epoch(progress.epoch, done.figures)


def restored(path: Path, state: Mapping[str, Any], restore: Callable[[Mapping[str, Any]], None]) -> Progress:
    """Gives a run what its last checkpoint holds, and tells how far it was.

    Args:
        path: of the checkpoint, for the error.
        state: that it holds.
        restore: puts weights and optimizer in place.

    Raises:
        InputError: the checkpoint holds something else.
    """
    try:
        restore(state)
        return Progress.of(state)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise InputError(f"checkpoint {str(path)!r} is of another network or run: {first_line(error)}") from error


def cosine_factor(step: int, total: int, *, warm_up: int) -> float:
    """Learning rate at a step as a share of its highest: a linear start, then one half cosine down to a fiftieth.

    Args:
        step: from 0.
        total: steps of the whole run.
        warm_up: steps of the start.
    """
    warm = min(1.0, (step + 1) / warm_up)
    return warm * (0.02 + 0.98 * (1 + math.cos(math.pi * step / total)) / 2)
