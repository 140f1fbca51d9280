from __future__ import annotations

import pytest

from train.metrics.video import ClipEvents, ClipFrame, RunRule, video_figures


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
