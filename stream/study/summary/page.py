"""The page of a study: all procedures, distributions, failures, in one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stream.procedure.page import clock
from stream.procedure.templating import page_templates
from stream.study.progress import StudyProgress, long_time
from stream.study.summary.charts import HEIGHT, WIDTH, distribution
from stream.study.summary.rows import ProcedureRow

_TEMPLATES = Path(__file__).with_name("templates")
#: Figures of judgements that the page shows, with what it calls them; `polypstream review --figures` gives all.
_FIGURES = {
    "sensitivity_per_lesion": "Lesions found, of all",
    "false_positives_per_procedure": "False positives in a procedure",
    "false_positives_per_minute_of_withdrawal": "False positives a minute of withdrawal",
    "false_positives_per_minute_of_recording": "False positives a minute of recording, where no turning point is known",
    "time_to_first_alarm_median_s": "Seconds to the first alarm, median",
}
REFRESH_S = 15
"""Seconds after which a page of a study that goes on asks for a newer one."""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a page says beside the procedures.

    Attributes:
        title: name of the study.
        made: when the page was made, as text.
        version: of polypstream.
        model: name of the model.
        threshold: score from which a detection counts, 0 to 1.
        left_out: files that are no recordings, each with the reason.
        failures: recordings and procedures that failed, each with the reason.
        remarks: recordings and procedures that are not whole, each with the reason.
        copies: recordings with the bytes of another, each with the other.
        going_on: whether it goes on.
    """

    title: str
    made: str
    version: str
    model: str
    threshold: float
    left_out: Mapping[str, str]
    failures: Mapping[str, str]
    remarks: Mapping[str, str]
    copies: Mapping[str, str]
    going_on: bool


def style_and_script() -> tuple[str, str]:
    """The style sheet and the script that stand in the page."""
    return tuple((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("index.css", "index.js"))  # type: ignore[return-value]


def page_of(
    rows: Sequence[ProcedureRow],
    progress: StudyProgress,
    facts: StudyFacts,
    judged: Mapping[str, Any] | None = None,
) -> str:
    """The page of a study.

    Args:
        rows: its procedures.
        progress: how far it is.
        facts: that it says beside them.
        judged: what judgements come to (`stream.judgements.figures.measuring.figures_of`); None before there are any.
    """
    templates = page_templates(_TEMPLATES, clock=clock, long_time=long_time, address=quote)
    style, script = style_and_script()
    counted = [row for row in rows if row.count is not None]
    net = _minutes(counted, "net_withdrawal_s")
    charts = [
        distribution("Findings in a procedure", [float(row.count or 0) for row in counted], whole=True),
        distribution("Net withdrawal, minutes", net)
        if net
        else distribution("Inside the body, minutes", _minutes(counted, "inside_s")),
    ]
    return templates.get_template("index.html").render(
        rows=rows,
        progress=progress,
        facts=facts,
        judged=judged,
        judged_figures=_FIGURES,
        findings=sum(row.count or 0 for row in counted),
        with_findings=sum(bool(row.count) for row in counted),
        counted=len(counted),
        charts=[chart for chart in charts if chart is not None],
        listed=list(dict.fromkeys(name for row in rows for name in row.listed if name != "cecum_time")),
        width=WIDTH,
        height=HEIGHT,
        refresh_s=REFRESH_S,
        style=style,
        script=script,
    )


def _minutes(rows: Sequence[ProcedureRow], name: str) -> list[float]:
    return [value / 60 for row in rows if (value := row.times.get(name)) is not None]
