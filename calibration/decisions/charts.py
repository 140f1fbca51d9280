"""A calibration as one page: reliability before and after, curves with the chosen point, rules over time."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.decisions.calibrating import ERROR_FLOORS, Calibrated
from calibration.decisions.card import expected_name, expected_text
from calibration.decisions.operating_point import OperatingPoint, Sweep
from calibration.decisions.time_rule import RuleFigures
from calibration.scores.probability import JudgedScores, calibration_error, reliability_bins
from engine.files import write_bytes
from engine.score_calibration import ScoreCalibration
from engine.text.printing import chart_text, html_text
from train.evaluation.report_charts import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Endings of reports.
REPORT_SUFFIXES = (".html", ".htm", ".png")
_BLUE, _ORANGE, _GREEN = COLOURS[:3]


def write_report(path: Path, title: str, found: Calibrated, *, notes: Sequence[str] = ()) -> None:
    """Writes a picture (.png), or a page with the picture, the tables and notes on the data (.html).

    Raises:
        WriteError: the file could not be written.
    """
    buffer = io.BytesIO()
    picture = path.suffix.lower() == ".png"
    calibration_figure(title, found).savefig(buffer, format="png" if picture else "svg", dpi=110)
    data = buffer.getvalue()
    write_bytes(path, data if picture else _page(title, data, found, notes).encode())


def calibration_figure(title: str, found: Calibrated) -> Figure:
    """All charts of a calibration in one picture."""
    figure = _new_figure(12.5, 7.6)
    figure.suptitle(chart_text(title))
    axes = figure.subplots(2, 3)
    judged = JudgedScores.of(found.before)
    draw_reliability(axes[0][0], "before", judged, ScoreCalibration())
    draw_reliability(axes[0][1], "after", judged, found.fitted.calibration)
    _draw_calibration(axes[0][2], found.fitted.calibration)
    sweep = Sweep.of(found.after.outcome)
    _draw_froc(axes[1][0], sweep, found.point)
    _draw_sweep(axes[1][1], sweep, found.point)
    _draw_rules(axes[1][2], found.rules, found.rule)
    return figure


def reliability_figure(title: str, sets: Sequence[tuple[str, JudgedScores]], calibration: ScoreCalibration) -> Figure:
    """Reliability of several data sets (columns), before (upper row) and after."""
    figure = _new_figure(4.2 * len(sets), 7.6)
    figure.suptitle(chart_text(title))
    axes = figure.subplots(2, len(sets), squeeze=False)
    for column, (name, judged) in enumerate(sets):
        draw_reliability(axes[0][column], f"{name}, before", judged, ScoreCalibration())
        draw_reliability(axes[1][column], f"{name}, after", judged, calibration)
    return figure


def draw_reliability(axes: Axes, name: str, judged: JudgedScores, calibration: ScoreCalibration) -> None:
    """What was said against what is true; the bars behind tell how many detections there are (logarithmic)."""
    judged = judged.where(judged.scores >= ERROR_FLOORS[-1])
    probabilities = calibration(judged.scores)
    behind = axes.twinx()
    behind.hist(probabilities, bins=15, range=(0, 1), color="#e4e8eb", log=True)
    behind.yaxis.set_visible(False)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
    for mass, colour, label in ((False, _BLUE, "equal width"), (True, _ORANGE, "equal mass")):
        bins = reliability_bins(probabilities, judged.right, equal_mass=mass)
        axes.plot(
            [one.probability for one in bins],
            [one.right_share for one in bins],
            color=colour,
            marker="o",
            markersize=3.5,
            linewidth=1.3,
            label=f"{label}: error {calibration_error(bins):.3f}",
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_title(f"{chart_text(name)} ({len(judged.scores)} detections)", fontsize=9)
    axes.set_xlabel("score")
    axes.set_ylabel("share that is right")
    axes.legend(fontsize=7, loc="upper left")


def _new_figure(width: float, height: float) -> Figure:
    # No pyplot: it would choose a screen, and keep every figure alive.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_calibration(axes: Axes, calibration: ScoreCalibration) -> None:
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
    axes.plot(calibration.scores, calibration.probabilities, color=_GREEN, marker=".")
    axes.set_title("calibration", fontsize=9)
    axes.set_xlabel("score of the network")
    axes.set_ylabel("probability")


def _draw_froc(axes: Axes, sweep: Sweep, point: OperatingPoint) -> None:
    axes.plot(np.maximum(sweep.false_positives, 1e-3), sweep.sensitivity, color=_BLUE, drawstyle="steps-post")
    rate, found = point.expected["false_positives_per_frame"], point.expected.get("sensitivity")
    if found is not None:
        x = max(rate.value, 1e-3)
        axes.plot(x, found.value, marker="o", color=_ORANGE, label=f"chosen: {point.threshold:.3f}")
        if rate.interval is not None and found.interval is not None:
            axes.hlines(found.value, max(rate.interval.low, 1e-3), rate.interval.high, color=_ORANGE, linewidth=1)
            axes.vlines(x, found.interval.low, found.interval.high, color=_ORANGE, linewidth=1)
        axes.legend(fontsize=7, loc="lower right")
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_title("FROC", fontsize=9)
    axes.set_xlabel("false detections a frame")
    axes.set_ylabel("share of polyps found")


def _draw_sweep(axes: Axes, sweep: Sweep, point: OperatingPoint) -> None:
    for name, values, colour in (
        ("sensitivity", sweep.sensitivity, _BLUE),
        ("specificity", sweep.specificity, _GREEN),
        ("F1", sweep.f1, _ORANGE),
    ):
        axes.plot(sweep.thresholds, values, color=colour, label=name)
    axes.axvline(point.threshold, color="#222222", linewidth=1, linestyle=":")
    axes.set_title(f"target {point.goal.text}: threshold {point.threshold:.3f}", fontsize=9)
    axes.set_xlabel("threshold")
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=7, loc="lower center")


def _draw_rules(axes: Axes, rules: Sequence[RuleFigures], chosen: RuleFigures | None) -> None:
    if chosen is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no clips: no rule over time", ha="center", va="center", fontsize=9)
        return
    for number, one in enumerate([rule for rule in rules if rule.threshold == chosen.threshold]):
        label = f"{one.rule.found:g}, {one.rule.show:g}"
        place = (one.delay_s or 0.0, one.false_alarms_per_minute)
        axes.plot(*place, marker="o", color=_ORANGE if one == chosen else _BLUE)
        # Neighbouring rules often fall together: their names take turns above and below.
        axes.annotate(label, place, textcoords="offset points", xytext=(4, 5 if number % 2 else -10), fontsize=7)
    axes.set_title(f"found, show at threshold {chosen.threshold:.3f}", fontsize=9)
    axes.set_xlabel("mean time to the first box, live (s)")
    axes.set_ylabel("false alarms a minute")


def _page(title: str, picture: bytes, found: Calibrated, notes: Sequence[str]) -> str:
    address = "data:image/svg+xml;base64," + base64.b64encode(picture).decode("ascii")
    expected = _table(
        ("expected at the threshold", "value (95 % interval over groups)"),
        [(expected_name(name), expected_text(figure)) for name, figure in found.point.expected.items()],
    )
    methods = _table(
        ("method, on new groups", "log loss", "Brier score", "calibration error"),
        [
            (name, f"{one.log_loss:.4f}", f"{one.brier:.4f}", f"{one.error:.4f}")
            for name, one in found.fitted.compared.items()
        ],
    )
    rules = _table(
        (
            "threshold",
            "tracks from",
            "shown from",
            "false alarms a minute",
            "mean time to first box (s)",
            "frames with a polyp shown",
            "polyps never shown",
        ),
        [
            (
                f"{one.threshold:.3f}",
                f"{one.rule.found:g}",
                f"{one.rule.show:g}",
                f"{one.false_alarms_per_minute:.2f}",
                "" if one.delay_s is None else f"{one.delay_s:.3f}",
                "" if one.shown is None else f"{one.shown:.3f}",
                f"{one.missed} of {one.polyps}",
            )
            for one in found.rules
        ],
    )
    style = "body{font:14px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left}img{max-width:100%}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html_text(title)}</title>'
        f"<style>{style}</style><h1>{html_text(title)}</h1>"
        f"<p>Target {html_text(found.point.goal.text)}: threshold {found.point.threshold:.4f}, on "
        f"{found.point.frames} frames in {found.point.groups} groups; {found.fitted.method.value} calibration.</p>"
        f"{''.join(f'<p>Note: {html_text(note)}</p>' for note in notes)}"
        f'<img alt="charts" src="{address}">{expected}{methods}{rules if found.rules else ""}</html>\n'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{html_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{html_text(cell)}</th>" for cell in head) + f"</tr>{lines}</table>"
