"""What a calibration gave, as a section of the model card."""

from __future__ import annotations

import re

from calibration.decisions.operating_point import Expected, OperatingPoint
from calibration.decisions.time_rule import RuleFigures
from calibration.scores.probability import CalibrationMethod, FittedCalibration

HEADING = "## Calibration and threshold"
_SECTION = re.compile(rf"^{re.escape(HEADING)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_NAMES = {
    "sensitivity": "share of polyps found",
    "precision": "share of detections that are right",
    "f1": "F1",
    "specificity": "share of frames without polyp that stay quiet",
    "false_positives_per_frame": "false detections a frame",
}


def with_section(card: str, fitted: FittedCalibration, point: OperatingPoint, rule: RuleFigures | None) -> str:
    """The card (Markdown) with this section; one that it had is replaced."""
    section = "\n".join([HEADING, "", *_lines(fitted, point, rule), ""])
    rest = _SECTION.sub("", card).rstrip()
    return f"{rest}\n\n{section}"


def expected_text(figure: Expected) -> str:
    """A figure with its interval."""
    if figure.interval is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.interval.low:.3f} to {figure.interval.high:.3f})"


def expected_name(name: str) -> str:
    """What a figure is called in prose."""
    return _NAMES[name]


def _scores(fitted: FittedCalibration, frames: int) -> str:
    if fitted.method is CalibrationMethod.NONE:
        return "Scores are those of the network: they were not calibrated."
    before, after = fitted.compared[CalibrationMethod.NONE.value].error, fitted.compared[fitted.method.value].error
    return (
        f"Scores are probabilities that a detection is right, by {fitted.method.value} calibration on {frames} "
        "held-out frames. Expected calibration error over all candidates, on groups of frames that were not fitted on: "
        f"{before:.4f} before, {after:.4f} after."
    )


def _lines(fitted: FittedCalibration, point: OperatingPoint, rule: RuleFigures | None) -> list[str]:
    lines = [
        _scores(fitted, point.frames),
        "",
        f"Threshold {point.threshold:.4f}, chosen for `{point.goal.text}` on {point.frames} frames with {point.polyps} "
        f"polyps, {point.frames_without_polyp} of them without polyp, in {point.groups} groups. Expected there (95 % "
        "interval over groups):",
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {expected_name(name)} | {expected_text(figure)} |" for name, figure in point.expected.items()),
    ]
    if rule is not None:
        delay = "" if rule.delay_s is None else f", {rule.delay_s:.2f} s to the first box in the mean"
        time = rule.rule
        lines += [
            "",
            f"Rule over time, in shares of the threshold: candidates found a track from {time.found:g} and continue it "
            f"from {time.continued:g}; it is shown from a mean score of {time.show:g} over {time.span_s:g} s on, "
            f"and goes out under {time.keep:g}. The rule was chosen on clips, together with the threshold among those "
            f"that serve the target equally (F1 within 0.01 of the best). On {rule.minutes:.1f} minutes of clips: "
            f"{rule.false_alarms_per_minute:.1f} false alarms a minute{delay}, {rule.missed} of {rule.polyps} polyps "
            "never shown.",
        ]
    return lines
