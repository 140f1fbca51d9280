"""The rule from a threshold to what is reported: the same for recordings, live sources and evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibration.decisions.alarm_rule import measure_alarm_rules
from engine.arrays import Image
from engine.errors import InputError
from stream.decision.rule import Decision, DecisionRule, decision_rule
from stream.detection.detector import Detector
from stream.frame import Detection, FieldOfView
from stream.live.paths.analysis import Analysis, AnalysisSettings
from stream.record.event_sink import EventSink
from stream.record.pipeline import CompletePipeline
from stream.sources.opening import open_source
from stream.view.frame_quality import QualitySettings
from tests.kit.media import make_pictures, make_video, picture_number
from tests.kit.tiny_bundle import make_tiny_bundle
from train.data.video_truth import ClipTruth, PolypTruth
from train.judging.clips import ClipsResult, JudgedClip, SeenFrame, evaluate_clips, tracked_boxes

THRESHOLD = 0.8
EVERYTHING_IS_USEFUL = AnalysisSettings(quality=QualitySettings(sharpness=0, white_share=1))
#: Track number, box and score of each detection of a frame.
Reported = list[list[tuple[int | None, tuple[float, ...], float]]]


def polyp(score: float, x: float = 300.0, y: float = 200.0, size: float = 60.0) -> Detection:
    return Detection((x - size / 2, y - size / 2, x + size / 2, y + size / 2), score)


def numbers(decision: Decision, scores: Sequence[float | None], step_s: float = 0.04) -> str:
    """One letter a frame: the number of the polyp where it is reported, `-` without a track, `.` where it is not."""
    letters = ""
    for index, score in enumerate(scores):
        found = decision.update([] if score is None else [polyp(score)], index * step_s)
        letters += "".join("-" if one.track_id is None else str(one.track_id) for one in found) or "."
    return letters


@pytest.mark.parametrize(
    ("threshold", "of_model", "over_time", "found", "continued", "floor"),
    [
        (0.8, None, True, 0.8, 0.48, 0.48),
        (0.8, 0.8, True, 0.8, 0.48, 0.48),
        (0.5, 0.8, True, 0.5, 0.3, 0.3),
        (0.3, 0.8, True, 0.4, 0.24, 0.24),  # noise founds no track
        (0.1, 0.8, True, 0.4, 0.24, 0.1),  # all from the threshold on is reported
        (0.0, 0.8, True, 0.4, 0.24, 0.0),  # every candidate
        (1.0, 0.8, True, 1.0, 0.6, 0.6),
        (0.8, 0.8, False, 0.8, 0.8, 0.8),  # pictures: the threshold alone
        (0.0, 0.8, False, 0.4, 0.4, 0.0),
    ],
)
def test_rule_of_a_threshold(
    threshold: float, of_model: float | None, over_time: bool, found: float, continued: float, floor: float
) -> None:
    rule = decision_rule(threshold, of_model=of_model, over_time=over_time)
    assert rule.threshold == threshold and rule.floor == pytest.approx(floor)
    assert rule.tracking.found_threshold == found
    assert rule.tracking.continue_threshold == pytest.approx(continued)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(InputError, match="0 to 1"):
        decision_rule(threshold, of_model=0.5)


@pytest.mark.parametrize(("floor", "threshold"), [(0.6, 0.5), (-0.1, 0.5), (float("nan"), 0.5)])
def test_floor_out_of_range(floor: float, threshold: float) -> None:
    with pytest.raises(InputError, match="in this order"):
        DecisionRule(threshold, floor)


@pytest.mark.parametrize(
    ("scores", "reported"),
    [
        ([0.7, 0.7, 0.79, 0.7], "...."),  # weak boxes never found a track
        ([0.9, 0.7, 0.5, 0.9], "1111"),  # they continue one
        ([0.7, 0.9, 0.7, None, 0.7], ".11.1"),  # also after a gap
        ([0.9, 0.47, 0.9], "1.1"),  # below the floor they count for nothing
    ],
)
def test_a_weak_box_continues_a_track_but_never_founds_one(scores: list[float | None], reported: str) -> None:
    assert numbers(Decision(decision_rule(THRESHOLD)), scores) == reported


def test_weak_boxes_end_with_their_track() -> None:
    """After `max_gap_s` without any box a weak one is a mere candidate again."""
    assert numbers(Decision(decision_rule(THRESHOLD)), [0.9, 0.6, None, None, None, 0.6], step_s=0.4) == "11...."


def test_pictures_are_decided_by_the_threshold_alone() -> None:
    assert numbers(Decision(decision_rule(THRESHOLD, over_time=False)), [0.9, 0.7, 0.9, 0.79]) == "1.1."


def test_everything_from_a_low_threshold_on_is_reported_with_a_track_or_without() -> None:
    assert numbers(Decision(decision_rule(0.0, of_model=0.8)), [0.01, 0.39, 0.4, 0.25, 0.1]) == "--11-"


def test_numbers_go_on_from_the_first() -> None:
    decision = Decision(decision_rule(THRESHOLD), first_id=7)
    assert numbers(decision, [0.9, 0.9]) == "77" and decision.next_id == 8


scores = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.3, 0.48, 0.5, 0.8, 1.0]))
candidates = st.lists(st.builds(polyp, scores, st.sampled_from([100.0, 110.0, 300.0])), max_size=4)
clips = st.lists(candidates, max_size=12)
thresholds = st.floats(0.05, 1.0)
patient = settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)


@patient
@given(clips, thresholds, thresholds, st.booleans())
def test_what_is_reported(frames: list[list[Detection]], threshold: float, of_model: float, over_time: bool) -> None:
    rule = decision_rule(threshold, of_model=of_model, over_time=over_time)
    decision = Decision(rule)
    founded: set[int] = set()
    for index, given_candidates in enumerate(frames):
        reported = decision.update(given_candidates, index / 25)
        # Whatever reaches the threshold is reported, in the order given.
        strong = [one.score for one in given_candidates if one.score >= threshold]
        assert [one.score for one in reported if one.score >= threshold] == strong
        for one in reported:
            if one.score < threshold:
                assert over_time and one.track_id is not None
                assert one.score >= rule.tracking.continue_threshold >= rule.floor
            if one.track_id is not None and one.track_id not in founded:
                assert one.score >= rule.tracking.found_threshold
                founded.add(one.track_id)


@patient
@given(clips, thresholds)
def test_candidates_below_the_floor_change_nothing(frames: list[list[Detection]], threshold: float) -> None:
    rule = decision_rule(threshold)
    whole, cut = Decision(rule), Decision(rule)
    for index, given_candidates in enumerate(frames):
        enough = [one for one in given_candidates if one.score >= rule.floor]
        assert whole.update(given_candidates, index / 25) == cut.update(enough, index / 25)


# --- recordings, live sources and evaluation ---


def _recorded(video: Path, detector: Detector, events: Path) -> Reported:
    with open_source(video) as source, EventSink(events) as sink:
        CompletePipeline(source, detector, events=sink).run()
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return [[(one["track_id"], tuple(one["box_xyxy"]), one["score"]) for one in line["detections"]] for line in lines]


def _seen_live(video: Path, detector: Detector) -> Reported:
    """What live detection reports when it looks at every frame and captures each at its time."""
    rule = decision_rule(detector.threshold, of_model=detector.bundle.threshold)
    analysis = Analysis(EVERYTHING_IS_USEFUL, rule=rule)
    with open_source(video) as source:
        results = [analysis.look_at(replace(frame, captured_s=frame.time_s), detector) for frame in source]
    assert all(result.flaw is None for result in results)
    return [[(one.track_id, one.box_xyxy, one.score) for one in result.detections] for result in results]


def _assert_alike(some: Reported, others: Reported) -> None:
    assert len(some) == len(others)
    for index, (one, other) in enumerate(zip(some, others, strict=True)):
        assert [track for track, _, _ in one] == [track for track, _, _ in other], index
        for (_, box, score), (_, other_box, other_score) in zip(one, other, strict=True):
            assert box == pytest.approx(other_box, abs=0.1) and score == pytest.approx(other_score, abs=0.001)


#: Frames by brightness of the spot: too dark to found a track, bright, too dark again, none, and once more.
_LEVELS = [140] * 5 + [250] * 5 + [140] * 10 + [0] * 3 + [140] * 3 + [250] * 2


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


def test_recordings_live_and_evaluation_give_the_same_tracks(tmp_path: Path, detector: Detector) -> None:
    video = make_video(tmp_path / "exam.mp4", frames=len(_LEVELS), size=(160, 128), draw=_spot)
    with detector:
        recorded = _recorded(video, detector, tmp_path / "exam.jsonl")
        _assert_alike(recorded, _seen_live(video, detector))
        (judged,) = evaluate_clips(detector, [ClipTruth(video, "exam", "exam")]).clips
    shown = tracked_boxes(judged, decision_rule(detector.threshold))
    assert [[one.track_id for one in frame] for frame in shown] == [[track for track, _, _ in one] for one in recorded]
    for index, level in enumerate(_LEVELS):
        weak = any(score < 0.9 for _, _, score in recorded[index])
        assert bool(recorded[index]) is (index >= 5 and level > 0) and weak is (level == 140 and index >= 5), index
    assert {track for frame in recorded for track, _, _ in frame} == {track for track, _, _ in recorded[5]}


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(st.lists(candidates, min_size=8, max_size=8))
def test_recordings_and_live_give_the_same_tracks_for_made_candidates(
    tmp_path_factory: pytest.TempPathFactory, frames: list[list[Detection]]
) -> None:
    folder = tmp_path_factory.mktemp("made")
    video = make_video(folder / "exam.mp4", frames=len(frames))
    bundle = make_tiny_bundle(folder / "tiny", threshold=THRESHOLD)
    with Detector.open(str(bundle.folder), runtime="onnxruntime") as detector:
        detector.detect = _made(frames)  # type: ignore[method-assign]
        _assert_alike(_recorded(video, detector, folder / "exam.jsonl"), _seen_live(video, detector))


def _made(frames: Sequence[Sequence[Detection]]) -> Callable[..., list[tuple[Detection, ...]]]:
    def detect(images: Sequence[Image], fields: Sequence[FieldOfView], *, floor: float) -> list[tuple[Detection, ...]]:
        return [tuple(one for one in frames[picture_number(image)] if one.score >= floor) for image in images]

    return detect


def test_pictures_of_a_folder_are_reported_from_the_threshold_on(tmp_path: Path, detector: Detector) -> None:
    names = ["0.png", "1.png", "2.png"]
    folder = make_pictures(tmp_path / "frames", names)
    with detector:
        detector.detect = _made([[polyp(0.95)], [polyp(0.7)], [polyp(0.92)]])  # type: ignore[method-assign]
        recorded = _recorded(folder, detector, tmp_path / "frames.jsonl")
    assert [[score for _, _, score in frame] for frame in recorded] == [[0.95], [], [0.92]]


def test_evaluation_and_the_alarm_rule_count_the_weak_boxes_of_tracks() -> None:
    on, off = polyp(0.9), polyp(0.79, x=900.0)  # the latter reaches the threshold in no frame
    frames = [SeenFrame(n, n / 25, (replace(on, score=0.9 if n == 0 else 0.6), off)) for n in range(10)]
    truth = ClipTruth(
        Path("clip.mp4"), "clip", "clip", (PolypTruth(1, boxes_xyxy=dict.fromkeys(range(10), on.box_xyxy)),)
    )
    result = ClipsResult((JudgedClip(truth, tuple(frames)),))
    figures = result.figures(THRESHOLD)
    assert figures["detections"]["frame_sensitivity"] == 0.1
    assert figures["tracks"]["frame_sensitivity"] == 1.0
    assert figures["tracks"]["false_activations_per_minute_any_length"] == 0.0
    assert figures["tracks"]["settings"]["continue_threshold"] == pytest.approx(0.48)
    clip = figures["by_clip"]["clip"]
    assert clip["frame_sensitivity"] == 0.1 and clip["tracks"]["frame_sensitivity"] == 1.0
    # Of a low threshold that was asked for, tracks are founded by what may be a polyp only.
    assert result.figures(0.0, of_model=1.0)["tracks"]["settings"]["found_threshold"] == 0.5

    (alarm,) = measure_alarm_rules(result, [THRESHOLD], rules=((3, 3),))
    assert alarm.missed == 0 and alarm.delay_s == pytest.approx(0.08) and alarm.false_alarms == 0


# --- weaker candidates of a detector ---


def test_a_detector_gives_weaker_candidates_down_to_a_floor(detector: Detector) -> None:
    grey, ramp = np.full((128, 160, 3), 140, np.uint8), np.empty((128, 160, 3), np.uint8)
    ramp[:] = np.linspace(0, 255, 160)[None, :, None]
    field = FieldOfView((0, 0, 160, 128))
    with detector:
        assert detector.detect([grey], [field]) == [()]
        (found,) = detector.detect([grey], [field], floor=0.5)
        assert found and all(0.5 <= one.score < 0.9 for one in found)
        # A floor adds to the list and moves no box.
        (strong,) = detector.detect([ramp], [field])
        (every,) = detector.detect([ramp], [field], floor=0.0)
        assert 0 < len(strong) < len(every) and strong == tuple(one for one in every if one.score >= 0.9)
        for floor in (0.91, -0.1, float("nan")):
            with pytest.raises(InputError, match="floor must be within 0 to the threshold 0.9"):
                detector.detect([grey], [field], floor=floor)
