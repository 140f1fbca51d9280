"""What makes a frame worth labelling, and which frames of a shortlist are taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import InputError
from train.data.near_duplicates import Hashes
from train.labels.label_set import Label, LabelledPicture
from train.labels.results import Perceived, Recording
from train.selection.choosing import choose, even_share
from train.selection.shortlist import Pick, shortlist
from train.selection.signals import Reason, overall_of, signals_of

_BOX, _ELSEWHERE = (20.0, 20.0, 60.0, 60.0), (80.0, 20.0, 120.0, 60.0)
_RATE = 10


def _recording(scores: list[float], shown: set[int], *, useless: frozenset[int] = frozenset()) -> Recording:
    """One candidate a frame, and a track in the frames that are shown; threshold 0.5."""
    path = Path("exam.mp4")
    frames = tuple(
        LabelledPicture(
            f"exam/{place:06d}",
            path,
            place,
            (128, 96),
            (Label("polyp", _BOX, track="1", score=0.55),) if place in shown else (),
        )
        for place in range(len(scores))
    )
    perceived = tuple(
        Perceived(place not in useless, ((_BOX, score),) if score else ()) for place, score in enumerate(scores)
    )
    times = tuple(place / _RATE for place in range(len(scores)))
    return Recording("exam", "exam", path, frames, (128, 96), float(_RATE), times, perceived, 0.5)


def test_scores_near_the_threshold() -> None:
    found = signals_of(_recording([0.0, 0.05, 0.3, 0.45, 0.5, 0.9, 0.9], {6}), 0.5)[Reason.NEARLY_SHOWN]
    assert found[0] == found[1] == 0 and 0.5 < found[2] < found[3] < 1
    assert found[4] == found[5] == 1 and found[6] == 0  # the last one is shown
    shown = signals_of(_recording([0.9, 0.9], {1}), 0.5)[Reason.BARELY_SHOWN]
    assert shown[0] == 0 and shown[1] == pytest.approx(1 - (np.log(0.55 / 0.45)) / 0.5)


def test_a_box_that_a_reader_drew_is_not_barely_shown() -> None:
    recording = _recording([0.9], {0})
    drawn = tuple(replace(one, labels=(Label("polyp", _BOX, track="1"),)) for one in recording.frames)
    assert signals_of(replace(recording, frames=drawn), 0.5)[Reason.BARELY_SHOWN].tolist() == [0.0]


def test_what_comes_and_goes_flickers_and_what_comes_once_does_not() -> None:
    steady = signals_of(_recording([0.1] * 20 + [0.9] * 20, set(range(20, 40))), 0.5)[Reason.FLICKER]
    assert not steady.any()
    restless = signals_of(_recording([0.1] * 20 + [0.1, 0.9] * 5 + [0.1] * 20, set()), 0.5)[Reason.FLICKER]
    assert restless[24] == 1 and not restless[:14].any() and not restless[40:].any()


def test_frames_before_and_after_a_track() -> None:
    found = signals_of(_recording([0.0] * 100, set(range(40, 60))), 0.5)
    late, lost = found[Reason.LATE], found[Reason.LOST]
    assert not late[:20].any() and late[20] == pytest.approx(0.5) and late[39] > 0.9 and not late[40:].any()
    assert lost[60] > 0.9 and not lost[:60].any() and not lost[80:].any()


@pytest.mark.parametrize(
    ("candidates", "shown", "overruled"),
    [
        ([(_BOX, 0.9)], [_BOX], False),
        ([(_BOX, 0.4)], [], False),
        ([(_BOX, 0.9)], [], True),  # a flash that is not shown
        ([], [_BOX], True),  # a gap that is filled
        ([(_BOX, 0.9), (_ELSEWHERE, 0.8)], [_BOX], True),
        ([(_ELSEWHERE, 0.8)], [_BOX], True),
    ],
)
def test_frames_alone_and_over_time(
    candidates: list[tuple[tuple[float, float, float, float], float]],
    shown: list[tuple[float, float, float, float]],
    overruled: bool,
) -> None:
    frame = LabelledPicture(
        "exam/0", Path("exam.mp4"), 0, (128, 96), tuple(Label("polyp", box, score=0.9) for box in shown)
    )
    recording = Recording(
        *("exam", "exam", Path("exam.mp4"), (frame,), (128, 96), 25.0, (0.0,)),
        *((Perceived(True, tuple(candidates)),), 0.5),
    )
    assert bool(signals_of(recording, 0.5)[Reason.OVERRULED][0]) is overruled


def test_the_shortlist_lies_apart_and_leaves_out_what_shows_nothing() -> None:
    recording = _recording([0.5] * 50, set(), useless=frozenset(range(0, 25)))
    picks = shortlist(recording, most=10, spacing_s=1.0)
    frames = sorted(pick.picture.frame or 0 for pick in picks)
    assert frames[0] >= 25 and len(frames) == 3 and min(np.diff(frames)) >= 10
    assert picks[0].reasons[0] is Reason.NEARLY_SHOWN
    bare = Recording("exam", "exam", Path("exam.mp4"), recording.frames, (128, 96), 25.0, recording.times_s)
    with pytest.raises(InputError, match="the events of 'exam' hold no candidates; make them with `polypstream study`"):
        shortlist(bare, most=10, spacing_s=1.0)


def test_more_reasons_are_worth_more() -> None:
    one = overall_of({Reason.NEARLY_SHOWN: 1.0})
    assert 0 < one < overall_of({Reason.NEARLY_SHOWN: 1.0, Reason.FLICKER: 0.5}) < 1
    assert overall_of({Reason.JUDGED_WRONG: 1.0}) > overall_of({Reason.NEARLY_SHOWN: 1.0, Reason.LATE: 1.0})


def _pick(procedure: str, number: int, worth: float) -> Pick:
    picture = LabelledPicture(f"{procedure}/{number:06d}", Path(f"{procedure}.mp4"), number)
    return Pick(procedure, picture, 0.0, {Reason.FLICKER: worth}, worth)


def _hashes(*numbers: int) -> dict[int, Hashes]:
    """Hashes that are alike for equal numbers and far apart for others."""
    drawn = {one: np.random.default_rng(one).integers(0, 2**63, 2, np.uint64) for one in numbers}
    return {place: drawn[one] for place, one in enumerate(numbers)}


def test_no_two_alike_and_none_of_the_training_set() -> None:
    picks = [_pick("a", number, 0.9 - 0.1 * number) for number in range(4)]
    hashes = _hashes(1, 1, 2, 3)
    assert choose(picks, hashes, frames=3) == [0, 2, 3]
    assert choose(picks, hashes, frames=3, known=[hashes[2]]) == [0, 3]


def test_frames_are_spread_over_procedures_as_far_as_these_have_any() -> None:
    picks = [_pick("busy", number, 0.9) for number in range(20)] + [_pick("calm", number, 0.2) for number in range(20)]
    hashes = _hashes(*range(40))
    assert even_share(12, 4) == 6 and even_share(1, 9) == 1
    many = [*picks, _pick("other", 0, 0.1), _pick("more", 0, 0.1)]
    chosen = choose(many, _hashes(*range(42)), frames=12)
    procedures = [many[place].procedure for place in chosen]
    assert procedures.count("busy") == 6 and procedures.count("calm") == 6
    assert len(choose(picks[:20] + picks[20:22], hashes, frames=22)) == 22  # the busy one fills up what is left
    nothing = [_pick("a", 0, 0.0)]
    assert choose(nothing, _hashes(1), frames=1) == []
