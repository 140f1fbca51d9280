"""What is shown: causal and with look-ahead, over made-up candidates."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from stream.decision.decision import Decided, Decision
from stream.decision.rule import AHEAD_S, TimeRule, decision_rule
from stream.frame import Detection

STEP_S = 0.04
RULE = decision_rule(0.8, TimeRule(found=0.75, continued=0.45, show=0.4, keep=0.2))


def polyp(score: float, x: float = 300.0, y: float = 200.0, size: float = 60.0) -> Detection:
    return Detection((x - size / 2, y - size / 2, x + size / 2, y + size / 2), score)


def decide(
    frames: Sequence[Sequence[Detection]],
    *,
    ahead_s: float,
    step_s: float = STEP_S,
    useful: Sequence[bool] | None = None,
    most_waiting: int | None = None,
) -> list[Decided[int]]:
    decision = Decision[int](RULE, ahead_s=ahead_s, most_waiting=most_waiting)
    decided = []
    for index, candidates in enumerate(frames):
        good = useful is None or useful[index]
        decided += decision.update(index, candidates, index * step_s, useful=good)
    return decided + decision.finish()


def letters(decided: Sequence[Decided[int]]) -> str:
    """One letter a frame: `#` for a box that was seen, `-` for one in between, `.` for none."""
    return "".join("." if not one.shown else "-" if one.shown[0].between else "#" for one in decided)


def frames_of(text: str, score: float = 0.9) -> list[list[Detection]]:
    return [[polyp(score)] if letter == "#" else [] for letter in text]


@pytest.mark.parametrize(
    ("seen", "recorded"),
    [
        ("." * 20 + "#" * 20 + "." * 20, "." * 20 + "#" * 20 + "." * 20),  # from its first frame to its last
        ("." * 20 + "#" + "." * 20, "." * 41),  # a flash is never shown
        ("." * 20 + "###" + "." * 20, "." * 43),
        ("#" * 20 + "." * 10 + "#" * 20, "#" * 20 + "-" * 10 + "#" * 20),  # a gap is filled
        ("#" * 20 + "." * 30 + "#" * 20, "#" * 20 + "." * 30 + "#" * 20),  # a long one is not
        ("#.#." * 15, "#-#-" * 14 + "#-#."),
    ],
)
def test_recorded(seen: str, recorded: str) -> None:
    assert letters(decide(frames_of(seen), ahead_s=AHEAD_S)) == recorded


def test_live_a_box_begins_with_enough_evidence_and_is_held_over_short_gaps() -> None:
    seen = "." * 10 + "#" * 20 + "." * 3 + "#" * 10 + "." * 20
    shown = letters(decide(frames_of(seen), ahead_s=0.0))
    # 0.32 of half a second at 0.9 a frame: five frames; a last box is held for 0.2 s.
    assert shown == "." * 14 + "#" * 16 + "-" * 3 + "#" * 10 + "-" * 5 + "." * 15


def test_weak_frames_of_a_track_are_shown_too() -> None:
    frames = [[polyp(0.9 if index % 5 == 0 else 0.4)] for index in range(50)]
    assert letters(decide(frames, ahead_s=AHEAD_S)) == "#" * 50


def test_boxes_in_between_lie_in_between() -> None:
    frames = [[polyp(0.9, x=300.0)]] * 20 + [[]] * 9 + [[polyp(0.7, x=340.0)]] * 20
    shown = decide(frames, ahead_s=AHEAD_S)
    before, after = shown[19].shown[0], shown[29].shown[0]
    middle = shown[24].shown[0]
    assert middle.between and not before.between and middle.track_id == before.track_id == after.track_id == 1
    assert middle.score == pytest.approx((before.score + after.score) / 2)
    for side in range(4):
        assert middle.box_xyxy[side] == pytest.approx((before.box_xyxy[side] + after.box_xyxy[side]) / 2)


def test_a_track_that_never_gathers_evidence_uses_no_number() -> None:
    flash, real = polyp(0.95, x=900.0), polyp(0.9)
    frames = [[real, flash] if index == 3 else [real] for index in range(40)]
    shown = decide(frames, ahead_s=AHEAD_S)
    assert {one.track_id for moment in shown for one in moment.shown} == {1}
    assert [moment.item for moment in shown if moment.begun] == [0]


def test_frames_that_show_nothing_useful_take_nothing_away() -> None:
    seen = "#" * 15 + "." * 12 + "#" * 15
    useful = [letter == "#" for letter in seen]
    shown = letters(decide(frames_of(seen), ahead_s=0.0, useful=useful))
    assert shown[4:] == "#" * 11 + "-" * 5 + "." * 7 + "#" * 15, "after the blur the box is back at once"
    sharp = letters(decide(frames_of(seen), ahead_s=0.0))
    assert sharp[27] == ".", "frames that show no polyp are another matter"
    soft = letters(decide(frames_of("#" * 40), ahead_s=AHEAD_S, useful=[False] * 40))
    assert soft == "#" * 40, "what is seen in a soft picture is seen"


def test_the_frame_rate_does_not_matter() -> None:
    for step_s in (1 / 60, 1 / 25, 0.1):
        count = round(3 / step_s)
        frames: list[list[Detection]] = [[polyp(0.9)] if index * step_s >= 1.0 else [] for index in range(count)]
        live = letters(decide(frames, ahead_s=0.0, step_s=step_s))
        assert 1.1 <= live.index("#") * step_s <= 1.25, step_s
        assert letters(decide(frames, ahead_s=AHEAD_S, step_s=step_s)).index("#") * step_s == pytest.approx(
            1.0, abs=step_s
        )


def test_a_source_that_is_rewound_begins_anew() -> None:
    decision = Decision[int](RULE, ahead_s=AHEAD_S)
    decided = []
    for index in range(60):
        decided += decision.update(index, [polyp(0.9)], (index % 30) * STEP_S + (100 if index < 30 else 0))
    decided += decision.finish()
    assert [one.item for one in decided] == list(range(60))
    assert [one.shown[0].track_id for one in decided] == [1] * 30 + [2] * 30


@pytest.mark.parametrize("ahead_s", [0.0, AHEAD_S])
def test_boxes_of_another_picture_size_say_nothing(ahead_s: float) -> None:
    decision = Decision[int](RULE, ahead_s=ahead_s)
    decided = []
    for index in range(60):
        size_wh = (640, 480) if index < 30 else (320, 240)
        seen = [polyp(0.9)] if index < 30 or index >= 40 else []
        decided += decision.update(index, seen, index * STEP_S, resolution_wh=size_wh)
    decided += decision.finish()
    assert [one.item for one in decided] == list(range(60))
    assert decided[29].shown and not any(one.shown for one in decided[30:40]), "no box is held or bridged"
    assert {seen.track_id for one in decided[40:] for seen in one.shown} == {2}


def test_a_recording_shorter_than_the_span_is_judged_by_its_length() -> None:
    assert letters(decide(frames_of("##"), ahead_s=AHEAD_S)) == "##"
    assert letters(decide(frames_of("#...."), ahead_s=AHEAD_S)) == "....."
    assert letters(decide(frames_of("##"), ahead_s=0.0)) == "..", "live nobody knows that it ends"


def test_numbers_go_on_from_the_first() -> None:
    decision = Decision[None](RULE, first_id=7)
    for index in range(20):
        (decided,) = decision.update(None, [polyp(0.9)], index * STEP_S)
    assert decided.shown[0].track_id == 7 and decision.next_id == 8


def test_few_frames_wait() -> None:
    decision = Decision[int](RULE, ahead_s=AHEAD_S, most_waiting=5)
    given_back = [one.item for index in range(30) for one in decision.update(index, [polyp(0.9)], index * STEP_S)]
    assert given_back == list(range(25))
    assert [one.item for one in decision.finish()] == list(range(25, 30))


@pytest.mark.parametrize(("ahead_s", "most_waiting"), [(-1.0, None), (float("nan"), None), (1.0, 0)])
def test_wrong_use(ahead_s: float, most_waiting: int | None) -> None:
    with pytest.raises((InputError, ValueError)):
        Decision[None](RULE, ahead_s=ahead_s, most_waiting=most_waiting)


scores = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.3, 0.36, 0.6, 0.8, 0.95]))
candidates = st.lists(
    st.builds(polyp, scores, st.sampled_from([100.0, 300.0, 700.0])), max_size=3, unique_by=lambda one: one.box_xyxy
)
clips = st.lists(candidates, max_size=60)
aheads = st.sampled_from([0.0, 0.1, 0.5, AHEAD_S])
patient = settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)


@patient
@given(clips, aheads, st.one_of(st.none(), st.integers(1, 10)))
def test_every_frame_comes_back_once_and_in_order(
    frames: list[list[Detection]], ahead_s: float, most_waiting: int | None
) -> None:
    decided = decide(frames, ahead_s=ahead_s, most_waiting=most_waiting)
    assert [one.item for one in decided] == list(range(len(frames)))
    begun: list[int] = []
    for one in decided:
        numbers = [seen.track_id for seen in one.shown]
        assert None not in numbers and len(set(numbers)) == len(numbers)
        assert set(one.begun) <= set(numbers)
        assert [seen.score for seen in one.shown] == sorted((seen.score for seen in one.shown), reverse=True)
        begun += [number for number in one.begun if number not in begun]
        assert all(number in begun for number in numbers)
    assert begun == list(range(1, len(begun) + 1)), "numbers are given in the order in which tracks are shown"


@patient
@given(clips, aheads)
def test_no_box_before_the_first_sight_and_none_after_the_last(frames: list[list[Detection]], ahead_s: float) -> None:
    decided = decide(frames, ahead_s=ahead_s)
    seen_at = [index for index, found in enumerate(frames) if any(one.score >= RULE.floor for one in found)]
    held = 0.0 if ahead_s > RULE.evidence.hold_s else RULE.evidence.hold_s
    for one in decided:
        if one.shown:
            assert one.item >= seen_at[0]
            assert (one.item - seen_at[-1]) * STEP_S <= held + 1e-6


@patient
@given(clips, aheads)
def test_boxes_in_between_are_bounded(frames: list[list[Detection]], ahead_s: float) -> None:
    longest = RULE.evidence.bridge_s if ahead_s else RULE.evidence.hold_s
    last_seen: dict[int, int] = {}
    for one in decide(frames, ahead_s=ahead_s):
        for shown in one.shown:
            assert shown.track_id is not None
            if shown.between:
                # In between: a track that is shown was seen within the longest gap, shown then or not.
                since = [index for index in range(one.item) if (one.item - index) * STEP_S <= longest + 1e-6]
                assert any(frames[index] for index in since)
            else:
                last_seen[shown.track_id] = one.item


@patient
@given(clips)
def test_with_hardly_any_look_ahead_recorded_is_live(frames: list[list[Detection]]) -> None:
    now, soon = decide(frames, ahead_s=0.0), decide(frames, ahead_s=1e-7)
    if frames:  # of the last frame it is known that nothing follows, once the source has ended
        now, soon = now[:-1], soon[:-1]
    assert now == soon


@patient
@given(st.floats(0.65, 1), st.integers(30, 80))
def test_long_after_the_first_sight_live_and_recorded_agree(score: float, count: int) -> None:
    live = decide([[polyp(score)]] * count, ahead_s=0.0)
    recorded = decide([[polyp(score)]] * count, ahead_s=AHEAD_S)
    settled = round(RULE.evidence.span_s / STEP_S)
    assert [one.shown for one in live[settled:]] == [one.shown for one in recorded[settled:]]


@patient
@given(clips, aheads, st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(
    frames: list[list[Detection]], ahead_s: float, shuffler: random.Random
) -> None:
    # Scores that are alike may be told apart by their order alone.
    apart = [
        [Detection(one.box_xyxy, min(one.score + 1e-4 * place, 1.0)) for place, one in enumerate(found)]
        for found in frames
    ]
    shuffled = [shuffler.sample(found, len(found)) for found in apart]
    some, others = decide(apart, ahead_s=ahead_s), decide(shuffled, ahead_s=ahead_s)
    assert [sorted(s.box_xyxy for s in one.shown) for one in some] == [
        sorted(s.box_xyxy for s in one.shown) for one in others
    ]


@patient
@given(clips, aheads)
def test_candidates_below_the_floor_change_nothing(frames: list[list[Detection]], ahead_s: float) -> None:
    enough = [[one for one in found if one.score >= RULE.floor] for found in frames]
    assert decide(frames, ahead_s=ahead_s) == decide(enough, ahead_s=ahead_s)
