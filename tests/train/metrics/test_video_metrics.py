from __future__ import annotations

import pytest

from train.metrics.video import ClipEvents, ClipFrame, CurvePoint, RunRule, curve_record, video_figures


def _frames(
    polyp: str, found: str, false: str, *, rate: float = 10.0, skip: frozenset[int] = frozenset()
) -> list[ClipFrame]:
    """A clip drawn as text: a sign other than '.' means yes; frames in `skip` are not judged."""
    return [
        ClipFrame(
            index=index,
            time_s=index / rate,
            duration_s=1 / rate,
            visible=frozenset({1} if polyp[index] != "." else ()),
            found=frozenset({1} if found[index] != "." else ()),
            false_alarms=int(false[index] != "."),
            best_score=0.9 if found[index] != "." or false[index] != "." else 0.1,
        )
        for index in range(len(polyp))
        if index not in skip
    ]


def test_a_clip_by_hand() -> None:
    clip = ClipEvents.of(
        "clip",
        "patient",
        _frames(
            "...##########.......",
            ".....###..###.......",
            "f.............fffff.",
        ),
    )
    (polyp,) = clip.polyps
    assert polyp.visible_frames == 10 and polyp.found_frames == 6
    assert polyp.delay_s == pytest.approx(0.2)
    assert polyp.longest_alarm_s == pytest.approx(0.3)
    assert polyp.frames_since_found == 8 and polyp.interruptions == 1
    assert clip.activations_s == pytest.approx((0.1, 0.5))

    figures = video_figures([clip])
    assert figures["minutes"] == pytest.approx(2 / 60, abs=1e-4)
    assert figures["polyp_detection_rate_any_length"] == 1.0
    assert figures["polyp_detection_rate_over_0.5_s"] == 0.0
    assert figures["false_activations_per_minute_any_length"] == pytest.approx(60)
    assert figures["false_activations_per_minute_over_0.5_s"] == pytest.approx(30)
    assert figures["false_activations_per_minute_over_1_s"] == 0.0
    assert figures["false_positive_frames_per_minute"] == pytest.approx(180)
    assert figures["frame_sensitivity"] == pytest.approx(0.6)
    assert figures["frame_specificity"] == pytest.approx(0.4)
    assert figures["alarm_share_after_first_detection"] == pytest.approx(6 / 8)
    assert figures["alarm_interruptions_per_minute"] == pytest.approx(60)
    assert figures["time_to_first_detection_median_s"] == pytest.approx(0.2)
    assert figures["interval_95"]["frame_sensitivity"] is None  # one clip says nothing about others


def test_delays_are_of_the_polyps_that_were_found_and_the_others_are_counted() -> None:
    clips = [
        ClipEvents.of("a", "a", _frames("####", "...#", "....")),
        ClipEvents.of("b", "b", _frames("####", "####", "....")),
        ClipEvents.of("c", "c", _frames("####", "....", "....")),
    ]
    figures = video_figures(clips)
    assert figures["polyps"] == 3 and figures["polyps_never_detected"] == 1
    assert figures["polyp_detection_rate_any_length"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["time_to_first_detection_median_s"] == pytest.approx(0.15)
    assert figures["time_to_first_detection_p90_s"] == pytest.approx(0.27)
    low, high = figures["interval_95"]["polyp_detection_rate_any_length"]
    assert low == 0.0 and high == 1.0


def test_a_clip_without_polyps_and_one_without_anything_else() -> None:
    without = video_figures([ClipEvents.of("a", "a", _frames("....", "....", ".f.f"))])
    assert without["polyp_detection_rate_any_length"] is None and without["frame_sensitivity"] is None
    assert without["time_to_first_detection_median_s"] is None and without["frame_auc"] is None
    assert without["false_activations_per_minute_any_length"] == pytest.approx(300)
    only = video_figures([ClipEvents.of("a", "a", _frames("####", "####", "...."))])
    assert only["frame_specificity"] is None and only["frame_sensitivity"] == 1.0


def test_frames_that_are_not_judged_end_a_run_and_count_no_time() -> None:
    clip = ClipEvents.of("a", "a", _frames("........", "........", "ffffffff", skip=frozenset({3, 4})))
    assert clip.activations_s == pytest.approx((0.3, 0.3))
    assert video_figures([clip])["minutes"] == pytest.approx(0.6 / 60, abs=1e-4)


def test_an_alarm_that_ends_when_the_polyp_leaves_was_not_interrupted() -> None:
    for found, interruptions in (("##..", 0), (".##.", 0), ("#.#.", 1), ("#.#.#.#", 3), ("....", 0)):
        clip = ClipEvents.of("a", "a", _frames("#" * len(found), found, "." * len(found)))
        assert clip.polyps[0].interruptions == interruptions, found


@pytest.mark.parametrize("rate", [5.0, 25.0, 30000 / 1001, 60.0])
def test_a_run_of_just_one_second_counts_as_one_second(rate: float) -> None:
    frames = round(rate)
    clip = ClipEvents.of("a", "a", _frames("." * (frames + 2), "." * (frames + 2), "f" * frames + "..", rate=rate))
    figures = video_figures([clip])
    exact = frames / rate >= 1 - 1e-9
    assert (figures[f"false_activations_per_minute_{RunRule.ONE_SECOND.key}"] > 0) is exact
    assert figures[f"false_activations_per_minute_{RunRule.HALF_SECOND.key}"] > 0


def _one(polyp: str, found: str, false: str | None = None, *, name: str = "a", rate: float = 10.0) -> ClipEvents:
    return ClipEvents.of(name, name, _frames(polyp, found, false or "." * len(polyp), rate=rate))


_LATE = "." * 31


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("#" * 40, (1, 1, 1, 1)),  # at once, and for four seconds
        ("." * 30 + "#" * 10, (1, 1, 1, 0)),  # begins at just three seconds, and lasts for one
        (_LATE + "#" * 9, (0, 0, 0, 0)),  # a tenth of a second later
        ("#" + _LATE + "#" * 8, (1, 0, 0, 0)),  # a flash in time, the rest too late
        ("####." * 8, (1, 0, 0, 0)),  # each under half a second
        ("." * 25 + "#" * 5 + "." * 10, (1, 1, 0, 0)),
        ("." * 20 + "#" * 20, (1, 1, 1, 1)),
        ("." * 40, (0, 0, 0, 0)),
    ],
)
def test_recall_within_three_seconds_by_the_length_of_the_box(found: str, expected: tuple[int, ...]) -> None:
    clip = _one("." * 5 + "#" * 40, "." * 5 + found)
    figures = video_figures([clip])
    assert [figures[f"recall_within_3_s_{rule.key}"] for rule in RunRule] == list(expected)
    assert [rule.key for rule in RunRule] == ["any_length", "over_0.5_s", "over_1_s", "over_2_s"]
    assert CurvePoint.of(0.5, [clip]).recall == dict(zip(RunRule, expected, strict=True))


