"""What a training run tells while it runs: a line of CSV, curves as a picture, and TensorBoard events each epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.closing import Closing
from engine.errors import first_line
from train.run import curves
from train.run.checkpoints import append_row, keep_rows

log = logging.getLogger(__name__)

#: Seconds after which the curves are drawn anew. That takes half a second, which is longer than some epochs.
REDRAWN_AFTER_S = 10.0

#: Called after each epoch with its number, from 1, and its validation figures; an exception from it ends the run.
OnEpoch = Callable[[int, Mapping[str, Any]], None]


class RunLog(Closing):
    """Writes `epochs.csv`, `curves.png` and, where tensorboard is installed, event files, into the folder of a run.

    The curves are drawn at the end, and before it after each epoch that ends 10 seconds or more after they were drawn.
    """

    def __init__(self, folder: Path, *, title: str, finished: int) -> None:
        """Opens the log.

        Args:
            folder: of the run; exists.
            title: of the curves.
            finished: epochs that an earlier part of this run finished; later lines are dropped, and with 0 it starts
                anew.
        """
        self.table, self.picture, self.title = folder / "epochs.csv", folder / "curves.png", title
        if finished:
            keep_rows(self.table, finished)
        else:
            self.table.unlink(missing_ok=True)
        self._drawn_s, self._undrawn = time.monotonic(), False
        self._events = _event_writer(folder / "tensorboard", finished)

    def add(self, row: Mapping[str, float]) -> None:
        """Adds the figures of one epoch; `epoch` is its number, from 1."""
        append_row(self.table, row)
        log.info("%s", dict(row))
        self._undrawn = True
        if time.monotonic() - self._drawn_s >= REDRAWN_AFTER_S:
            self._draw()
        if self._events is not None:
            for name, value in row.items():
                if name != "epoch":
                    self._events.add_scalar(name, value, int(row["epoch"]))
            self._events.flush()

    def close(self) -> None:
        """Draws the curves of the whole run and ends the event file."""
        if self._undrawn:
            self._draw()
        if self._events is not None:
            self._events.close()

    def _draw(self) -> None:
        try:
            curves.draw_curves(self.table, self.picture, title=self.title)
        except OSError as error:  # a run is worth more than its picture
            log.warning("no curves are drawn (%s)", first_line(error))
        self._drawn_s, self._undrawn = time.monotonic(), False


def _event_writer(folder: Path, finished: int) -> Any:
    """TensorBoard's writer; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("no TensorBoard events are written: pip install 'polypstream[tensorboard]'")
        return None
    if not finished and folder.is_dir():
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
    # After a resume, events of epochs that a killed run began are hidden.
    return SummaryWriter(str(folder), purge_step=finished + 1)
