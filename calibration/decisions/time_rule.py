"""How a model decides over time: when candidates become tracks and tracks are shown, chosen on clips with a threshold.

A rule that asks for more evidence leaves out false alarms that flash up, and shows polyps later. What is measured is
what a viewer would see, live and in recordings (`stream.decision`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from engine.console.output import progress
from engine.files import make_folder, replacing
from stream.decision.rule import TimeRule, decision_rule
from stream.synthetic.clip import FRAMES_PER_SECOND, write_clip
from stream.synthetic.colon import ColonScene
from train.data.video_truth import ClipTruth, read_clip
from train.judging.clips import ClipsResult, Way
from train.metrics.video import ClipEvents, video_figures

#: Rules that are tried.
RULES = tuple(
    TimeRule(found=found, continued=0.6 * found, show=show, keep=0.5 * show)
    for found in (0.6, 0.8, 1.0)
    for show in (0.3, 0.45, 0.6, 0.75, 0.9)
)
#: False alarms a minute that the chosen rule may raise, live and in recordings: as many as a commercial device raised
#: when it was accepted. Clips of stills show a new place every two seconds, far more than a withdrawal does.
MOST_A_MINUTE = 2.4
#: Rendered clips: first seed (training begins at 10,000), polyps in each, length, size.
_FIRST_SEED, _POLYPS, _SECONDS, _RESOLUTION_WH = 20_000, (1, 1, 2, 1, 2, 1, 0, 0, 0, 0), 5.0, (320, 240)
#: Mean delays that differ by less are alike, in seconds.
_ALIKE_S = 0.1


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """What a rule and a threshold gave on some clips.

    Attributes:
        rule: how it was decided over time.
        threshold: score from which a detection of a single frame counts.
        false_alarms: uninterrupted runs of frames with a false box, live.
        false_alarms_per_minute: of judged video; the larger of live and recordings.
        delay_s: live, mean time from a polyp's first frame to its first box; a polyp without box counts with all the
            time that it was to be seen. None without polyps.
        shown: share of the frames with a polyp that have a box on it in recordings. None without polyps.
        missed: polyps without a box, live.
        polyps: in all clips.
        minutes: of judged video.
    """

    rule: TimeRule
    threshold: float
    false_alarms: int
    false_alarms_per_minute: float
    delay_s: float | None
    shown: float | None
    missed: int
    polyps: int
    minutes: float

    def as_record(self) -> dict[str, Any]:
        """In types that JSON knows."""
        record = asdict(self)
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in record.items()}


def rehearsal_clips(folder: Path) -> list[ClipTruth]:
    """Rendered clips with and without polyps, from scenes that no network was trained on; made once in `folder`."""
    make_folder(folder)
    clips = []
    for number, polyps in enumerate(_POLYPS):
        path = folder / f"scene-{_FIRST_SEED + number}.mp4"
        if not path.is_file():
            scene = ColonScene.random(_FIRST_SEED + number, polyp_count=polyps, duration_s=_SECONDS)
            count = round(_SECONDS * FRAMES_PER_SECOND)
            with replacing(path, keep_ending=True) as partial:
                truth = write_clip(scene, partial, frame_count=count, resolution_wh=_RESOLUTION_WH, only_clear=True)
                truth.replace(path.with_suffix(".truth.jsonl"))
        clips.append(read_clip(path))
    return clips


def measure_rules(
    result: ClipsResult, thresholds: Sequence[float], *, rules: Sequence[TimeRule] = RULES
) -> list[RuleFigures]:
    """Figures of every rule at every threshold.

    Args:
        result: of clips, with every candidate after merging.
        thresholds: scores from which a detection counts, 0 to 1.
        rules: how it is decided over time.
    """
    return list(_measured(result, thresholds, rules))


def choose_rule(measured: Sequence[RuleFigures], *, most_a_minute: float = MOST_A_MINUTE) -> RuleFigures:
    """The figures with the shortest delay among those with few enough false alarms; else those with the fewest.

    Of those whose delay is alike, the one that shows polyps for the largest share of their time.

    Args:
        measured: at least one.
        most_a_minute: false alarms a minute.
    """
    fewest = min(one.false_alarms_per_minute for one in measured)
    allowed = [one for one in measured if one.false_alarms_per_minute <= max(most_a_minute, fewest)]
    soonest = min(one.delay_s or 0.0 for one in allowed)
    alike = [one for one in allowed if (one.delay_s or 0.0) <= soonest + _ALIKE_S]
    return min(alike, key=_cost)


def _cost(one: RuleFigures) -> tuple[float, float, float, float]:
    return -(one.shown or 0.0), one.false_alarms_per_minute, one.delay_s or 0.0, -one.rule.show


def _measured(result: ClipsResult, thresholds: Sequence[float], rules: Sequence[TimeRule]) -> Iterator[RuleFigures]:
    pairs = list(product(thresholds, rules))
    for threshold, time in progress(pairs, what="rules over time", unit="rule"):
        rule = decision_rule(threshold, time)
        live = result.decided_events(rule, Way.LIVE)
        recorded = video_figures(result.decided_events(rule, Way.RECORDED))
        figures = video_figures(live)
        polyps = [polyp for clip in live for polyp in clip.polyps]
        delays = [polyp.visible_s if polyp.delay_s is None else polyp.delay_s for polyp in polyps]
        yield RuleFigures(
            rule=time,
            threshold=threshold,
            false_alarms=_false_alarms(live),
            false_alarms_per_minute=max(_rate(figures), _rate(recorded)),
            delay_s=float(np.mean(delays)) if delays else None,
            shown=recorded["frame_sensitivity"],
            missed=sum(polyp.delay_s is None for polyp in polyps),
            polyps=len(polyps),
            minutes=figures["minutes"],
        )


def _rate(figures: dict[str, Any]) -> float:
    return float(figures["false_activations_per_minute_any_length"] or 0.0)


def _false_alarms(clips: Sequence[ClipEvents]) -> int:
    return sum(len(clip.activations_s) for clip in clips)
