"""All figures of a detector on labelled frames, with their intervals, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from engine.arrays import Float64s, Int64s
from engine.statistics.bootstrap import GroupBootstrap, Interval
from engine.statistics.ratios import ratios, rounded
from train.judging.stills import StillsResult
from train.metrics.curves import FROC_POINTS, Confusion, auc, froc_curve, precision_recall_curve, sensitivity_at
from train.metrics.matching import FALSE, Counts, FrameMatch, Ranking, Rule, outcome_of

#: IoU thresholds of COCO's AP50:95.
COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())


class PolypSize(str, Enum):
    """Size of a polyp as it appears: area of its mask as a share of the field of view.

    Of the polyps of CVC-ClinicDB, Kvasir-SEG, BKAI-NeoPolyp and PolypGen about a fifth is small and a third is large.
    """

    SMALL = "small (under 2 % of the picture)"
    MEDIUM = "medium (2 to 10 %)"
    LARGE = "large (10 % and more)"

    @classmethod
    def of(cls, share: float) -> PolypSize:
        """The size for a share of the field of view, 0 to 1."""
        if share < 0.02:
            return cls.SMALL
        return cls.MEDIUM if share < 0.10 else cls.LARGE


@dataclass(frozen=True, slots=True)
class _Figure:
    value: float
    interval: Interval | None


def stills_figures(result: StillsResult, threshold: float, *, seed: int = 0) -> dict[str, Any]:
    """Every figure of the field's protocols for still frames.

    Args:
        result: of one data set.
        threshold: score from which a detection counts, 0 to 1.
        seed: of the bootstrap.

    Returns:
        Flat figures; `interval_95` with [low, high] under the same names (by bootstrap over groups); `by_size`;
        `by_group`, of groups of at least two frames, those first in which least is found; `froc` and
        `precision_recall` as curves. None where there is nothing to measure a figure on.
    """
    bootstrap = GroupBootstrap([still.group for still in result.judged], seed=seed)
    measured: dict[str, _Figure] = {}
    counted: dict[str, int] = {}
    for rule in Rule:
        counts, figures = _by_rule(result, rule, threshold, bootstrap)
        counted |= {
            f"{rule.value}_true_positives": counts.true_positives,
            f"{rule.value}_false_positives": counts.false_positives,
            f"{rule.value}_false_negatives": counts.false_negatives,
        }
        measured |= {f"{rule.value}_{name}": figure for name, figure in figures.items()}
    measured |= _average_precisions(result, bootstrap) | _by_frame(result, threshold, bootstrap)
    froc, recall = froc_curve(result.outcome), precision_recall_curve(result.outcome).thinned()
    polyps = len(result.outcome.polyp_scores)
    return {
        "kind": "stills",
        "frames": result.frames,
        "frames_with_polyp": int(result.outcome.frame_has_polyp.sum()),
        "polyps": polyps,
        "frames_without_polyp": int((~result.outcome.frame_has_polyp).sum()),
        "groups": bootstrap.groups,
        "threshold": round(threshold, 4),
        **counted,
        **{name: rounded(figure.value) for name, figure in measured.items()},
        "interval_95": {name: bounds(figure.interval) for name, figure in measured.items()},
        "by_size": _by_size(result, threshold, bootstrap),
        "by_group": _by_group(result, threshold),
        "sensitivity_at_false_positives_per_frame": (
            {str(point): rounded(sensitivity_at(froc, point)) for point in FROC_POINTS} if polyps else None
        ),
        "froc": {
            "false_positives_per_frame": _listed(froc.thinned().x),
            "sensitivity": _listed(froc.thinned().y),
            "threshold": _listed(froc.thinned().thresholds),
        },
        "precision_recall": {"recall": _listed(recall.x), "precision": _listed(recall.y)},
    }


def _by_rule(
    result: StillsResult, rule: Rule, threshold: float, bootstrap: GroupBootstrap
) -> tuple[Counts, dict[str, _Figure]]:
    rows = np.array([_counts_of_frame(still.match, rule, threshold) for still in result.judged])
    counts = _summed(rows)
    if not len(result.outcome.polyp_scores):
        return counts, dict.fromkeys(("precision", "recall", "f1", "f2"), _Figure(math.nan, None))
    return counts, {
        "precision": _Figure(counts.precision, bootstrap.of_sums(rows, lambda s: ratios(s[:, 0], s[:, 0] + s[:, 1]))),
        "recall": _Figure(counts.recall, bootstrap.of_sums(rows, lambda s: ratios(s[:, 0], s[:, 0] + s[:, 2]))),
        "f1": _Figure(counts.f_score(), bootstrap.of_sums(rows, _f_scores(1.0))),
        "f2": _Figure(counts.f_score(2.0), bootstrap.of_sums(rows, _f_scores(2.0))),
    }


def _counts_of_frame(match: FrameMatch, rule: Rule, threshold: float) -> tuple[int, int, int]:
    owners, shown = match.owners(rule), match.scores >= threshold
    found = len(set(owners[shown & (owners >= 0)].tolist()))
    return found, int((shown & (owners == FALSE)).sum()), len(match.polyp_areas) - found


def _summed(rows: Int64s) -> Counts:
    """Counts of frames (frames, 3) together."""
    return Counts(*(int(value) for value in rows.sum(0)))


def _f_scores(beta: float) -> Callable[[Float64s], Float64s]:
    def scores(sums: Float64s) -> Float64s:
        weighted = (1 + beta**2) * sums[:, 0]
        return ratios(weighted, weighted + beta**2 * sums[:, 2] + sums[:, 1])

    return scores


def _average_precisions(result: StillsResult, bootstrap: GroupBootstrap) -> dict[str, _Figure]:
    if not len(result.outcome.polyp_scores):
        return dict.fromkeys(("ap50", "ap50_95"), _Figure(math.nan, None))
    rankings = [Ranking.of(result.matches, least_iou=iou) for iou in COCO_IOUS]

    def mean(weights: Int64s | None = None) -> float:
        return float(np.mean([ranking.average_precision(weights) for ranking in rankings]))

    return {
        "ap50": _Figure(result.ap50, bootstrap.of_weights(rankings[0].average_precision)),
        "ap50_95": _Figure(mean(), bootstrap.of_weights(mean)),
    }


def _by_frame(result: StillsResult, threshold: float, bootstrap: GroupBootstrap) -> dict[str, _Figure]:
    scores, positive = result.outcome.frame_scores, result.outcome.frame_has_polyp
    said = scores >= threshold
    confusion = Confusion.at(threshold, scores, positive)
    rows = np.stack([said & positive, positive, ~said & ~positive, ~positive], axis=1)
    both = positive.any() and not positive.all()
    return {
        "frame_sensitivity": _Figure(
            confusion.sensitivity, bootstrap.of_sums(rows, lambda s: ratios(s[:, 0], s[:, 1]))
        ),
        "frame_specificity": _Figure(
            confusion.specificity, bootstrap.of_sums(rows, lambda s: ratios(s[:, 2], s[:, 3]))
        ),
        "frame_auc": _Figure(
            auc(scores, positive),
            bootstrap.of_weights(lambda weights: auc(scores, positive, weights)) if both else None,
        ),
    }


def _by_size(result: StillsResult, threshold: float, bootstrap: GroupBootstrap) -> dict[str, dict[str, Any]]:
    """Sensitivity by the size of outlined polyps; a false detection has no size, so there is no precision."""
    columns = {size: 3 * index for index, size in enumerate(PolypSize)}
    rows = np.zeros((result.frames, 3 * len(columns)), np.int64)
    for row, still in zip(rows, result.judged, strict=True):
        found = [outcome_of([still.match], rule).polyp_scores >= threshold for rule in (Rule.CENTROID, Rule.IOU_50)]
        for number, area in enumerate(still.match.polyp_areas if still.match.outlined else ()):
            column = columns[PolypSize.of(float(area) / max(still.field_area, 1))]
            row[column : column + 3] += (1, int(found[0][number]), int(found[1][number]))
    totals = rows.sum(0)
    figures: dict[str, dict[str, Any]] = {}
    for size, column in columns.items():
        polyps, by_centre, by_iou = (int(value) for value in totals[column : column + 3])
        interval = bootstrap.of_sums(rows[:, column : column + 3], lambda s: ratios(s[:, 1], s[:, 0]))
        figures[size.name.lower()] = {
            "meaning": size.value,
            "polyps": polyps,
            "centroid_recall": rounded(by_centre / polyps) if polyps else None,
            "centroid_recall_interval_95": bounds(interval),
            "iou50_recall": rounded(by_iou / polyps) if polyps else None,
        }
    return figures


def _by_group(result: StillsResult, threshold: float) -> list[dict[str, Any]]:
    """What is found in each group of at least two frames, those first in which least is found, or most is false.

    Groups without polyps come last.
    """
    groups: dict[str, list[tuple[int, int, int]]] = {}
    for still in result.judged:
        groups.setdefault(still.group, []).append(_counts_of_frame(still.match, Rule.CENTROID, threshold))
    found = [_of_group(name, np.array(rows)) for name, rows in groups.items() if len(rows) > 1]
    return sorted(
        found,
        key=lambda one: (not one["polyps"], one["centroid_recall"], -one["false_positives"], one["group"]),
    )


def _of_group(name: str, rows: Int64s) -> dict[str, Any]:
    counts = _summed(rows)
    polyps = counts.true_positives + counts.false_negatives
    return {
        "group": name,
        "frames": len(rows),
        "polyps": polyps,
        "centroid_recall": rounded(counts.recall) if polyps else None,
        "false_positives": counts.false_positives,
    }


def bounds(interval: Interval | None) -> list[float] | None:
    """An interval for JSON."""
    return None if interval is None else [round(interval.low, 4), round(interval.high, 4)]


def _listed(values: Float64s) -> list[float]:
    return [round(float(value), 5) for value in values]