def test_a_polyp_that_comes_back_is_counted_from_its_first_sight() -> None:
    away = "." * 40
    clip = _one("#" * 5 + away + "#" * 10, "." * 5 + away + "#" * 10)
    (polyp,) = clip.polyps
    assert polyp.delay_s == pytest.approx(4.5) and not polyp.is_found_in_time(RunRule.ANY)
    (gap,) = polyp.gaps
    assert (gap.first, gap.last) == (0, 4) and gap.length_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("polyp", "found", "gaps", "steady"),
    [
        ("##########", "##########", 0, 1.0),
        ("##########", "..########", 1, 0.8),  # before the first alarm
        ("##########", "######....", 1, 0.6),  # after the last
        ("##########", "#####..###", 1, 0.5),  # 0.3 s are not steady
        ("##########", "####..####", 1, 0.0),
        ("##########", "..........", 1, 0.0),
        ("#####.....", "#####.....", 0, 1.0),  # out of view is no gap
        ("####..####", "...#..#...", 2, 0.0),  # one before it leaves, one after it came back
    ],
)
def test_gaps_in_view_and_steady_boxes(polyp: str, found: str, gaps: int, steady: float) -> None:
    figures = video_figures([_one(polyp, found)])
    assert figures["gaps_in_view"] == gaps and figures["steady_alarm_share"] == pytest.approx(steady)


def test_false_events_with_their_lengths() -> None:
    false = "f....ffffffffff..." + "f" * 20 + "." * 22  # 0.1, 1 and 2 s of 6 s
    figures = video_figures([_one("." * 60, "." * 60, false)])
    counts = {"any_length": 3, "over_0.5_s": 2, "over_1_s": 2, "over_2_s": 1}
    for key, count in counts.items():
        assert figures[f"false_activations_{key}"] == count
        assert figures[f"false_activations_per_minute_{key}"] == pytest.approx(10 * count)
    assert [figures[f"false_activation_{name}_s"] for name in ("median", "p90", "longest")] == [1.0, 1.8, 2.0]
    assert figures["false_positive_frame_share"] == pytest.approx(31 / 60, abs=1e-4)
    (event, *_) = _one("." * 60, "." * 60, false).activations[1:]
    assert (event.first, event.last, event.begin_s) == (5, 14, 0.5)
    quiet = video_figures([_one("." * 9, "." * 9)])
    assert quiet["false_activation_median_s"] is None and quiet["recall_within_3_s_any_length"] is None


def test_a_point_of_the_curve() -> None:
    clips = [
        _one("#" * 60, "#" * 60, name="found"),
        _one("#" * 60, "." * 50 + "#" * 10, name="late"),
        _one("." * 60, "." * 60, "f" * 6 + "." * 54, name="false"),
    ]
    point = CurvePoint.of(0.4, clips)
    assert point.recall == dict.fromkeys(RunRule, 0.5)
    rates = {RunRule.ANY: 3.3333, RunRule.HALF_SECOND: 3.3333, RunRule.ONE_SECOND: 0.0, RunRule.TWO_SECONDS: 0.0}
    assert point.false_per_minute == rates  # one event in 18 s
    record = curve_record([point, CurvePoint.of(0.3, clips[2:])])
    assert record["threshold"] == [0.4, 0.3]
    assert record["recall_within_3_s"]["over_2_s"] == [0.5, None]  # the second has no polyps
    assert record["false_activations_per_minute"]["over_0.5_s"] == [3.3333, 10.0]
