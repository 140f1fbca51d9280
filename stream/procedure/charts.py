"""Charts of a report as numbers: where lines and bars of an SVG go. Templates draw them.

Each kind of moment has its own pattern beside its colour, so that a strip can be read on paper in black and white.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stream.procedure.findings import Finding
from stream.procedure.times import Moment, Stretch, Times

WIDTH = 1000.0
"""Width of the strip in its own units."""

_COLUMNS = 500  # of the strip; of each the moment is drawn that fills most of it
_LEAST_BAR = 2.0
_LANE = 16.0
_CURVE_WH = (400.0, 90.0)
_MOST_POINTS = 240
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MOST_TICKS = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the strip: left side and width in its units."""

    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Lane:
    """The times in which a finding is in view."""

    number: int
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on the axis of time: x in its units, time in seconds, and a word where it marks something."""

    x: float
    time_s: float
    word: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """The whole procedure.

    Attributes:
        height: of all lanes and the picture's row, in units.
        lanes: one a finding.
        picture_y: top of the row that says what the picture shows.
        moments: bars of each kind of moment, as far as there are any.
        ticks: of the axis of time.
        marks: entering, turning point, leaving, as far as they are known.
    """

    height: float
    lanes: tuple[Lane, ...]
    picture_y: float
    moments: tuple[tuple[Moment, tuple[Bar, ...]], ...]
    ticks: tuple[Tick, ...]
    marks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Confidence over the time in view; stretches out of view are left out.

    Attributes:
        width: of the chart in units.
        height: of the chart in units; confidence 1 is at 0, confidence 0 at the height.
        lines: points of each look, as SVG writes them.
        looks: where each look begins, with its time in the procedure.
    """

    width: float
    height: float
    lines: tuple[str, ...]
    looks: tuple[Tick, ...]


def strip_of(findings: Sequence[Finding], stretches: Sequence[Stretch], times: Times, *, end_s: float) -> Strip:
    """The strip of a procedure that lasts `end_s` seconds."""
    scale = WIDTH / max(end_s, 1e-6)
    lanes = tuple(
        Lane(one.number, _LANE * place, tuple(_bar(start, end, scale) for start, end in one.looks))
        for place, one in enumerate(findings)
    )
    picture_y = _LANE * len(lanes) + 6.0
    words = ((times.entered_s, "in"), (times.cecum_s, "turn"), (times.left_s, "out"))
    marks = tuple(Tick(at * scale, at, word) for at, word in words if at is not None)
    step = next((step for step in _STEPS_S if end_s / step <= _MOST_TICKS), _STEPS_S[-1])
    ticks = tuple(Tick(at * scale, float(at)) for at in range(0, math.floor(end_s) + 1, step))
    return Strip(picture_y + 26.0, lanes, picture_y, _moments(stretches, end_s), ticks, marks)


def curve_of(finding: Finding) -> Curve:
    """The confidence of a finding over its time in view."""
    width, height = _CURVE_WH
    scale = width / max(sum(end - start for start, end in finding.looks), 1e-6)
    times = np.array([seen.time_s for seen in finding.sightings])
    scores = np.array([seen.detection.score for seen in finding.sightings])
    lines, looks, before_s = [], [], 0.0
    most = max(_MOST_POINTS // len(finding.looks), 2)
    for start, end in finding.looks:
        own = np.flatnonzero((times >= start) & ((times < end) | (times == start)))
        # Of many points the lowest of each part is drawn: a chart must not look better than what it shows.
        parts = np.array_split(own, min(most, len(own)))
        lowest = [part[int(np.argmin(scores[part]))] for part in parts]
        places = [((times[at] - start + before_s) * scale, (1.0 - scores[at]) * height) for at in lowest]
        places.append(((end - start + before_s) * scale, places[-1][1]))  # the last frame is shown until then
        lines.append(" ".join(f"{x:.1f},{y:.1f}" for x, y in places))
        looks.append(Tick(before_s * scale, start))
        before_s += end - start
    return Curve(width, height, tuple(lines), tuple(looks))


def _bar(start_s: float, end_s: float, scale: float) -> Bar:
    width = max((end_s - start_s) * scale, _LEAST_BAR)
    return Bar(min(start_s * scale, WIDTH - width), width)


def _moments(stretches: Sequence[Stretch], end_s: float) -> tuple[tuple[Moment, tuple[Bar, ...]], ...]:
    kinds = tuple(Moment)
    step_s = max(end_s, 1e-6) / _COLUMNS
    filled = np.zeros((len(kinds), _COLUMNS))
    for one in stretches:
        first = min(int(one.start_s / step_s), _COLUMNS - 1)
        last = min(int(one.end_s / step_s), _COLUMNS - 1)
        columns = np.arange(first, last + 1)
        inside = np.minimum(one.end_s, (columns + 1) * step_s) - np.maximum(one.start_s, columns * step_s)
        filled[kinds.index(one.moment), columns] += np.maximum(inside, 0.0)
    most = np.where(filled.sum(axis=0) > 0, filled.argmax(axis=0), -1)
    edges = [0, *(np.flatnonzero(np.diff(most)) + 1).tolist(), _COLUMNS]
    bars: dict[Moment, list[Bar]] = {}
    for first, last in pairwise(edges):
        if most[first] >= 0:
            unit = WIDTH / _COLUMNS
            bars.setdefault(kinds[int(most[first])], []).append(Bar(first * unit, (last - first) * unit))
    return tuple((one, tuple(bars[one])) for one in kinds if one in bars)
