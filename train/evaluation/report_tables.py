"""Tables of figures: as HTML for reports, and as lines of text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.text.printing import html_text
from train.evaluation.run import Matrix, ModelEvaluation
from train.metrics.matching import Rule
from train.metrics.video import RunRule

_RULES = {
    Rule.CENTROID: "centre in the mask",
    Rule.IOU_50: "IoU of boxes 0.5",
    Rule.IOU_25: "IoU of boxes 0.25",
}
_OVERVIEW = {
    "centroid_f1": "F1",
    "centroid_f2": "F2",
    "centroid_precision": "precision",
    "centroid_recall": "recall",
    "ap50": "AP50",
    "ap50_95": "AP50:95",
    "frame_sensitivity": "frames with polyp alarmed",
    "frame_specificity": "frames without polyp quiet",
    "frame_auc": "AUC of frames",
}
_LENGTHS = {
    RunRule.ANY: "of any length",
    RunRule.HALF_SECOND: "of 0.5 s or more",
    RunRule.ONE_SECOND: "of 1 s or more",
    RunRule.TWO_SECONDS: "of 2 s or more",
}
_VIDEO = {
    **{
        f"recall_within_3_s_{rule.key}": f"polyps found within 3 s of their first sight, alarm {length}"
        for rule, length in _LENGTHS.items()
    },
    **{f"polyp_detection_rate_{rule.key}": f"polyps ever found, alarm {length}" for rule, length in _LENGTHS.items()},
    "polyps_never_detected": "polyps never detected",
    "time_to_first_detection_median_s": "time to first detection, median (s; of those found)",
    "time_to_first_detection_p90_s": "time to first detection, 90th percentile (s; of those found)",
    "frame_sensitivity": "frames with polyp in which it is found",
    "frame_specificity": "frames without polyp without alarm",
    "frame_auc": "AUC of frames",
    "false_positive_frames_per_minute": "frames with a false alarm, a minute",
    **{
        f"false_activations_per_minute_{rule.key}": f"false activations a minute, {length}"
        for rule, length in _LENGTHS.items()
    },
    "false_activation_median_s": "length of false activations, median (s)",
    "false_activation_longest_s": "length of false activations, longest (s)",
    "steady_alarm_share": "share of visible time with a steady alarm, of 0.5 s or more",
    "gaps_in_view": "gaps: stretches in view without alarm",
    "alarm_share_after_first_detection": "share of visible frames with alarm, from the first detection on",
    "alarm_interruptions_per_minute": "interruptions of an alarm, a minute",
}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; the first column is text, the others are figures. Cells are HTML already."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure_cell(figures: Mapping[str, Any], name: str) -> str:
    """A figure with its interval below, as HTML."""
    value, interval = figures.get(name), figures.get("interval_95", {}).get(name)
    if value is None:
        return '<span class="none">none</span>'
    shown = str(value) if isinstance(value, int) else f"{value:.3f}"
    return shown if interval is None else f'{shown}<span class="interval">{interval[0]:.3f} to {interval[1]:.3f}</span>'


def overview_table(stills: Mapping[str, Mapping[str, Any]]) -> str:
    """The main figures of each data set of frames, by its name."""
    header = ["data set", "frames", "polyps", "without polyp", *map(html_text, _OVERVIEW.values())]
    rows = [
        [
            html_text(name),
            str(figures["frames"]),
            str(figures["polyps"]),
            str(figures["frames_without_polyp"]),
            *(figure_cell(figures, key) for key in _OVERVIEW),
        ]
        for name, figures in stills.items()
    ]
    return table(header, rows)


def rules_table(figures: Mapping[str, Any]) -> str:
    """One data set by every rule of what a right detection is."""
    header = ["right when", "right", "false", "missed", "precision", "recall", "F1", "F2"]
    rows = [
        [
            text,
            *(
                str(figures[f"{rule.value}_{kind}"])
                for kind in ("true_positives", "false_positives", "false_negatives")
            ),
            *(figure_cell(figures, f"{rule.value}_{name}") for name in ("precision", "recall", "f1", "f2")),
        ]
        for rule, text in _RULES.items()
    ]
    return table(header, rows)


def groups_table(figures: Mapping[str, Any], *, most: int) -> str:
    """Groups of frames (sequences, patients), those in which least is found; empty where every frame stands alone."""
    groups = figures["by_group"]
    if not groups:
        return ""
    rows = [
        [
            html_text(one["group"]),
            str(one["frames"]),
            str(one["polyps"]),
            figure_cell(one, "centroid_recall"),
            str(one["false_positives"]),
        ]
        for one in groups[:most]
    ]
    title = "Groups of frames" if len(groups) <= most else f"Groups of frames: {most} of {len(groups)}"
    header = ["group", "frames", "polyps", "of these found", "false detections"]
    return f"<h3>{title}, those in which least is found first</h3>{table(header, rows)}"


def sensitivity_table(figures: Mapping[str, Any]) -> str:
    """Sensitivity at fixed rates of false detections."""
    found = figures["sensitivity_at_false_positives_per_frame"]
    if found is None:
        return ""
    return table(["false detections a frame", *found], [["sensitivity", *(f"{value:.3f}" for value in found.values())]])


def matrix_table(matrix: Matrix) -> str:
    """Models (rows) against data sets (columns)."""
    rows = [
        [html_text(model), *('<span class="none">none</span>' if value is None else f"{value:.3f}" for value in values)]
        for model, values in zip(matrix.models, matrix.values, strict=True)
    ]
    return table(["model", *map(html_text, matrix.data)], rows)


def video_table(figures: Mapping[str, Any]) -> str:
    """Figures of clips: detections of single frames beside what is shown live and in recordings."""
    columns = {"detections": "detections of single frames", "live": "shown live", "recorded": "shown in recordings"}
    rows = [
        [html_text(text), *(figure_cell(figures[column], key) for column in columns)] for key, text in _VIDEO.items()
    ]
    return table(["figure", *columns.values()], rows)


def clips_table(figures: Mapping[str, Any]) -> str:
    """Each clip by itself: what is shown live, and in recordings."""
    rows = []
    for name, clip in figures["by_clip"].items():
        for way in ("live", "recorded"):
            one = clip[way]
            found = sum(polyp["first_detection_after_s"] is not None for polyp in one["polyps"])
            rows.append(
                [
                    html_text(f"{name}, {way}"),
                    str(one["frames"]),
                    str(one["frames_with_polyp"]),
                    figure_cell(one, "frame_sensitivity"),
                    figure_cell(one, "frame_specificity"),
                    str(one["false_positive_frames"]),
                    str(one["false_activations"]),
                    str(sum(len(polyp["gaps"]) for polyp in one["polyps"])),
                    f"{found} of {len(one['polyps'])}",
                ]
            )
    counts = ["frames", "with polyp", "of these found", "others quiet", "false frames", "activations", "gaps"]
    return table(["clip", *counts, "polyps found"], rows)


def summary_lines(model: ModelEvaluation) -> list[str]:
    """The main figures of a model as lines of text."""
    lines = [f"{model.name}, threshold {model.threshold:.3f}"]
    for one in model.judged:
        figures = one.figures
        if figures["kind"] == "clips":
            seen = figures["detections"]
            about = f"{one.data.name} (clips: {seen['clips']}, {seen['minutes']:.2f} min)"
            lines.append(f"  {about}  {_listed(_main_of_clips(seen))}")
            for way in ("live", "recorded"):
                lines.append(f"    as shown {way}: {_listed(_main_of_clips(figures[way]))}")
        else:
            named = {text: figures[key] for key, text in _OVERVIEW.items()}
            lines.append(f"  {one.data.name} ({one.data.split}, {figures['frames']} frames)  {_listed(named)}")
            interval = figures["interval_95"]["centroid_f1"]
            if interval is not None:
                lines[-1] += (
                    f"; F1 95 % interval {interval[0]:.3f} to {interval[1]:.3f} over {figures['groups']} groups"
                )
        lines += [f"    note: {note}" for note in one.data.notes]
    return lines


def _main_of_clips(figures: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        "polyps found within 3 s": figures["recall_within_3_s_any_length"],
        "frames with polyp found": figures["frame_sensitivity"],
        "frames without polyp quiet": figures["frame_specificity"],
        "false activations/min": figures["false_activations_per_minute_any_length"],
        "over 0.5 s": figures["false_activations_per_minute_over_0.5_s"],
        "gaps": figures["gaps_in_view"],
    }


def _listed(figures: Mapping[str, float | None]) -> str:
    return ", ".join(
        f"{name} {value}" if isinstance(value, int) else f"{name} {value:.3f}"
        for name, value in figures.items()
        if value is not None
    )
