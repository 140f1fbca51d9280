"""The curves of a run as a picture, drawn from its CSV file."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

from engine.text.printing import chart_text
from stream.charts import plain_style

log = logging.getLogger(__name__)


@plain_style()
def draw_curves(table: Path, picture: Path, *, title: str) -> bool:
    """Draws each column of a run's CSV over its epochs: losses on the left, figures on the right.

    Args:
        table: `epochs.csv` of a run.
        picture: PNG to write.
        title: over the picture.

    Returns:
        False, and nothing is drawn, where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        log.warning("no curves are drawn (%s): pip install matplotlib", error)
        return False
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    epochs = [float(row["epoch"]) for row in rows]
    # No pyplot: it would choose a screen and keep every figure alive.
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name in rows[0]:
        if name != "epoch":
            axes = left if "loss" in name else right
            axes.plot(epochs, [float(row[name]) for row in rows], label=name.replace("_", " "), marker=".")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend()
    figure.suptitle(chart_text(title))
    figure.savefig(picture, dpi=100)
    return True
