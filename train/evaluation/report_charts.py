"""Charts of a report as SVG pictures that stand in the page itself. matplotlib is imported when the first is drawn."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.text.printing import chart_text
from stream.charts import plain_style
from train.evaluation.run import Matrix
from train.metrics.video import ClipEvents, ClipFrame, RunRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by every kind of colour vision (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_VISIBLE, _EMPTY, _FOUND, _FALSE = "#607d8b", "#e8ecee", "#009E73", "#D55E00"
# Lower rates of false events are drawn here, in events a minute: a logarithmic axis has no 0.
_LEAST_A_MINUTE = 0.02


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
def event_chart(curve: Mapping[str, Any], threshold: float) -> str:
    """Recall within 3 s against false events a minute (logarithmic), a line for each length of event; a data URI.

    Args:
        curve: of one way of deciding, as `train.metrics.video.curve_record` gives it.
        threshold: in use, whose points are marked.
    """
    figure, axes = _new(5.4, 3.9)
    place = min(range(len(curve["threshold"])), key=lambda n: abs(curve["threshold"][n] - threshold))
    lines = []
    for rule, name in (
        (RunRule.HALF_SECOND, "boxes of 0.5 s or more"),
        (RunRule.ONE_SECOND, "of 1 s or more"),
        (RunRule.TWO_SECONDS, "of 2 s or more"),
    ):
        x = [max(rate or 0.0, _LEAST_A_MINUTE) for rate in curve["false_activations_per_minute"][rule.key]]
        y = [math.nan if recall is None else recall for recall in curve["recall_within_3_s"][rule.key]]
        lines.append(Line(name, x, y, (x[place], y[place])))
    _draw(axes, lines, steps=False)
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_A_MINUTE * 0.8, max(30.0, *(x for line in lines for x in line.x)) * 1.2)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"false events a minute (none: drawn at {_LEAST_A_MINUTE:g})")
    axes.set_ylabel("share of polyps found within 3 s")
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
        axes.bar(places, heights, width * 0.9, label=chart_text(name), color=COLOURS[number % len(COLOURS)])
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
    axes.set_xticks(range(columns), [chart_text(name) for name in matrix.data], rotation=20, ha="right", fontsize=8)
    axes.set_yticks(range(rows), [chart_text(name) for name in matrix.models], fontsize=8)
    axes.grid(False)
    return _uri(figure)


@plain_style()
def strips_chart(ways: Mapping[str, Sequence[ClipEvents]]) -> str:
    """A strip for each clip: what there is to be seen above, below it the boxes of each way; returns a data URI.

    Args:
        ways: what happened in each clip, the same clips in the same order, by the name of the way.
    """
    clips = next(iter(ways.values()))
    lanes = 1 + len(ways)
    height = 0.8 / lanes
    figure, axes = _new(10.5, 0.9 + 0.26 * lanes * len(clips))
    ticks: dict[float, str] = {}
    for row, clip in enumerate(clips):
        top = row - 0.4
        _band(axes, clip, lambda frame: not frame.visible, _EMPTY, (top, height * 0.85))
        _band(axes, clip, lambda frame: bool(frame.visible), _VISIBLE, (top, height * 0.85))
        ticks[top + height / 2] = chart_text(clip.name, most=32)
        for lane, (way, events) in enumerate(ways.items(), start=1):
            place, below = top + lane * height, top + (lane + 0.35) * height
            ticks[place + height / 2] = way
            _band(axes, events[row], lambda frame: bool(frame.found), _FOUND, (place, height * 0.85))
            _band(axes, events[row], lambda frame: frame.false_alarms > 0, _FALSE, (below, height * 0.5))
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=7)
    axes.set_ylim(len(clips) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds")
    return _uri(figure)


def _band(
    axes: Axes, clip: ClipEvents, test: Callable[[ClipFrame], bool], colour: str, lane: tuple[float, float]
) -> None:
    spans = [(frame.time_s, frame.duration_s) for frame in clip.frames if test(frame)]
    axes.broken_barh(_joined(spans), lane, facecolors=colour, linewidth=0)


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


def _draw(axes: Axes, lines: Sequence[Line], *, steps: bool = True) -> None:
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        style = "steps-post" if steps else "default"
        axes.plot(line.x, line.y, color=colour, label=chart_text(line.name), linewidth=1.6, drawstyle=style)
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
