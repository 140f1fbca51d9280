"""Figures and agreement of judgements that were made by hand, against what they must be."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stream.judgements.figures.agreement import ABSENT, agreement_of, differences_in, pairs_of
from stream.judgements.figures.judged import JudgedProcedure, judged_procedures
from stream.judgements.figures.measuring import figures_of, figures_table
from stream.judgements.history import History
from stream.judgements.state import DRAWN, Beginning, JudgedFinding, Judgements, Mark, Shape
from stream.judgements.store import FILE, JudgementStore

_HERE, _THERE = (10.0, 10.0, 50.0, 50.0), (60.0, 60.0, 90.0, 90.0)
_TIMES = tuple(frame / 10 for frame in range(1200))  # two minutes
_LISTS = {
    "verdict": ["right", "wrong", "unsure"],
    "kind": ["adenoma", "hyperplastic"],
    "size": ["1-5", "6-9", "10-19", "20+"],
    "paris": ["0-Is", "0-IIa"],
    "nice": ["1", "2", "3"],
}


def _finding(
    name: str,
    first: int,
    last: int,
    *,
    box: tuple[float, float, float, float] = _HERE,
    added: bool = False,
    drawn: int = 0,
    **said: str,
) -> JudgedFinding:
    """A finding from one frame to another, the first of which the reader drew."""
    marks = {
        frame: Mark(box, None, DRAWN) if added or frame - first < drawn else Mark(box, 0.9, 0)
        for frame in range(first, last + 1)
    }
    return JudgedFinding(name, added, marks, **said)


def _procedure(name: str, *findings: JudgedFinding, turning_s: float | None = None) -> JudgedProcedure:
    withdrawal_s = None if turning_s is None else 120.0 - turning_s
    alarms = {one.id: [frame for frame, mark in one.marks.items() if mark.score is not None] for one in findings}
    first = {key: min(frames) for key, frames in alarms.items() if frames}
    return JudgedProcedure(name, ("A",), findings, _TIMES, 120.0, turning_s, withdrawal_s, first)


def test_each_figure() -> None:
    one = _procedure(
        "one",
        _finding("1", 700, 720, verdict="right"),
        _finding("2", 800, 830, verdict="right", drawn=20),  # the reader saw it 2 s before the detector did
        _finding("3", 100, 110, verdict="wrong", cause="bubble"),  # on the way in
        _finding("4", 900, 910, verdict="wrong"),
        _finding("5", 950, 955, verdict="unsure"),
        _finding("6", 960, 965),
        turning_s=60.0,
    )
    two = _procedure(
        "two",
        _finding("1", 10, 20, verdict="right"),
        _finding("added-1", 300, 320, added=True),
        _finding("2", 500, 520, verdict="wrong", cause="bubble"),
    )
    found = figures_of([one, two], not_done=3)
    assert found["procedures"] == {"done": 2, "not_done": 3, "with_turning_point": 1}
    assert found["findings"] == {"right": 3, "added": 1, "wrong": 3, "unsure": 1, "not_judged": 1}
    figures: Mapping[str, Mapping[str, object]] = found["figures"]
    values = {name: one["value"] for name, one in figures.items()}
    assert values == {
        "sensitivity_per_lesion": 0.75,
        "false_positives_per_procedure": 1.5,
        "false_positives_per_minute_of_withdrawal": 1.0,  # one in the minute of the first procedure
        "false_positives_per_minute_of_recording": 0.5,  # one in the two minutes of the second
        "false_positives_per_procedure_bubble": 1.0,
        "false_positives_per_procedure_not said": 0.5,
        "time_to_first_alarm_median_s": 0.0,
        "time_to_first_alarm_p90_s": pytest.approx(1.6),
    }
    assert (figures["sensitivity_per_lesion"]["count"], figures["sensitivity_per_lesion"]["of"]) == (3, 4)
    assert figures["sensitivity_per_lesion"]["interval_95"] is None  # two procedures say nothing of a spread
    rows = list(csv.DictReader(figures_table(found).splitlines()))
    assert rows[0] == {
        **{"figure": "sensitivity_per_lesion", "value": "0.75", "low_95": "", "high_95": ""},
        **{"count": "3.0", "of": "4.0", "procedures": "2"},
    }
    assert {row["figure"]: row["value"] for row in rows}["findings_not_judged"] == "1"


def _as_it_is(change: dict[str, Any], _: History) -> dict[str, Any]:
    return change


def test_a_box_that_was_corrected_was_an_alarm_all_the_same(tmp_path: Path) -> None:
    """The reader corrects the detector's first ten boxes, and draws five before them: it was half a second late."""
    beginning = Beginning((Shape(1200, 100, 100, 0.0, 120.0),), _TIMES, (_finding("1", 50, 90),))
    moved = [12.0, 10.0, 50.0, 50.0]
    changes: list[dict[str, Any]] = [
        *({"do": "box", "finding": "1", "recording": 0, "frame": frame, "box": moved} for frame in range(45, 60)),
        {"do": "judge", "finding": "1", "field": "verdict", "value": "right"},
        {"do": "state", "value": "done"},
    ]
    with JudgementStore(tmp_path / FILE) as store:
        revision = 0
        for change in changes:
            history, _ = store.change("exam", "A", revision, lambda: beginning, partial(_as_it_is, change))
            revision = history.revision
    (judged,), others = judged_procedures(tmp_path, {"exam": tmp_path / "report.json"})
    assert not others and judged.first_alarms == {"1": 50}
    assert figures_of([judged])["figures"]["time_to_first_alarm_median_s"]["value"] == 0.5


