"""Tracks: numbers that stay with their polyp at any frame rate, steady boxes, nothing lost on the way through."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from stream.decision.tracking import Track, Tracker, TrackerSettings
from stream.frame import Detection

RATES = [5, 25, 60]
SIZE = 60.0


def polyp(x: float = 300.0, y: float = 200.0, *, score: float = 0.9, size: float = SIZE) -> Detection:
    """A square detection about a centre."""
    return Detection((x - size / 2, y - size / 2, x + size / 2, y + size / 2), score)


def centre(detection: Detection | Track) -> tuple[float, float]:
    x1, y1, x2, y2 = detection.box_xyxy
    return (x1 + x2) / 2, (y1 + y2) / 2


def numbers(detections: Sequence[Detection]) -> list[int | None]:
    return [d.track_id for d in detections]


# --- what always holds ---

coordinates = st.floats(-100, 2000, width=32)
any_detection = st.builds(
    lambda x, y, w, h, score: Detection((x, y, x + w, y + h), score),
    coordinates,
    coordinates,
    st.floats(0, 500, width=32),
    st.floats(0, 500, width=32),
    st.floats(0, 1),
)
recordings = st.lists(
    st.tuples(st.sampled_from([0.0, 1 / 60, 0.04, 0.2, 1.5, -0.01, -5.0]), st.lists(any_detection, max_size=5)),
    max_size=10,
)


@given(recordings, st.integers(1, 3))
def test_every_detection_comes_back_in_order(recording: list[tuple[float, list[Detection]]], confirm_hits: int) -> None:
    tracker = Tracker(TrackerSettings(confirm_hits=confirm_hits))
    time_s = 100.0
    for step_s, given_detections in recording:
        time_s += step_s
        before = {t.track_id: t for t in tracker.tracks if t.track_id is not None}
        tracked = tracker.update(given_detections, time_s)
        assert len(tracked) == len(given_detections)
        found = [d.track_id for d in tracked if d.track_id is not None]
        assert len(found) == len(set(found))
        assert all(1 <= number <= tracker.track_count for number in found)
        live = {t.track_id: t for t in tracker.tracks}
        for new, old in zip(tracked, given_detections, strict=True):
            assert (new.score, new.label) == (old.score, old.label)
            if new.track_id is None:
                assert new == old
                assert confirm_hits > 1 or old.score < 0.5
                continue
            assert new.box_xyxy == live[new.track_id].box_xyxy
            assert old.score >= 0.5 or (old.score >= 0.2 and new.track_id in before)
            if new.track_id in before:
                # Smoothing stays between what was shown and what is there now.
                for side, a, b in zip(new.box_xyxy, old.box_xyxy, before[new.track_id].box_xyxy, strict=True):
                    assert min(a, b) - 1e-6 <= side <= max(a, b) + 1e-6
            elif confirm_hits == 1:
                assert new.box_xyxy == old.box_xyxy
        for track in tracker.tracks:
            assert 0 < track.score < 1
            assert track.hits >= 1
            assert track.age_s >= 0


@given(recordings)
def test_trackers_share_nothing(recording: list[tuple[float, list[Detection]]]) -> None:
    one, other, time_s = Tracker(), Tracker(), 100.0
    first = []
    for step_s, found in recording:
        time_s += step_s
        first.append((time_s, found, one.update(found, time_s)))
    for time_s, found, expected in first:
        assert other.update(found, time_s) == expected


# --- numbers ---


@pytest.mark.parametrize("rate", RATES)
def test_one_number_for_a_polyp_that_drifts_and_jitters(rate: int) -> None:
    random = np.random.default_rng(rate)
    tracker = Tracker()
    for frame in range(4 * rate):
        time_s = frame / rate
        jitter = random.normal(0, 0.04 * SIZE, 2)
        found = polyp(200 + 40 * time_s + jitter[0], 200 + jitter[1], size=SIZE * math.exp(random.normal(0, 0.05)))
        assert numbers(tracker.update([found], time_s)) == [1]
    assert tracker.track_count == 1


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("gap_s", "number"), [(0.4, 1), (0.9, 1), (1.5, 2)])
def test_gaps_count_in_seconds(rate: int, gap_s: float, number: int) -> None:
    tracker = Tracker()
    frames = [frame / rate for frame in range(3 * rate)]
    for time_s in frames:
        seen = time_s <= 1.0 or time_s > 1.0 + gap_s
        tracked = tracker.update([polyp()] if seen else [], time_s)
    assert numbers(tracked) == [number]


@pytest.mark.parametrize("rate", RATES)
def test_a_jerk_of_the_camera_keeps_the_number(rate: int) -> None:
    # Two box sizes in a fifth of a second.
    tracker = Tracker()
    for frame in range(2 * rate):
        time_s = frame / rate
        x = 200 + 2 * SIZE * min(max((time_s - 1.0) / 0.2, 0.0), 1.0)
        assert numbers(tracker.update([polyp(x)], time_s)) == [1]


@pytest.mark.parametrize(
    ("other", "number"),
    [
        (polyp(300 + 1.4 * SIZE), 1),  # within reach
        (polyp(300 + 4.5 * SIZE), 2),  # beyond any reach
        (polyp(size=2.5 * SIZE), 1),  # zoomed in
        (polyp(size=4 * SIZE), 2),  # another thing altogether
    ],
)
def test_what_counts_as_the_same_polyp(other: Detection, number: int) -> None:
    tracker = Tracker()
    tracker.update([polyp()], 0.0)
    assert numbers(tracker.update([other], 0.04)) == [number]


def test_the_reach_grows_while_a_track_is_not_seen() -> None:
    found = polyp(300 + 3 * SIZE)
    for gap_s, number in ((0.04, 2), (0.5, 1)):
        tracker = Tracker()
        tracker.update([polyp()], 0.0)
        assert numbers(tracker.update([found], gap_s)) == [number]


def test_two_polyps_keep_their_numbers_side_by_side() -> None:
    tracker = Tracker()
    for frame in range(50):
        # The order of detections changes from frame to frame, as their scores do.
        pair = [polyp(200 + 5 * frame), polyp(200 + 5 * frame + 1.2 * SIZE, 210)]
        expected = [1, 2]
        if frame % 2:
            pair.reverse()
            expected.reverse()
        assert numbers(tracker.update(pair, frame / 25)) == expected


def test_low_scores_continue_a_track_but_found_none() -> None:
    tracker = Tracker()
    assert numbers(tracker.update([polyp(score=0.4)], 0.0)) == [None]
    assert numbers(tracker.update([polyp(score=0.6)], 0.1)) == [1]
    assert numbers(tracker.update([polyp(score=0.3), polyp(500, score=0.4)], 0.2)) == [1, None]
    assert numbers(tracker.update([polyp(score=0.1)], 0.3)) == [None]
    # Beside the track instead of on it, a low score is not believed.
    assert numbers(tracker.update([polyp(300 + 0.8 * SIZE, score=0.4)], 0.4)) == [None]


def test_a_certain_detection_comes_before_an_uncertain_one() -> None:
    tracker = Tracker()
    tracker.update([polyp()], 0.0)
    assert numbers(tracker.update([polyp(302, score=0.4), polyp(310, score=0.8)], 0.04)) == [None, 1]


def test_all_candidates_of_a_frame_pass_through() -> None:
    tracker = Tracker()
    tracker.update([polyp()], 0.0)
    candidates = [polyp(20 * i, 400, score=i / 200) for i in range(100)] + [polyp()]
    tracked = tracker.update(candidates, 0.04)
    assert [d.score for d in tracked] == [d.score for d in candidates]
    assert numbers(tracked) == [None] * 100 + [1]
    assert tracked[:100] == tuple(candidates[:100])


# --- confirmation ---


def test_a_single_frame_is_not_numbered_when_confirmation_is_asked_for() -> None:
    tracker = Tracker(TrackerSettings(confirm_hits=2, confirm_window_s=0.5))
    assert tracker.update([polyp()], 0.0) == (polyp(),)
    assert [t.track_id for t in tracker.tracks] == [None]
    tracker.update([], 0.6)
    assert tracker.tracks == ()
    assert numbers(tracker.update([polyp()], 0.7)) == [None]
    assert numbers(tracker.update([polyp()], 0.9)) == [1]
    assert tracker.track_count == 1


def test_low_scores_do_not_confirm() -> None:
    tracker = Tracker(TrackerSettings(confirm_hits=2))
    found = [tracker.update([polyp(score=score)], i / 25)[0] for i, score in enumerate([0.6, 0.4, 0.4, 0.6, 0.4])]
    assert numbers(found) == [None, None, None, 1, 1]


# --- boxes ---


@pytest.mark.parametrize(("rate", "left"), [(25, 0.75), (60, 0.5)])
def test_jitter_is_smoothed(rate: int, left: float) -> None:
    random = np.random.default_rng(7)
    tracker = Tracker()
    given_x, shown_x = [], []
    for frame in range(10 * rate):
        found = polyp(*(np.array([300.0, 200.0]) + random.normal(0, 0.03 * SIZE, 2)).tolist())
        (shown,) = tracker.update([found], frame / rate)
        given_x.append(centre(found)[0])
        shown_x.append(centre(shown)[0])
    assert np.abs(np.diff(shown_x)).mean() < left * np.abs(np.diff(given_x)).mean()


@pytest.mark.parametrize("rate", RATES)
def test_a_moving_polyp_is_followed_without_falling_behind(rate: int) -> None:
    tracker = Tracker()
    for frame in range(2 * rate):
        x = 100 + 2 * SIZE * frame / rate
        (shown,) = tracker.update([polyp(x)], frame / rate)
    assert abs(centre(shown)[0] - x) < 0.08 * SIZE


def test_a_jump_is_followed_at_once() -> None:
    tracker = Tracker()
    for frame in range(60):
        tracker.update([polyp()], frame / 60)
    (shown,) = tracker.update([polyp(300 + SIZE)], 1.0)
    assert shown.track_id == 1
    assert centre(shown)[0] == pytest.approx(300 + SIZE)


def test_half_a_polyp_in_one_frame_does_not_halve_the_box() -> None:
    tracker = Tracker()
    for frame in range(60):
        tracker.update([polyp()], frame / 60)
    (shown,) = tracker.update([Detection((270.0, 170.0, 300.0, 230.0), 0.9)], 1.0)
    x1, _, x2, _ = shown.box_xyxy
    assert shown.track_id == 1
    assert x2 - x1 > 0.7 * SIZE


# --- evidence and state ---


@pytest.mark.parametrize("rate", RATES)
def test_evidence_builds_and_fades_in_seconds(rate: int) -> None:
    tracker = Tracker()
    scores = {}
    for frame in range(3 * rate):
        time_s = frame / rate
        if time_s < 1.0:
            tracker.update([polyp(score=0.55)], time_s)
        elif time_s < 2.0:
            tracker.update([polyp(score=0.95)], time_s)
        else:
            tracker.update([], time_s)
        scores[round(time_s, 3)] = tracker.tracks[0].score if tracker.tracks else 0.0
    assert scores[0.0] == pytest.approx(0.55)
    assert scores[0.8] == pytest.approx(0.55)
    assert 0.55 < scores[1.2] < 0.93
    assert scores[1.8] > 0.9
    assert 0.1 < scores[2.2] < 0.8
    assert scores[2.6] < 0.3


def test_track_state() -> None:
    tracker = Tracker()
    for time_s in (1.0, 1.5, 2.25):
        tracker.update([polyp()], time_s)
    tracker.update([], 2.5)
    (track,) = tracker.tracks
    assert (track.track_id, track.label, track.hits) == (1, "polyp", 3)
    assert (track.first_seen_s, track.last_seen_s, track.age_s) == (1.0, 2.25, 1.25)
    assert centre(track) == pytest.approx((300, 200))
    tracker.update([], 3.5)
    assert tracker.tracks == ()
    assert tracker.track_count == 1


def test_a_rewound_source_starts_new_tracks() -> None:
    tracker = Tracker()
    assert numbers(tracker.update([polyp()], 60.0)) == [1]
    assert numbers(tracker.update([polyp()], 59.99)) == [1]  # times of a damaged file
    assert numbers(tracker.update([polyp()], 0.0)) == [2]
    assert numbers(tracker.update([polyp()], 0.04)) == [2]


# --- refusals ---


@pytest.mark.parametrize(
    ("detection", "time_s", "named"),
    [
        (polyp(math.nan), 0.0, "not finite"),
        (polyp(score=math.inf), 0.0, "not finite"),
        (polyp(), math.nan, "`time_s`.*nan"),
    ],
)
def test_refuses_what_is_not_finite(detection: Detection, time_s: float, named: str) -> None:
    with pytest.raises(InputError, match=named):
        Tracker().update([detection], time_s)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"found_threshold": 1.5}, "1.5"),
        ({"found_threshold": 0.1}, "0.2, 0.1"),
        ({"continue_threshold": math.nan}, "nan"),
        ({"max_gap_s": 0.0}, "`max_gap_s`.*0.0"),
        ({"confirm_hits": 0}, "`confirm_hits`.*0"),
        ({"smoothing_s": math.inf}, "`smoothing_s`.*inf"),
    ],
)
def test_refuses_settings_that_cannot_work(changes: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        TrackerSettings(**changes)  # type: ignore[arg-type]
