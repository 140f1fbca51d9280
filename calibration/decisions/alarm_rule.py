"""When an alarm begins: after how many frames with a polyp out of how many, chosen on clips together with a threshold.

A rule that waits for more frames leaves out false alarms that flash up, and shows polyps later. What is measured is
what a viewer would see: detections are tracked, and the tracks raise alarms (`stream.decision.alarms`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.files import make_folder, replacing
from stream.decision.alarms import Alarms, AlarmSettings
from stream.decision.rule import Decision, decision_rule
from stream.frame import Detection
from stream.synthetic.clip import FRAMES_PER_SECOND, write_clip
from stream.synthetic.colon import ColonScene
from train.data.video_truth import ClipTruth, read_clip
from train.judging.clips import ClipsResult, JudgedClip, events_of
from train.metrics.video import video_figures

#: Rules that are tried: frames needed, frames looked back on. Detection sees ten frames a second where it is slow: more
#: than five would keep a viewer waiting for over half a second there.
RULES = ((1, 1), (2, 2), (2, 3), (3, 3), (3, 4), (3, 5), (4, 5), (5, 5))
#: False alarms a minute that the chosen rule may raise.
MOST_A_MINUTE = 1.0
#: Rendered clips: first seed (training begins at 10,000), polyps in each, length, size.
_FIRST_SEED, _POLYPS, _SECONDS, _RESOLUTION_WH = 20_000, (1, 1, 2, 1, 2, 1, 0, 0, 0, 0), 5.0, (320, 240)


@dataclass(frozen=True, slots=True)
class AlarmFigures:
    """What a rule and a threshold gave on some clips.

    Attributes:
        settings: the rule.
        threshold: score from which a detection founds a track.
        false_alarms: uninterrupted runs of frames with a false alarm.
        false_alarms_per_minute: of judged video; likewise.
        delay_s: mean time from a polyp's first frame to its first alarm; a polyp without alarm counts with all the time
            that it was to be seen. None without polyps.
        missed: polyps without alarm.
        polyps: in all clips.
        minutes: of judged video.
    """

    settings: AlarmSettings
    threshold: float
    false_alarms: int
    false_alarms_per_minute: float
    delay_s: float | None
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


def measure_alarm_rules(
    result: ClipsResult, thresholds: Sequence[float], *, rules: Sequence[tuple[int, int]] = RULES
) -> list[AlarmFigures]:
    """Figures of every rule at every threshold.

    Args:
        result: of clips, with every candidate after merging.
        thresholds: scores from which a detection founds a track, 0 to 1.
        rules: frames needed and frames looked back on.
    """
    return list(_measured(result, thresholds, rules))


def choose_alarm_rule(measured: Sequence[AlarmFigures], *, most_a_minute: float = MOST_A_MINUTE) -> AlarmFigures:
    """The figures with the shortest delay among those with few enough false alarms; else those with the fewest.

    Of equals the one that needs fewest frames.

    Args:
        measured: at least one.
        most_a_minute: false alarms a minute.
    """
    fewest = min(one.false_alarms_per_minute for one in measured)
    allowed = [one for one in measured if one.false_alarms_per_minute <= max(most_a_minute, fewest)]
    return min(allowed, key=_cost)


def _cost(one: AlarmFigures) -> tuple[float, int, int, int]:
    return one.delay_s or 0.0, one.false_alarms, one.settings.needed, one.settings.window


def _measured(
    result: ClipsResult, thresholds: Sequence[float], rules: Sequence[tuple[int, int]]
) -> Iterator[AlarmFigures]:
    for threshold in thresholds:
        tracked = [(clip, _tracked(clip, threshold)) for clip in result.clips]
        for needed, window in rules:
            settings = AlarmSettings(needed=needed, window=window)
            clips = [events_of(clip, _shown(frames, settings)) for clip, frames in tracked]
            figures = video_figures(clips)
            polyps = [polyp for clip in clips for polyp in clip.polyps]
            delays = [polyp.visible_s if polyp.delay_s is None else polyp.delay_s for polyp in polyps]
            yield AlarmFigures(
                settings=settings,
                threshold=threshold,
                false_alarms=sum(len(clip.activations_s) for clip in clips),
                false_alarms_per_minute=figures["false_activations_per_minute_any_length"] or 0.0,
                delay_s=float(np.mean(delays)) if delays else None,
                missed=sum(polyp.delay_s is None for polyp in polyps),
                polyps=len(polyps),
                minutes=figures["minutes"],
            )


def _tracked(clip: JudgedClip, threshold: float) -> list[Sequence[Detection]]:
    decision = Decision(decision_rule(threshold))
    return [decision.update(frame.detections, frame.time_s) for frame in clip.frames]


def _shown(frames: Sequence[Sequence[Detection]], settings: AlarmSettings) -> list[Sequence[Detection]]:
    alarms = Alarms(settings)
    return [alarms.update(detections).shown for detections in frames]
