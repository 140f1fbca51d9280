"""How the time of a procedure was spent: what its frames show, where the endoscope is, insertion and withdrawal.

Frames tell what they show one by one. What a moment is takes those around it: the picture is frozen where it stays the
same for a second, and the endoscope is outside where most frames of some seconds show the room.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from engine.errors import InputError
from stream.frame import PictureState
from stream.instruments.moments import instrument_moments
from stream.procedure.reading import Procedure

_FROZEN_S = 1.0
_OUTSIDE_S = 3.0  # the window of the vote, and the shortest stretch inside or outside
_CLOCK = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{2}(?:\.\d+)?)|(\d+(?:\.\d+)?)")


class Moment(str, Enum):
    """What a moment of a procedure shows, in the order in which reports list it."""

    USEFUL = "useful"
    BLURRED = "blurred"
    WASHED_OUT = "washed out"
    INSTRUMENT = "instrument"
    FROZEN = "frozen picture"
    BLACK = "black"
    OUTSIDE = "outside the body"


_MOMENTS = {
    PictureState.USEFUL: Moment.USEFUL,
    PictureState.BLURRED: Moment.BLURRED,
    PictureState.WASHED_OUT: Moment.WASHED_OUT,
    PictureState.BLACK: Moment.BLACK,
    PictureState.OUTSIDE: Moment.USEFUL,  # a single frame without red tells nothing; `_outside` judges
    PictureState.STILL: Moment.USEFUL,
}
# Black, white and frozen frames say nothing of where the endoscope is.
_VOTES = {PictureState.OUTSIDE: 1, PictureState.USEFUL: -1, PictureState.BLURRED: -1}


@dataclass(frozen=True, slots=True)
class Stretch:
    """An uninterrupted stretch of one kind of moments, in seconds of the procedure."""

    moment: Moment
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a procedure, in seconds; None where something is not known.

    Attributes:
        recording_s: length of all recordings.
        entered_s: when the endoscope enters the body first; None where no frame shows its inside.
        left_s: when it leaves it for the last time.
        inside_s: between these two, without what lies outside in between.
        cecum_s: when the turning point was reached, as it was told.
        insertion_s: from entering to the turning point, without what lies outside.
        withdrawal_s: from the turning point to leaving, without what lies outside.
        net_withdrawal_s: withdrawal without moments that show nothing useful, or an instrument.
        not_counted_s: seconds of withdrawal that are not in the net time, by what they show.
        shares: of the recording, by what its moments show; they sum to 1. Without `INSTRUMENT` where nobody looked for
            instruments.
    """

    recording_s: float
    entered_s: float | None
    left_s: float | None
    inside_s: float
    cecum_s: float | None
    insertion_s: float | None
    withdrawal_s: float | None
    net_withdrawal_s: float | None
    not_counted_s: Mapping[Moment, float]
    shares: Mapping[Moment, float]