def test_nothing_is_judged() -> None:
    found = figures_of([], not_done=4)
    assert found["procedures"]["not_done"] == 4
    assert all(one["value"] is None and one["interval_95"] is None for one in found["figures"].values())
    assert figures_table(found).startswith("figure,value,low_95")


def test_intervals_go_over_procedures() -> None:
    judged = [
        _procedure(
            f"exam {number}",
            _finding("1", 0, 9, verdict="right"),
            *([_finding("added", 50, 60, added=True)] if number % 3 == 0 else []),
        )
        for number in range(12)
    ]
    figure = figures_of(judged)["figures"]["sensitivity_per_lesion"]
    assert figure["value"] == 0.75 and figure["procedures"] == 12
    low, high = figure["interval_95"]
    assert 0.6 < low < 0.75 < high < 0.95


def _state(*findings: JudgedFinding) -> Judgements:
    return Judgements({one.id: one for one in findings})


def test_findings_of_two_readers_are_matched() -> None:
    one = _state(
        _finding("1", 0, 50, verdict="right"),  # joined with what was 2
        _finding("added-1", 100, 120, added=True),
        _finding("added-2", 200, 220, added=True),
    )
    other = _state(
        _finding("1", 0, 20, verdict="right"),
        _finding("2", 30, 50, verdict="wrong"),
        _finding("added-1", 110, 130, added=True),  # the same lesion, some frames later
        _finding("added-2", 200, 220, added=True, box=_THERE),  # at one time, at another place
    )
    ids = [
        (None if pair.one is None else pair.one.id, None if pair.other is None else pair.other.id)
        for pair in pairs_of("exam", one, other)
    ]
    assert sorted(ids, key=str) == sorted(
        [("1", "1"), ("1", "2"), ("added-1", "added-1"), ("added-2", None), (None, "added-2")], key=str
    )
    turned = [
        (None if pair.other is None else pair.other.id, None if pair.one is None else pair.one.id)
        for pair in pairs_of("exam", other, one)
    ]
    assert sorted(turned, key=str) == sorted(ids, key=str)


def test_agreement_and_differences() -> None:
    one = _state(
        _finding("1", 0, 9, verdict="right", size="1-5", kind="adenoma"),
        _finding("2", 20, 29, verdict="right", size="6-9", kind="adenoma"),
        _finding("3", 40, 49, verdict="wrong"),
        _finding("4", 60, 69, verdict="wrong"),
        _finding("5", 80, 89),
        _finding("added-1", 100, 109, added=True),
    )
    other = _state(
        _finding("1", 0, 9, verdict="right", size="1-5", kind="adenoma"),
        _finding("2", 20, 29, verdict="right", size="10-19", kind="hyperplastic"),
        _finding("3", 40, 49, verdict="wrong"),
        _finding("4", 60, 69, verdict="right"),
        _finding("5", 80, 89, verdict="right"),
    )
    pairs = pairs_of("exam", one, other)
    found = agreement_of(pairs, _LISTS)
    verdict = found["verdict"]
    assert verdict["values"] == ["right", "wrong", "unsure", ABSENT] and verdict["left_out"] == 1
    assert verdict["table"] == [[2, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # 3 of 5 agree; by chance 3/5 * 3/5 + 2/5 * 1/5 = 0.44 would.
    assert verdict["agreed"] == 0.6 and verdict["kappa"] == pytest.approx((0.6 - 0.44) / 0.56, abs=1e-4)
    assert found["size"]["weighting"] == "linear" and found["size"]["items"] == 2
    assert found["nice"]["kappa"] is None and found["nice"]["items"] == 0
    beginning = Beginning((Shape(500, 128, 96, 0.0, 50.0), Shape(700, 128, 96, 50.0, 70.0)), _TIMES, ())
    differ = list(differences_in(pairs, beginning))
    assert [(one["findings"], sorted(one["differ"])) for one in differ] == [
        (["2", "2"], ["kind", "size"]),
        (["4", "4"], ["verdict"]),
        (["5", "5"], ["verdict"]),
        (["added-1", None], ["verdict"]),
    ]
    assert differ[-1]["differ"]["verdict"] == ["right", ABSENT] and differ[-1]["time_s"] == 10.0
    far = pairs_of("exam", _state(_finding("1", 600, 610, verdict="right")), _state())
    (late,) = differences_in(far, beginning)
    assert (late["recording"], late["frame"]) == (1, 100)
