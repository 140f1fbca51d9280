"""Distributions over the procedures of a study, as numbers: where the bars of an SVG go. The template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WIDTH, HEIGHT = 460.0, 150.0
"""Size of a chart's plot in its own units."""

_MOST_BARS = 16
_STEPS = (1.0, 2.0, 5.0)
_MOST_LINES = 4
_LEAST_WIDTH = 0.01  # of a bar of measured values


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its place and size in units of the chart, its label and where that is, and how many it counts."""

    x: float
    y: float
    width: float
    height: float
    label: str
    label_x: float
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line across the chart, and the number of procedures that it stands for."""

    y: float
    count: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram.

    Attributes:
        title: what is counted, with its unit.
        about: number of procedures, median and range, in words.
        bars: from left to right.
        lines: across, from below.
    """

    title: str
    about: str
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]


def distribution(title: str, values: Sequence[float], *, whole: bool = False) -> Distribution | None:
    """Counts values in bars of one width.

    Args:
        title: what the values are, with their unit.
        values: one of each procedure, at least 0.
        whole: whether they are whole numbers; each then has a bar of its own as long as there is room.

    Returns:
        The chart; None without values.
    """
    if not values:
        return None
    largest = max(values)
    width = _bar_width(largest, whole=whole)
    counts = [0] * (int(largest / width) + 1)
    for value in values:
        counts[int(value / width)] += 1
    most = max(counts)
    across = WIDTH / len(counts)
    bars = tuple(
        Bar(
            x=number * across,
            y=HEIGHT * (1 - count / most),
            width=across * 0.9,
            height=HEIGHT * count / most,
            label=_label(number, width, whole=whole),
            label_x=(number + (0.45 if whole else 0)) * across,  # a measured value begins at its bar's left side
            count=count,
        )
        for number, count in enumerate(counts)
    )
    step = max(1, _round_up(most / _MOST_LINES))
    lines = tuple(Line(HEIGHT * (1 - count / most), count) for count in range(0, most + 1, int(step)))
    of = f"{len(values)} procedure{'' if len(values) == 1 else 's'}"
    about = f"{of}; median {_number(median(values))}, from {_number(min(values))} to {_number(largest)}"
    return Distribution(title, about, bars, lines)


def _bar_width(largest: float, *, whole: bool) -> float:
    width = _round_up(max(largest, 1e-9) / (_MOST_BARS - 1))
    return max(width, 1.0 if whole else _LEAST_WIDTH)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ... and their parts."""
    tens = 10.0 ** math.floor(math.log10(value))
    return next(step * tens for step in (*_STEPS, 10.0) if step * tens >= value * (1 - 1e-9))


def _label(number: int, width: float, *, whole: bool) -> str:
    first = number * width
    if whole:
        last = first + width - 1
        return _number(first) if last == first else f"{_number(first)}-{_number(last)}"
    decimals = max(0, -math.floor(math.log10(width)))
    return f"{round(first, decimals):g}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
