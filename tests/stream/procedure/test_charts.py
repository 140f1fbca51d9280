"""Charts of a report, as numbers."""

from __future__ import annotations

import pytest

from stream.frame import Detection
from stream.procedure.charts import curve_of
from stream.procedure.findings import Finding, Picture
from stream.procedure.reading import Sighting


def _finding(scores: list[tuple[float, float]], looks: list[tuple[float, float]]) -> Finding:
    sightings = tuple(
        Sighting(number, time_s, (0, 0, 9, 9), True, Detection((1, 1, 5, 5), score))
        for number, (time_s, score) in enumerate(scores)
    )
    picture = Picture(0, 0.0, b"", b"", 1.0, (9, 9))
    return Finding(1, (1,), sightings, tuple(looks), sum(end - start for start, end in looks), {}, picture)


@pytest.mark.parametrize(
    ("scores", "looks", "lines"),
    [
        ([(2.0, 0.75)], [(2.0, 2.2)], ["0.0,{a} {w},{a}"]),  # one frame, shown until the next one
        ([(2.0, 0.75)], [(2.0, 2.0)], ["0.0,{a} 0.0,{a}"]),  # the last of a recording that does not say its length
        ([(0.0, 0.75), (5.0, 0.5)], [(0.0, 1.0), (5.0, 6.0)], ["0.0,{a} {h},{a}", "{h},{b} {w},{b}"]),
    ],
)
def test_confidence_over_time(
    scores: list[tuple[float, float]], looks: list[tuple[float, float]], lines: list[str]
) -> None:
    curve = curve_of(_finding(scores, looks))
    places = {"a": curve.height / 4, "b": curve.height / 2, "h": curve.width / 2, "w": curve.width}
    rounded = {name: f"{place:.1f}" for name, place in places.items()}
    assert list(curve.lines) == [line.format(**rounded) for line in lines]
