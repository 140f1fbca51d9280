"""The rule from a threshold to what is shown: the same for recordings, live sources and evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from calibration.decisions.time_rule import choose_rule, measure_rules
from engine.arrays import Image
from engine.errors import BundleError, InputError
from engine.pictures.picture import Picture
from stream.decision.decision import Decision
from stream.decision.rule import AHEAD_S, TimeRule, decision_rule, time_rule_of_model
from stream.detection.detector import Detector
from stream.frame import Detection, FieldOfView
from stream.live.paths.analysis import Analysis, AnalysisSettings
from stream.record.event_sink import EventSink
from stream.record.pipeline import CompletePipeline
from stream.sources.opening import open_source
from stream.sources.source import SourceKind
from stream.view.frame_quality import QualitySettings
from tests.kit.media import make_pictures, make_video, picture_number
from tests.kit.tiny_bundle import make_tiny_bundle
from train.data.video_truth import ClipTruth, PolypTruth
from train.judging.clips import ClipsResult, JudgedClip, SeenFrame, Way, decided_boxes, evaluate_clips

THRESHOLD = 0.8
#: A spot that is half bright continues a track of the tiny detector and founds none.
TIME = TimeRule(found=1.0, continued=0.5, show=0.4, keep=0.2)
EVERYTHING_IS_USEFUL = AnalysisSettings(quality=QualitySettings(sharpness=0, white_share=1))
#: Track number, box and score of each detection of a frame.
Reported = list[list[tuple[int | None, tuple[float, ...], float]]]


def polyp(score: float, x: float = 300.0, y: float = 200.0, size: float = 60.0) -> Detection:
    return Detection((x - size / 2, y - size / 2, x + size / 2, y + size / 2), score)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("over_time", [True, False])
def test_threshold_out_of_range(threshold: float, over_time: bool) -> None:
    with pytest.raises(InputError, match="threshold"):
        decision_rule(threshold, over_time=over_time)


def test_scores_of_the_rule_are_shares_of_the_threshold() -> None:
    time = TimeRule(found=0.5, continued=0.25, show=0.4, keep=0.1, span_s=0.7)
    rule = decision_rule(0.8, time)
    assert (rule.tracking.found_threshold, rule.tracking.continue_threshold) == (0.4, 0.2)
    assert (rule.evidence.show, rule.evidence.keep, rule.evidence.span_s) == pytest.approx((0.32, 0.08, 0.7))
    assert rule.floor == 0.2


def test_pictures_are_decided_by_the_threshold_alone() -> None:
    decision = Decision[int](decision_rule(THRESHOLD, over_time=False))
    for index, score in enumerate([0.9, 0.7, 0.85, 0.79]):
        (decided,) = decision.update(index, [polyp(score)], index / 25)
        assert [one.score for one in decided.shown] == ([score] if score >= THRESHOLD else [])


@pytest.mark.parametrize(
    "shares",
    [
        {"found": 0},
        {"found": 1.2},
        {"continued": 0.9},
        {"show": -0.1},
        {"keep": 0.9},
        {"span_s": 0},
        {"show": math.nan},
    ],
)
def test_wrong_rules_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError):
        TimeRule(**shares)


@pytest.mark.parametrize("rule", [{}, "fast", {"found": "x"}, {**TimeRule().as_record(), "keep": 2.0}, 3])
def test_a_rule_in_a_bundle_that_cannot_be_used(rule: object) -> None:
    with pytest.raises(BundleError, match=r"rule over time .* of model 'mine' cannot be used: .*; calibrate it again"):
        time_rule_of_model({"name": "mine", "decision": rule})


def test_the_rule_of_a_bundle() -> None:
    time = TimeRule(found=0.5, continued=0.3)
    assert time_rule_of_model({"decision": time.as_record()}) == time
    assert time_rule_of_model({}) == TimeRule()


scores = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.3, 0.48, 0.5, 0.8, 1.0]))
candidates = st.lists(st.builds(polyp, scores, st.sampled_from([100.0, 110.0, 300.0])), max_size=4)


# --- recordings, live sources and evaluation ---


def _recorded(video: Path, detector: Detector, events: Path) -> Reported:
    with open_source(video) as source, EventSink(events) as sink:
        over_time = source.info.kind is SourceKind.VIDEO
        rule = decision_rule(detector.threshold, TIME, over_time=over_time)
        CompletePipeline(source, detector, rule, events=sink).run()
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return [[(one["track_id"], tuple(one["box_xyxy"]), one["score"]) for one in line["detections"]] for line in lines]


def _seen_live(video: Path, detector: Detector) -> Reported:
    """What live detection shows when it looks at every frame and captures each at its time."""
    analysis = Analysis(EVERYTHING_IS_USEFUL, rule=decision_rule(detector.threshold, TIME))
    with open_source(video) as source:
        results = [analysis.look_at(replace(frame, captured_s=frame.time_s), detector) for frame in source]
    assert all(result.flaw is None for result in results)
    return [[(one.track_id, one.box_xyxy, one.score) for one in result.detections] for result in results]


def _judged(clip: JudgedClip, detector: Detector, way: Way) -> Reported:
    shown = decided_boxes(clip, decision_rule(detector.threshold, TIME), way)
    return [[(one.track_id, one.box_xyxy, one.score) for one in frame] for frame in shown]


def _assert_alike(some: Reported, others: Reported) -> None:
    assert len(some) == len(others)
    for index, (one, other) in enumerate(zip(some, others, strict=True)):
        assert [track for track, _, _ in one] == [track for track, _, _ in other], index
        for (_, box, score), (_, other_box, other_score) in zip(one, other, strict=True):
            assert box == pytest.approx(other_box, abs=0.1) and score == pytest.approx(other_score, abs=0.001)


#: Frames by brightness of the spot: too dark to found a track, bright for a second, too dark again, none, once more.
_LEVELS = [140] * 5 + [250] * 25 + [140] * 10 + [0] * 5 + [250] * 15


def _spot(number: int, size_wh: tuple[int, int]) -> Image:
    image = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    image[:] = (40, 50, 110)
    image[::8, :, :] //= 2
    if _LEVELS[number]:
        image[32:96, 48 + number : 112 + number] = _LEVELS[number]
    return image


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    bundle = make_tiny_bundle(tmp_path / "tiny", threshold=0.9)
    return Detector.open(str(bundle.folder), runtime="onnxruntime")


def test_recordings_and_live_give_what_evaluation_measures(tmp_path: Path, detector: Detector) -> None:
    video = make_video(tmp_path / "exam.mp4", frames=len(_LEVELS), size=(160, 128), draw=_spot)
    with detector:
        recorded = _recorded(video, detector, tmp_path / "exam.jsonl")
        live = _seen_live(video, detector)
        (judged,) = evaluate_clips(detector, [ClipTruth(video, "exam", "exam")]).clips
    judged = replace(judged, frames=tuple(replace(frame, useful=True) for frame in judged.frames))
    _assert_alike(live, _judged(judged, detector, Way.LIVE))
    _assert_alike(recorded, _judged(judged, detector, Way.RECORDED))
    # Recorded: from the first bright frame on, and without a gap. Live: later, when there is evidence.
    assert [bool(frame) for frame in recorded] == [index >= 5 for index in range(len(_LEVELS))]
    begins = next(index for index, frame in enumerate(live) if frame)
    assert 5 < begins <= 15 and all(live[begins:])
    for frames in (recorded, live):
        assert {track for frame in frames for track, _, _ in frame} == {track for track, _, _ in frames[begins]}


def test_event_lines_say_what_was_perceived_where_it_was_asked_for(tmp_path: Path, detector: Detector) -> None:
    video = make_video(tmp_path / "exam.mp4", frames=20, size=(160, 128), draw=_spot)
    with detector, open_source(video) as source, EventSink(tmp_path / "e.jsonl", candidates=True) as sink:
        CompletePipeline(source, detector, decision_rule(detector.threshold, TIME), events=sink).run()
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert all(line["candidates"] for line in lines), "also frames before the first that is shown"
    assert not lines[0]["detections"] and lines[10]["detections"]
    assert set(lines[0]["candidates"][0]) == {"box_xyxy", "score", "label"}


def _made(frames: Sequence[Sequence[Detection]]) -> Callable[..., list[tuple[Detection, ...]]]:
    def detect(
        images: Sequence[Picture], fields: Sequence[FieldOfView], *, floor: float
    ) -> list[tuple[Detection, ...]]:
        return [tuple(one for one in frames[picture_number(image.to_bgr())] if one.score >= floor) for image in images]

    return detect


def test_pictures_of_a_folder_are_reported_from_the_threshold_on(tmp_path: Path, detector: Detector) -> None:
    names = ["0.png", "1.png", "2.png"]
    folder = make_pictures(tmp_path / "frames", names)
    with detector:
        detector.detect = _made([[polyp(0.95)], [polyp(0.7)], [polyp(0.92)]])  # type: ignore[method-assign]
        recorded = _recorded(folder, detector, tmp_path / "frames.jsonl")
    assert [[score for _, _, score in frame] for frame in recorded] == [[0.95], [], [0.92]]


def _clip(frames: Sequence[SeenFrame], polyps: tuple[PolypTruth, ...] = ()) -> JudgedClip:
    return JudgedClip(ClipTruth(Path("clip.mp4"), "clip", "clip", polyps), tuple(frames))


def test_evaluation_and_calibration_count_what_is_shown() -> None:
    on, off = polyp(0.9), polyp(0.5, x=900.0)  # the latter founds a track in no frame
    frames = [SeenFrame(n, n / 25, (replace(on, score=0.9 if n == 0 else 0.6), off)) for n in range(50)]
    truth = PolypTruth(1, boxes_xyxy=dict.fromkeys(range(50), on.box_xyxy))
    result = ClipsResult((_clip(frames, (truth,)),))
    figures = result.figures(THRESHOLD)
    assert figures["detections"]["frame_sensitivity"] == 0.02
    assert figures["recorded"]["frame_sensitivity"] == 1.0
    assert 0.8 < figures["live"]["frame_sensitivity"] < 1.0
    assert figures["recorded"]["false_activations_per_minute_any_length"] == 0.0
    clip = figures["by_clip"]["clip"]
    assert clip["frame_sensitivity"] == 0.02 and clip["recorded"]["frame_sensitivity"] == 1.0

    quick, slow = measure_rules(result, [THRESHOLD], rules=(TimeRule(show=0.2, keep=0.1), TimeRule(show=0.6)))
    assert (quick.false_alarms, quick.missed, quick.polyps, quick.shown) == (0, 0, 1, 1.0)
    assert quick.delay_s is not None and slow.delay_s is not None and 0 < quick.delay_s < slow.delay_s
    assert choose_rule([slow, quick]) == quick


def test_a_flash_is_no_false_alarm_over_time() -> None:
    frames = [SeenFrame(n, n / 25, (polyp(0.95),) if n in (20, 70) else ()) for n in range(100)]
    figures = ClipsResult((_clip(frames),)).figures(THRESHOLD)
    assert figures["detections"]["false_activations_per_minute_any_length"] == pytest.approx(2 / (4 / 60))
    for way in Way:
        assert figures[way.value]["false_activations_per_minute_any_length"] == 0.0
    assert AHEAD_S > 0
