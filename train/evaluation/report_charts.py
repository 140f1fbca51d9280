"""Charts of a report as SVG pictures that stand in the page itself. matplotlib is imported when the first is drawn."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from stream.charts import plain_style
from train.evaluation.run import Matrix
from train.metrics.video import ClipEvents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by every kind of colour vision (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_VISIBLE, _FOUND, _FALSE = "#cfd8dc", "#009E73", "#D55E00"


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a chart, with the point of the threshold in use (None when it lies nowhere)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    point: tuple[float, float] | None = None


def require_matplotlib() -> None:
    """Raises InputError where matplotlib is not installed: asked before hours of work, not after."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise InputError(f"a report needs matplotlib ({error}): pip install 'polypstream[train]'") from error


@plain_style()
def froc_chart(lines: Sequence[Line]) -> str:
    """Sensitivity against false detections a frame (logarithmic); returns a data URI."""
    figure, axes = _new(5.4, 3.9)
    _draw(axes, [Line(line.name, [max(x, 1e-3) for x in line.x], line.y, _shifted(line.point)) for line in lines])
    axes.set_xscale("log")
    axes.set_xlim(1e-3, 10)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("false detections a frame")
    axes.set_ylabel("sensitivity (share of polyps found)")
    return _uri(figure)


@plain_style()
def precision_recall_chart(lines: Sequence[Line]) -> str:
    """Precision against recall; returns a data URI."""
    figure, axes = _new(5.4, 3.9)
    _draw(axes, lines)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    return _uri(figure)


@plain_style()
def size_chart(by_size: Mapping[str, Mapping[str, Any]]) -> str:
    """Share of polyps found by their size, with intervals, a group of bars for each data set; returns a data URI.

    Args:
        by_size: `by_size` of the figures of each data set, by its name.
    """
    figure, axes = _new(5.4, 3.9)
    sizes = list(next(iter(by_size.values())))
    width = 0.8 / len(by_size)
    for number, (name, rows) in enumerate(by_size.items()):
        known = [place for place, size in enumerate(sizes) if rows[size]["centroid_recall"] is not None]
        places = [place + (number - (len(by_size) - 1) / 2) * width for place in known]
        heights = [rows[sizes[place]]["centroid_recall"] for place in known]
        axes.bar(places, heights, width * 0.9, label=name, color=COLOURS[number % len(COLOURS)])
        for place, x, height in zip(known, places, heights, strict=True):
            interval = rows[sizes[place]]["centroid_recall_interval_95"]
            if interval is not None:
                axes.vlines(x, *interval, color="#222222", linewidth=1)
            axes.text(x, 0.02, str(rows[sizes[place]]["polyps"]), ha="center", fontsize=7, color="white")
            axes.text(x - 0.02, height + 0.01, f"{height:.2f}", ha="right", fontsize=7)
    axes.set_xticks(range(len(sizes)), [next(iter(by_size.values()))[size]["meaning"] for size in sizes], fontsize=7)
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("share of polyps found (number in the bar)")
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return _uri(figure)


@plain_style()
def heat_map(matrix: Matrix) -> str:
    """Models (rows) against data sets (columns); returns a data URI."""
    rows, columns = len(matrix.models), len(matrix.data)
    figure, axes = _new(2.2 + 1.1 * columns, 1.4 + 0.5 * rows)
    values = [[math.nan if value is None else value for value in row] for row in matrix.values]
    axes.imshow(values, vmin=0.5, vmax=1.0, cmap="cividis", aspect="auto")
    for row in range(rows):
        for column in range(columns):
            value = values[row][column]
            text, dark = ("none", False) if math.isnan(value) else (f"{value:.3f}", value < 0.75)
            axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=9)
    axes.set_xticks(range(columns), matrix.data, rotation=20, ha="right", fontsize=8)
    axes.set_yticks(range(rows), matrix.models, fontsize=8)
    axes.grid(False)
    return _uri(figure)


@plain_style()
def timeline_chart(clips: Sequence[ClipEvents]) -> str:
    """When polyps were to be seen, when they were found, and when alarms were false; returns a data URI."""
    figure, axes = _new(10.5, 0.9 + 0.5 * len(clips))
    for row, clip in enumerate(clips):
        for test, colour, low, height in (
            (lambda frame: bool(frame.visible), _VISIBLE, -0.32, 0.64),
            (lambda frame: bool(frame.found), _FOUND, -0.32, 0.36),
            (lambda frame: frame.false_alarms > 0, _FALSE, 0.06, 0.26),
        ):
            spans = [(frame.time_s, frame.duration_s) for frame in clip.frames if test(frame)]
            axes.broken_barh(_joined(spans), (row + low, height), facecolors=colour, linewidth=0)
    axes.set_yticks(range(len(clips)), [clip.name[:32] for clip in clips], fontsize=8)
    axes.set_ylim(len(clips) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds")
    return _uri(figure)


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    # No pyplot: it would choose a screen, and keep every figure alive.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw(axes: Axes, lines: Sequence[Line]) -> None:
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(line.x, line.y, color=colour, label=line.name, linewidth=1.6, drawstyle="steps-post")
        if line.point is not None:
            axes.plot(*line.point, marker="o", color=colour, markeredgecolor="white", markersize=7)
    axes.legend(fontsize=8, loc="lower right")


def _shifted(point: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if point is None else (max(point[0], 1e-3), point[1])


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Neighbouring spans as one: thousands of hairlines are slow and show seams."""
    joined: list[tuple[float, float]] = []
    for start, length in spans:
        if joined and start <= sum(joined[-1]) + 1e-6:
            joined[-1] = (joined[-1][0], start + length - joined[-1][0])
        else:
            joined.append((start, length))
    return joined


def _uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
