"""Judges a detector on clips, the way it runs on recordings: every frame, its field of view followed over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

import numpy as np

from engine.console.output import progress_bar
from engine.errors import InputError
from engine.statistics.ratios import ratio, rounded
from stream.decision.decision import Decision
from stream.decision.rule import AHEAD_S, DecisionRule, TimeRule, decision_rule
from stream.detection.detector import Detector
from stream.frame import Detection
from stream.record.pipeline import batches
from stream.sources.opening import open_source
from stream.view.frame_quality import find_flaw
from stream.view.tracker import FieldOfViewTracker
from train.data.video_truth import ClipTruth
from train.metrics.video import ClipEvents, ClipFrame, CurvePoint, Run, curve_record, video_figures

#: Thresholds at which the free-response curve over time is measured: few, as all frames are decided anew at each.
CURVE_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)


class Way(str, Enum):
    """How frames are decided.

    Attributes:
        LIVE: at once.
        RECORDED: with look-ahead.
    """

    LIVE = "live"
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """What the detector gave for one frame of a clip: every candidate after merging.

    Attributes:
        index: of the frame.
        time_s: presentation time in seconds.
        detections: the candidates.
        useful: False where the frame shows nothing useful.
    """

    index: int
    time_s: float
    detections: tuple[Detection, ...]
    useful: bool = True

    def down_to(self, floor: float) -> list[Detection]:
        """The candidates from a score on."""
        return [one for one in self.detections if one.score >= floor]


@dataclass(frozen=True, slots=True)
class JudgedClip:
    """A clip and what the detector gave for each of its frames.

    Attributes:
        truth: what is to be found.
        frames: in order.
        broke_off: why the clip ended before its end; None when it did not.
    """

    truth: ClipTruth
    frames: tuple[SeenFrame, ...]
    broke_off: str | None = None


@dataclass(frozen=True, slots=True)
class ClipsResult:
    """What a detector did on some clips."""

    clips: tuple[JudgedClip, ...]

    def figures(self, threshold: float, time: TimeRule | None = None, *, seed: int = 0) -> dict[str, Any]:
        """All figures: of the detections of single frames, and of the boxes that are shown live and in recordings.

        Args:
            threshold: score from which a detection counts, 0 to 1.
            time: how the model decides over time; None for the default.
            seed: of the bootstrap.
        """
        rule = decision_rule(threshold, time)
        seen = self.events(threshold)
        decided = {way: self.decided_events(rule, way) for way in Way}
        return {
            "kind": "clips",
            "threshold": round(threshold, 4),
            "right_when": self._right_when(),
            "rule": asdict(rule),
            "detections": video_figures(seen, seed=seed),
            **{way.value: video_figures(events, seed=seed) for way, events in decided.items()},
            "curve": {way.value: curve_record(self.curve(way, threshold, time)) for way in Way},
            "by_clip": {
                clip.truth.name: {
                    **_of_clip(seen[place]),
                    **{way.value: _of_clip(events[place]) for way, events in decided.items()},
                    "broke_off": clip.broke_off,
                }
                for place, clip in enumerate(self.clips)
            },
        }

    def curve(self, way: Way, threshold: float, time: TimeRule | None = None) -> list[CurvePoint]:
        """The free-response curve over time: recall against false events a minute, by the boxes that would be shown.

        Args:
            way: live or in a recording.
            threshold: a threshold that is measured beside `CURVE_THRESHOLDS`.
            time: how the model decides over time; None for the default.

        Returns:
            Points by falling threshold.
        """
        thresholds = sorted({*CURVE_THRESHOLDS, round(threshold, 4)}, reverse=True)
        return [CurvePoint.of(one, self.decided_events(decision_rule(one, time), way)) for one in thresholds]

    def _right_when(self) -> str:
        if all(clip.truth.has_boxes for clip in self.clips):
            return "its centre lies in a polyp's box"
        if any(clip.truth.has_some_boxes for clip in self.clips):
            return "its centre lies in a polyp's box where one is known, else when a polyp is to be seen in the frame"
        return "a polyp is to be seen in the frame (no boxes known)"

    def events(self, threshold: float) -> list[ClipEvents]:
        """What happened in each clip, by the detections of single frames.

        Args:
            threshold: score from which a detection counts.
        """
        return [events_of(clip, [frame.down_to(threshold) for frame in clip.frames]) for clip in self.clips]

    def decided_events(self, rule: DecisionRule, way: Way) -> list[ClipEvents]:
        """What happened in each clip, by the boxes that would be shown.

        Args:
            rule: by which it is decided what is shown.
            way: live or in a recording.
        """
        return [events_of(clip, decided_boxes(clip, rule, way)) for clip in self.clips]


def decided_boxes(clip: JudgedClip, rule: DecisionRule, way: Way) -> list[tuple[Detection, ...]]:
    """The boxes that would be shown in each frame of a clip."""
    decision = Decision[int](rule, ahead_s=AHEAD_S if way is Way.RECORDED else 0.0)
    decided = [
        one
        for frame in clip.frames
        for one in decision.update(frame.index, frame.down_to(rule.floor), frame.time_s, useful=frame.useful)
    ]
    return [one.shown for one in (*decided, *decision.finish())]


def evaluate_clips(detector: Detector, truths: Sequence[ClipTruth]) -> ClipsResult:
    """Runs a detector over clips.

    Args:
        detector: with any threshold: every candidate is kept, so that curves can be drawn from one pass.
        truths: the clips.

    Raises:
        InputError: no clips, one that cannot be read or cannot be judged over time, or a truth that speaks of none of
            its frames.
    """
    if not truths:
        raise InputError("there is no clip to evaluate on; give a video with its truth, or a list of clips")
    for truth in truths:
        if truth.unfit is not None:
            raise InputError(f"clip {truth.name!r} cannot be judged over time: {truth.unfit}; leave it out")
    return ClipsResult(tuple(_judge(detector, truth) for truth in truths))


def _judge(detector: Detector, truth: ClipTruth) -> JudgedClip:
    fields = FieldOfViewTracker()
    seen: list[SeenFrame] = []
    with (
        open_source(truth.video) as source,
        progress_bar(total=source.info.frame_count, what=truth.name, unit="frame", leave=False, delay=0.3) as bar,
    ):
        for batch in batches(source):
            views = [fields.update(frame.picture, frame.time_s) for frame in batch]
            found = detector.detect([frame.picture for frame in batch], views, floor=0.0)
            seen += [
                SeenFrame(frame.index, frame.time_s, candidates, find_flaw(frame.picture, view) is None)
                for frame, view, candidates in zip(batch, views, found, strict=True)
            ]
            bar.update(len(batch))
        broke_off = source.problems.broke_off
    if not any(truth.is_judged(frame.index) for frame in seen):
        raise InputError(f"the truth of clip {truth.name!r} speaks of none of its {len(seen)} frames; correct it")
    return JudgedClip(truth, tuple(seen), broke_off)


def events_of(clip: JudgedClip, alarms: Sequence[Sequence[Detection]]) -> ClipEvents:
    """What happened in a clip, given the alarms of each of its frames."""
    times = [frame.time_s for frame in clip.frames]
    durations = [later - earlier for earlier, later in pairwise(times)]
    durations.append(float(np.median(durations)) if durations else 0.0)
    frames = [
        _frame(clip.truth, frame, shown, duration)
        for frame, shown, duration in zip(clip.frames, alarms, durations, strict=True)
        if clip.truth.is_judged(frame.index)
    ]
    return ClipEvents.of(clip.truth.name, clip.truth.group, frames)


def _frame(truth: ClipTruth, seen: SeenFrame, alarms: Sequence[Detection], duration_s: float) -> ClipFrame:
    visible = frozenset(polyp.polyp_id for polyp in truth.polyps if polyp.is_visible(seen.index))
    hits = [polyps_under(truth, alarm, seen.index) for alarm in alarms]
    return ClipFrame(
        index=seen.index,
        time_s=seen.time_s,
        duration_s=duration_s,
        visible=visible,
        found=frozenset().union(*hits),
        false_alarms=sum(not hit for hit in hits),
        best_score=max((found.score for found in seen.detections), default=0.0),
    )


def polyps_under(truth: ClipTruth, alarm: Detection, frame: int) -> frozenset[int]:
    """Numbers of the polyps that an alarm is on: under its centre where a box is known, else when it is visible."""
    x1, y1, x2, y2 = alarm.box_xyxy
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    under: set[int] = set()
    for polyp in truth.polyps:
        if not polyp.is_visible(frame):
            continue
        box = polyp.box_in(frame)
        if box is not None:
            left, top, right, bottom = box
            if not (left <= x < right and top <= y < bottom):
                continue
        under.add(polyp.polyp_id)
    return frozenset(under)


def _of_clip(clip: ClipEvents) -> dict[str, Any]:
    visible = [frame for frame in clip.frames if frame.visible]
    empty = [frame for frame in clip.frames if not frame.visible]
    return {
        "frames": len(clip.frames),
        "frames_with_polyp": len(visible),
        "frame_sensitivity": rounded(ratio(sum(bool(frame.found) for frame in visible), len(visible))),
        "frame_specificity": rounded(ratio(sum(not frame.false_alarms for frame in empty), len(empty))),
        "false_positive_frames": sum(frame.false_alarms > 0 for frame in clip.frames),
        "false_activations": len(clip.activations),
        "false_activation_runs": [_run_record(run) for run in clip.activations],
        "polyps": [
            {
                "id": polyp.polyp_id,
                "visible_frames": polyp.visible_frames,
                "found_frames": polyp.found_frames,
                "first_detection_after_s": None if polyp.delay_s is None else round(polyp.delay_s, 3),
                "visible_s": round(polyp.visible_s, 3),
                "steady_s": round(polyp.steady_s, 3),
                "gaps": [_run_record(run) for run in polyp.gaps],
            }
            for polyp in clip.polyps
        ],
    }


def _run_record(run: Run) -> dict[str, Any]:
    return {"frames": [run.first, run.last], "length_s": round(run.length_s, 3)}
