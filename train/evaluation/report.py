"""The report of an evaluation: one HTML page that needs no other file.

With pictures it shows frames of patients, and says so: such a page is not to be published or put under version control.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engine.files import write_text
from engine.text.printing import html_text
from stream.decision.rule import decision_rule
from train.evaluation.report_charts import (
    Line,
    event_chart,
    froc_chart,
    heat_map,
    precision_recall_chart,
    size_chart,
    strips_chart,
)
from train.evaluation.report_events import EventPicture, decide, false_events, missed_polyps
from train.evaluation.report_pictures import Case, as_jpeg, worst_false_alarms, worst_misses
from train.evaluation.report_tables import (
    clips_table,
    groups_table,
    matrix_table,
    overview_table,
    rules_table,
    sensitivity_table,
    video_table,
)
from train.evaluation.run import Evaluation, Judged, ModelEvaluation
from train.judging.clips import ClipsResult, Way
from train.judging.stills import StillsResult
from train.metrics.curves import froc_curve, precision_recall_curve

#: Misses, and false alarms, that a report shows of each data set of frames.
MOST_PICTURES = 8
# Events of clips are all shown, unless there are more than a page can carry.
_MOST_EVENTS = 100
_MOST_GROUPS = 20
_POINTS = 600  # of a curve
_STYLE = """
body{font:15px/1.5 system-ui,"Segoe UI",Helvetica,Arial,sans-serif;color:#1d2733;background:#f5f6f8;margin:0}
main{max-width:1320px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:20px;margin:34px 0 8px}h3{font-size:15px;margin:20px 0 6px}
p{margin:6px 0}.about{color:#56616e}.card{background:#fff;border:1px solid #dde2e8;border-radius:8px;padding:14px 18px;
margin:14px 0}.warning{border-color:#d55e00;background:#fff4ec}.charts{display:flex;flex-wrap:wrap;gap:10px}
.charts figure{flex:1 1 340px}figure{margin:0}figcaption{font-size:12.5px;color:#56616e;overflow-wrap:anywhere}
img{max-width:100%;height:auto}.wide{overflow-x:auto;margin-bottom:10px}table{border-collapse:collapse;font-size:13.5px;width:100%}
th,td{padding:5px 7px;text-align:right;border-bottom:1px solid #e6eaef;vertical-align:top;
font-variant-numeric:tabular-nums}
th{font-weight:600;color:#56616e;font-size:12px}th:first-child,td:first-child{text-align:left;
min-width:90px}
.interval{display:block;font-size:11px;color:#7a8592;white-space:nowrap}.none{color:#a0a9b3}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:12px}
.key span{display:inline-block;margin-right:16px}.key i{display:inline-block;width:12px;height:12px;margin-right:5px;
border:2px solid;vertical-align:-1px}dl{font-size:13.5px}dt{font-weight:600}dd{margin:0 0 6px;color:#3a4552}
"""
_KEY = (
    '<p class="key"><span><i style="border-color:#009E73"></i>polyp</span>'
    '<span><i style="border-color:#56B4E9"></i>right detection</span>'
    '<span><i style="border-color:#D55E00"></i>false detection</span>'
    '<span><i style="border-color:#E69F00"></i>candidate that is not shown</span></p>'
)
_MEANINGS = {
    "Right by the centre": "The centre of a detection's box lies in a polyp's mask; several on one polyp count once, "
    "others are false (MICCAI 2015, Bernal et al. 2017).",
    "Right by IoU": "The boxes overlap by so much; each polyp takes one detection, others on it are false.",
    "AP50, AP50:95": "Average precision as COCO computes it, over all thresholds: at an IoU of 0.5, and the mean over "
    "0.5 to 0.95.",
    "Frames": "A frame is alarmed when it has any detection. AUC: how often a frame with a polyp scores above one "
    "without.",
    "Intervals": "95 % intervals by bootstrap over sequences (or patients, or clips), not over frames, which are no "
    "independent evidence. None with fewer than three.",
    "Activation, false event": "An uninterrupted run of frames with a false alarm. The figures of devices differ by "
    "the length from which a run counts, so each is named with it.",
    "Found within 3 s": "An alarm on the polyp that lasts as long as named begins within 3 s of the first judged frame "
    "in which the polyp is to be seen. The curve gives it against the false events a minute that count by the same "
    "rule, at several thresholds; dots: the threshold in use.",
    "Live, recorded": "What a viewer sees: live a frame is decided at once; in recordings with what follows it.",
}


def write_report(path: Path, evaluation: Evaluation, *, pictures: int = MOST_PICTURES) -> None:
    """Writes the report.

    Args:
        path: of the page, ending in .html.
        evaluation: of one or several models; details are given for the first.
        pictures: misses, and false alarms, that are shown of each data set of frames; 0 for none, of clips neither.

    Raises:
        WriteError: the disk is full or gone.
    """
    write_text(path, build_report(evaluation, pictures=pictures), private=True)


def build_report(evaluation: Evaluation, *, pictures: int = MOST_PICTURES) -> str:
    """The page as text; otherwise like `write_report`."""
    model = evaluation.models[0]
    stills = {one.data.name: one for one in model.judged if isinstance(one.result, StillsResult)}
    clips = {one.data.name: one for one in model.judged if isinstance(one.result, ClipsResult)}
    parts = [_head(model, pictures)]
    if stills:
        parts.append(_frames_overview(stills, model.threshold))
    parts += _matrices(evaluation)
    parts += [_stills_section(one, model.threshold, pictures) for one in stills.values()]
    parts += [_clips_section(one, model.threshold, pictures=pictures > 0) for one in clips.values()]
    meanings = "".join(f"<dt>{html_text(term)}</dt><dd>{html_text(text)}</dd>" for term, text in _MEANINGS.items())
    parts.append(f'<h2>How it was measured</h2><div class="card"><dl>{meanings}</dl></div>')
    title = html_text(f"Evaluation of {model.name}")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(model: ModelEvaluation, pictures: int) -> str:
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    trained = model.facts.get("trained_on")
    facts = [
        f"threshold {model.threshold:.3f} (from {model.facts.get('threshold_from')})",
        *([f"trained on {', '.join(trained)}"] if trained else []),
        *([str(model.facts["runtime"])] if "runtime" in model.facts else []),
        when,
    ]
    warning = (
        '<div class="card warning"><b>This page shows pictures of patients.</b> Keep it where the data may be kept: do '
        "not publish it, and do not put it under version control.</div>"
    )
    return (
        f'<h1>Evaluation of {html_text(model.name)}</h1><p class="about">{html_text("; ".join(facts))}. Research '
        f"software, not a medical device.</p>{warning if pictures else ''}"
    )


def _frames_overview(stills: Mapping[str, Judged], threshold: float) -> str:
    figures = {name: one.figures for name, one in stills.items()}
    parts = [f'<h2>Frames</h2><div class="card">{overview_table(figures)}</div>']
    with_polyps = {name: one for name, one in stills.items() if one.figures["polyps"]}
    if with_polyps:
        froc, recall = _lines(with_polyps, threshold)
        charts = [
            _figure(
                froc_chart(froc), "Sensitivity against false detections (FROC), by the centre; dots: the threshold"
            ),
            _figure(precision_recall_chart(recall), "Precision against recall, by the centre; dots: the threshold"),
            _figure(size_chart({n: one.figures["by_size"] for n, one in with_polyps.items()}), "By size of the polyp"),
        ]
        parts.append(f'<div class="card charts">{"".join(charts)}</div>')
    return "".join(parts)


def _lines(stills: Mapping[str, Judged], threshold: float) -> tuple[list[Line], list[Line]]:
    froc_lines: list[Line] = []
    recall_lines: list[Line] = []
    for name, one in stills.items():
        assert isinstance(one.result, StillsResult)
        outcome = one.result.outcome
        counts = outcome.counts(threshold)
        froc, recall = froc_curve(outcome).thinned(_POINTS), precision_recall_curve(outcome).thinned(_POINTS)
        false = counts.false_positives / max(outcome.judged_frames, 1)
        froc_lines.append(Line(name, froc.x.tolist(), froc.y.tolist(), (false, counts.recall)))
        recall_lines.append(Line(name, recall.x.tolist(), recall.y.tolist(), (counts.recall, counts.precision)))
    return froc_lines, recall_lines


def _matrices(evaluation: Evaluation) -> list[str]:
    matrices = evaluation.matrices()
    if not matrices:
        return []
    names = {"centroid_f1": "F1 by the centre", "ap50": "AP50", "frame_specificity": "Frames without polyp quiet"}
    charts = "".join(_figure(heat_map(matrix), names[matrix.figure]) for matrix in matrices)
    tables = "".join(f"<h3>{names[matrix.figure]}</h3>{matrix_table(matrix)}" for matrix in matrices)
    rows = "".join(
        f"<dt>{html_text(model.name)}</dt><dd>threshold {model.threshold:.3f}; trained on "
        f"{html_text(', '.join(model.facts.get('trained_on') or ['unknown data']))}</dd>"
        for model in evaluation.models
    )
    return [
        f'<h2>Models against data sets</h2><div class="card charts">{charts}</div>'
        f'<div class="card">{tables}<dl>{rows}</dl></div>'
    ]


def _stills_section(one: Judged, threshold: float, pictures: int) -> str:
    figures = one.figures
    about = f"{figures['frames']} frames in {figures['groups']} groups, split {one.data.split}"
    parts = [_section_head(one, about)]
    if figures["polyps"]:
        parts.append(rules_table(figures) + sensitivity_table(figures))
    parts.append(groups_table(figures, most=_MOST_GROUPS))
    return "".join(parts) + "</div>" + (_pictures(one, threshold, pictures) if pictures else "")


def _clips_section(one: Judged, threshold: float, *, pictures: bool) -> str:
    assert isinstance(one.result, ClipsResult)
    figures: Mapping[str, Any] = one.figures
    seen = figures["detections"]
    about = f"clips: {seen['clips']}, minutes: {seen['minutes']:.2f}; a detection is right when {figures['right_when']}"
    decided = decide(one.result, decision_rule(threshold, one.time))
    strips = _figure(
        strips_chart({way.value: events for way, events in decided.events.items()}),
        "Above: polyp to be seen (dark), none (light), not judged (blank). Below, boxes that are shown: on a polyp "
        "(green), false (red)",
    )
    curves = "".join(
        _figure(event_chart(figures["curve"][way.value], threshold), f"Polyps found against false events: {way.value}")
        for way in Way
        if seen["polyps"]
    )
    broken = "".join(
        f"<p><b>Note:</b> {html_text(clip.truth.name)} was judged in part: {html_text(clip.broke_off)}</p>"
        for clip in one.result.clips
        if clip.broke_off
    )
    parts = [_section_head(one, about), broken, f'<div class="charts">{curves}</div>' if curves else "", strips]
    parts += [video_table(figures), f"<h3>Each clip</h3>{clips_table(figures)}</div>"]
    if pictures:
        missed, false = missed_polyps(decided), false_events(decided)
        titles = ("Polyps missed, late, or without a box for 0.5 s or more", "False events")
        grids = "".join(_events_grid(title, found) for title, found in zip(titles, (missed, false), strict=True))
        parts.append(f'<div class="card">{_KEY}{grids}</div>')
    return "".join(parts)


def _events_grid(title: str, found: Sequence[EventPicture]) -> str:
    """Every event; the longest where there are more than a page can carry."""
    cases = [one.case for one in found[:_MOST_EVENTS]]
    left_out = "" if len(found) == len(cases) else f", the longest {len(cases)}"
    return _grid(f"{title}: {len(found)}{left_out}", cases, as_jpeg(cases))


def _section_head(one: Judged, about: str) -> str:
    notes = "".join(f"<p><b>Note:</b> {html_text(note)}</p>" for note in one.data.notes)
    return f'<h2>{html_text(one.data.name)}</h2><div class="card"><p class="about">{html_text(about)}</p>{notes}'


def _pictures(one: Judged, threshold: float, most: int) -> str:
    assert isinstance(one.result, StillsResult)
    missed = worst_misses(one.result, threshold, most=most)
    false = worst_false_alarms(one.result, threshold, most=most)
    if not missed and not false:
        return '<p class="about">Nothing was missed and nothing was false.</p>'
    drawn = as_jpeg([*missed, *false])
    return (
        f'<div class="card">{_KEY}{_grid("Worst misses", missed, drawn[: len(missed)])}'
        f"{_grid('Worst false alarms', false, drawn[len(missed) :])}</div>"
    )


def _grid(title: str, cases: Sequence[Case], drawn: Sequence[bytes]) -> str:
    if not cases:
        return f'<h3>{html_text(title)}</h3><p class="about">None.</p>'
    cells = "".join(
        _figure("data:image/jpeg;base64," + base64.b64encode(code).decode("ascii"), case.title)
        for case, code in zip(cases, drawn, strict=True)
    )
    return f'<h3>{html_text(title)}</h3><div class="pictures">{cells}</div>'


def _figure(uri: str, caption: str) -> str:
    text = html_text(caption)
    return f'<figure><img alt="{text}" src="{uri}"><figcaption>{text}</figcaption></figure>'
