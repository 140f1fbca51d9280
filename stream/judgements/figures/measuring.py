"""Figures of the detector by what readers judged, each with a 95 % interval by bootstrap over procedures.

Only procedures that a reader is done with count: before, nobody knows what was missed in them. What is not judged, and
what nobody is sure of, counts nowhere and is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.arrays import Float64s, Int64s
from engine.statistics.bootstrap import GroupBootstrap, Interval
from engine.statistics.ratios import ratio, ratios, rounded
from engine.text.tables import csv_text
from stream.judgements.figures.judged import JudgedProcedure, with_verdict

_NO_CAUSE = "not said"
_COLUMNS = ("figure", "value", "low_95", "high_95", "count", "of", "procedures")


def figures_of(judged: Sequence[JudgedProcedure], *, not_done: int = 0) -> dict[str, Any]:
    """All figures, ready for JSON.

    Args:
        judged: procedures that are judged to their end.
        not_done: how many others there are.

    Returns:
        `procedures`, `findings` (counts), `readers`, and `figures`: each with `value` (None without anything to count),
        `interval_95` ([low, high]; None with fewer than three procedures), `count` and `of` (what it is the ratio of),
        and `procedures`.
    """
    findings = [one for procedure in judged for one in procedure.findings]
    turned = [one for one in judged if one.withdrawal_s is not None]
    others = [one for one in judged if one.withdrawal_s is None]
    causes = Counter(one.cause or _NO_CAUSE for one in with_verdict(findings, "wrong"))
    figures = {
        "sensitivity_per_lesion": _ratio(judged, [(_found(one), _lesions(one)) for one in judged]),
        "false_positives_per_procedure": _ratio(judged, [(_wrong(one), 1) for one in judged]),
        "false_positives_per_minute_of_withdrawal": _ratio(
            turned, [(_wrong_after(one), (one.withdrawal_s or 0.0) / 60) for one in turned]
        ),
        "false_positives_per_minute_of_recording": _ratio(
            others, [(_wrong(one), one.recording_s / 60) for one in others]
        ),
        **{
            f"false_positives_per_procedure_{cause}": _ratio(judged, [(_caused(one, cause), 1) for one in judged])
            for cause in sorted(causes)
        },
        "time_to_first_alarm_median_s": _quantile(judged, 0.5),
        "time_to_first_alarm_p90_s": _quantile(judged, 0.9),
    }
    return {
        "procedures": {"done": len(judged), "not_done": not_done, "with_turning_point": len(turned)},
        "readers": sorted({reader for one in judged for reader in one.readers}),
        "findings": {
            "right": sum(one.is_lesion and not one.added for one in findings),
            "added": sum(one.added for one in findings),
            "wrong": len(with_verdict(findings, "wrong")),
            "unsure": len(with_verdict(findings, "unsure")),
            "not_judged": sum(one.verdict is None and not one.is_lesion for one in findings),
        },
        "figures": figures,
    }


def figures_table(found: dict[str, Any]) -> str:
    """What `figures_of` gives, as CSV: one figure a line, then the counts."""
    lines = [
        (name, one["value"], *(one["interval_95"] or (None, None)), one["count"], one["of"], one["procedures"])
        for name, one in found["figures"].items()
    ]
    lines += [
        (f"{kind}_{name}", count, None, None, None, None, None)
        for kind in ("findings", "procedures")
        for name, count in found[kind].items()
    ]
    return csv_text(_COLUMNS, lines)


def _lesions(procedure: JudgedProcedure) -> int:
    return sum(one.is_lesion for one in procedure.findings)


def _found(procedure: JudgedProcedure) -> int:
    return sum(one.is_lesion and not one.added for one in procedure.findings)


def _wrong(procedure: JudgedProcedure) -> int:
    return len(with_verdict(procedure.findings, "wrong"))


def _caused(procedure: JudgedProcedure, cause: str) -> int:
    return sum((one.cause or _NO_CAUSE) == cause for one in with_verdict(procedure.findings, "wrong"))


def _wrong_after(procedure: JudgedProcedure) -> int:
    """False positives that are shown on the way back."""
    turning_s = procedure.turning_s or 0.0
    return sum(procedure.times_s[one.last_frame] >= turning_s for one in with_verdict(procedure.findings, "wrong"))


def _delays_s(procedure: JudgedProcedure) -> list[float]:
    """Of each lesion that was found, seconds from a reader's first box to the detector's; 0 where that comes first."""
    delays = []
    for one in procedure.findings:
        alarm = procedure.first_alarms.get(one.id)
        if one.is_lesion and not one.added and alarm is not None:
            delays.append(procedure.times_s[alarm] - procedure.times_s[one.first_frame])
    return delays


def _ratio(procedures: Sequence[JudgedProcedure], sums: Sequence[tuple[float, float]]) -> dict[str, Any]:
    table = np.array(sums, np.float64).reshape(-1, 2)
    bootstrap = GroupBootstrap([one.name for one in procedures])

    def figure(totals: Float64s) -> Float64s:
        return ratios(totals[:, 0], totals[:, 1])

    part, whole = table.sum(axis=0)
    return _told(ratio(part, whole), bootstrap.of_sums(table, figure), part, whole, len(procedures))


def _quantile(procedures: Sequence[JudgedProcedure], share: float) -> dict[str, Any]:
    delays = [(one.name, delay_s) for one in procedures for delay_s in _delays_s(one)]
    values = np.array([delay_s for _, delay_s in delays])

    def figure(weights: Int64s) -> float:
        drawn = np.repeat(values, weights)
        return float(np.quantile(drawn, share)) if drawn.size else float("nan")

    interval = GroupBootstrap([name for name, _ in delays]).of_weights(figure)
    value = float(np.quantile(values, share)) if values.size else float("nan")
    return _told(value, interval, len(delays), None, len({name for name, _ in delays}))


def _told(value: float, interval: Interval | None, count: float, of: float | None, procedures: int) -> dict[str, Any]:
    return {
        "value": rounded(value),
        "interval_95": None if interval is None else [rounded(interval.low), rounded(interval.high)],
        "count": rounded(count),
        "of": None if of is None else rounded(of),
        "procedures": procedures,
    }