def parse_time(text: str, *, name: str = "cecum_time") -> float:
    """Seconds of a time such as `754`, `12:34` or `0:12:34`.

    Raises:
        InputError: it is no time.
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None or (found[3] is not None and float(found[3]) >= 60) or (found[1] and int(found[2]) >= 60):
        raise InputError(f"{name} {text!r} is no time; write seconds (754), minutes (12:34) or hours (0:12:34)")
    if found[4] is not None:
        return float(found[4])
    return 3600.0 * int(found[1] or 0) + 60.0 * int(found[2]) + float(found[3])


def moments_of(procedure: Procedure) -> tuple[Moment, ...]:
    """What each frame shows, with those around it, (frames,)."""
    durations_s = procedure.durations_s
    outside = _outside(procedure.states, procedure.times_s)
    moments = [Moment.USEFUL] * len(procedure.states)
    before = Moment.USEFUL
    for first, last in _runs([state is PictureState.STILL for state in procedure.states]):
        still = procedure.states[first] is PictureState.STILL
        frozen = still and float(durations_s[first:last].sum()) >= _FROZEN_S
        for index in range(first, last):
            # A picture that stays for less than that is what it was before.
            before = before if still else _MOMENTS[procedure.states[index]]
            moments[index] = Moment.FROZEN if frozen else before
    for index in np.flatnonzero(_with_instrument(procedure)).tolist():
        if moments[index] is Moment.USEFUL:
            moments[index] = Moment.INSTRUMENT
    for index in np.flatnonzero(outside).tolist():
        if procedure.states[index] is not PictureState.BLACK:
            moments[index] = Moment.OUTSIDE
    return tuple(moments)


def stretches_of(procedure: Procedure, moments: Sequence[Moment]) -> list[Stretch]:
    """The moments of a procedure as stretches, in order, without gaps."""
    ends_s = procedure.times_s + procedure.durations_s
    found: list[Stretch] = []
    for index, moment in enumerate(moments):
        start_s, end_s = float(procedure.times_s[index]), float(ends_s[index])
        if found and found[-1].moment is moment and start_s - found[-1].end_s < 1e-3:
            found[-1] = Stretch(moment, found[-1].start_s, end_s)
        else:
            found.append(Stretch(moment, start_s, end_s))
    return found


def times_of(procedure: Procedure, moments: Sequence[Moment], *, cecum_s: float | None = None) -> Times:
    """The times of a procedure.

    Args:
        procedure: of which.
        moments: what each of its frames shows.
        cecum_s: when the turning point was reached, in seconds of the procedure; None when nobody says.

    Raises:
        InputError: the turning point lies outside the procedure, or outside the time in the body.
    """
    durations_s, total_s = procedure.durations_s, float(procedure.durations_s.sum())
    kinds = np.array([tuple(Moment).index(one) for one in moments])
    shares = {
        one: float(durations_s[kinds == number].sum()) / total_s if total_s else 0.0
        for number, one in enumerate(Moment)
        if one is not Moment.INSTRUMENT or procedure.instruments is not None
    }
    away = np.array([one in (Moment.OUTSIDE, Moment.BLACK) for one in moments])
    inside = np.flatnonzero(~away)
    if not len(inside):
        _check_cecum(cecum_s, procedure, None, None)
        return Times(total_s, None, None, 0.0, cecum_s, None, None, None, {}, shares)
    entered_s = float(procedure.times_s[inside[0]])
    left_s = float(procedure.times_s[inside[-1]] + durations_s[inside[-1]])
    body = np.array([one is not Moment.OUTSIDE for one in moments])
    body[: inside[0]] = body[inside[-1] + 1 :] = False
    inside_s = float(durations_s[body].sum())
    _check_cecum(cecum_s, procedure, entered_s, left_s)
    if cecum_s is None:
        return Times(total_s, entered_s, left_s, inside_s, None, None, None, None, {}, shares)
    # A frame in which the turn falls counts on both sides for its part.
    ends_s = procedure.times_s + durations_s
    after_s = np.clip(ends_s - np.maximum(procedure.times_s, cecum_s), 0.0, None)
    withdrawal_s = float(after_s[body].sum())
    not_counted: dict[Moment, float] = {
        one: seconds
        for number, one in enumerate(Moment)
        if one is not Moment.USEFUL and (seconds := float(after_s[body & (kinds == number)].sum())) > 0
    }
    return Times(
        total_s,
        entered_s,
        left_s,
        inside_s,
        cecum_s,
        inside_s - withdrawal_s,
        withdrawal_s,
        withdrawal_s - sum(not_counted.values()),
        not_counted,
        shares,
    )


def _with_instrument(procedure: Procedure) -> npt.NDArray[np.bool_]:
    """Frames of moments with an instrument; none where nobody looked for instruments."""
    if procedure.instruments is None:
        return np.zeros(len(procedure.times_s), np.bool_)
    threshold = float(procedure.record["instruments"]["threshold"])
    return instrument_moments(procedure.times_s, procedure.instruments, threshold)


def _check_cecum(cecum_s: float | None, procedure: Procedure, entered_s: float | None, left_s: float | None) -> None:
    if cecum_s is None:
        return
    if not math.isfinite(cecum_s) or not 0 <= cecum_s <= procedure.end_s:
        raise InputError(
            f"cecum_time {cecum_s:g} s lies outside the procedure, which lasts {procedure.end_s:.1f} s; give a time "
            "in it"
        )
    if entered_s is None or left_s is None or not entered_s <= cecum_s <= left_s:
        inside = (
            "no frame shows the inside" if entered_s is None else f"inside from {entered_s:.1f} s to {left_s:.1f} s"
        )
        raise InputError(f"at cecum_time {cecum_s:g} s the endoscope is outside the body ({inside}); give another time")


def _outside(states: Sequence[PictureState], times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Frames at which the endoscope is outside: by the vote of those around them, and for some seconds at least."""
    votes = np.array([_VOTES.get(state, 0) for state in states], np.int64)
    sums = np.concatenate([[0], np.cumsum(votes)])
    first = np.searchsorted(times_s, times_s - _OUTSIDE_S / 2)
    last = np.searchsorted(times_s, times_s + _OUTSIDE_S / 2, side="right")
    outside: npt.NDArray[np.bool_] = sums[last] - sums[first] > 0
    for first_index, last_index in _runs(outside.tolist()):
        long = times_s[last_index - 1] - times_s[first_index] >= _OUTSIDE_S / 2
        if outside[first_index] and not long:
            outside[first_index:last_index] = False
    return outside


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First and last index (exclusive) of each run of equal flags."""
    first = 0
    for index in range(1, len(flags) + 1):
        if index == len(flags) or flags[index] != flags[first]:
            yield first, index
            first = index
