"""From candidates to what is shown: tracks, their evidence, and boxes that neither flicker nor flash.

One rule has two forms. Without look-ahead (live) a frame is decided at once, by the frames before it: a track is shown
as soon as its evidence suffices. With look-ahead (recordings) a frame waits until what follows it is known: a polyp has
its box from the first frame that shows it, gaps are filled with boxes in between, and a flash is never shown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from engine.checks import require_at_least
from stream.decision.evidence import Sighting, evidence_of
from stream.decision.rule import DecisionRule
from stream.decision.tracking import Tracker
from stream.frame import Detection

Item = TypeVar("Item")

# A frame stands for the time since the one before, but for no more than this: nobody looked in between.
_LONGEST_STEP_S = 0.2
# What the first frame of a source stands for.
_FIRST_STEP_S = 0.04
# Times are rounded: a frame at the edge of a span belongs to it.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Decided(Generic[Item]):
    """What was decided about one frame.

    Attributes:
        item: that came with the frame.
        shown: detections to be shown, best first, each with the number of its track. One that was seen in the frames
            around but not in this one has `between` set.
        begun: numbers of the tracks that are shown from this frame on and were not in the frame before.
    """

    item: Item
    shown: tuple[Detection, ...]
    begun: tuple[int, ...]


@dataclass(slots=True)
class _Moment(Generic[Item]):
    item: Item
    time_s: float
    weight_s: float
    useful: bool
    sightings: Mapping[int, Detection]  # by the tracker's number


class Decision(Generic[Item]):
    """Decides over the frames of one source what is shown; fed in order, from one thread."""

    def __init__(
        self, rule: DecisionRule, *, ahead_s: float = 0.0, most_waiting: int | None = None, first_id: int = 1
    ) -> None:
        """Start without tracks.

        Args:
            rule: by which it decides.
            ahead_s: how long a frame waits for those that follow it, in seconds of the source; 0 decides at once.
            most_waiting: frames that may wait; the oldest is decided early when there are more. None for no limit.
            first_id: number of the first track that is shown.

        Raises:
            InputError: a negative `ahead_s`, or `most_waiting` under 1.
        """
        require_at_least("`ahead_s`", ahead_s, 0)
        if most_waiting is not None:
            require_at_least("`most_waiting`", most_waiting, 1)
        self._rule, self._ahead_s, self._most_waiting = rule, ahead_s, most_waiting
        self._next_id = first_id
        self._begin()

    def _begin(self) -> None:
        self._tracker = Tracker(self._rule.tracking)
        self._moments: deque[_Moment[Item]] = deque()
        self._waiting = 0
        self._length_s = 0.0
        self._least_s: float = self._rule.evidence.span_s
        self._resolution_wh: tuple[int, int] | None = None
        self._numbers: dict[int, int] = {}  # of the tracker's numbers, those that were ever shown
        self._on: set[int] = set()

    @property
    def next_id(self) -> int:
        """Number that the next new track will get."""
        return self._next_id

    def update(
        self,
        item: Item,
        candidates: Sequence[Detection],
        time_s: float,
        *,
        useful: bool = True,
        resolution_wh: tuple[int, int] | None = None,
    ) -> list[Decided[Item]]:
        """Take in the next frame.

        Args:
            item: comes back with what was decided about the frame.
            candidates: of the frame, down to the rule's floor; weaker ones change nothing.
            time_s: presentation time in seconds, see `Tracker.update`.
            useful: False for a frame that shows nothing (blurred, washed out): that a track is not seen in it takes no
                evidence away. Where it is seen all the same, it counts: a camera may always be soft.
            resolution_wh: of the frame, in pixels; boxes of another size say nothing about it, and all tracks are over.

        Returns:
            What can be decided now, in order: without look-ahead always this frame alone.

        Raises:
            InputError: a time, box or score that is not finite.
        """
        decided = []
        newest_s = self._moments[-1].time_s if self._moments else -math.inf
        rewound = time_s < newest_s - self._rule.tracking.max_gap_s
        if rewound or resolution_wh != self._resolution_wh:
            decided = self.finish()
            newest_s = -math.inf
            self._resolution_wh = resolution_wh
        tracked = self._tracker.update(candidates, time_s)
        sightings = {one.track_id: one for one in tracked if one.track_id is not None}
        step_s = min(max(time_s - newest_s, 0.0), _LONGEST_STEP_S) if math.isfinite(newest_s) else _FIRST_STEP_S
        self._length_s += step_s
        self._moments.append(_Moment(item, time_s, step_s, useful, sightings))
        self._waiting += 1
        return decided + list(self._decide(time_s - self._ahead_s + _ROUNDING_S))

    def finish(self) -> list[Decided[Item]]:
        """Decide about all frames that wait: nothing follows them. Another source may begin afterwards."""
        # A source that was shorter than the span is known as a whole.
        self._least_s = min(self._least_s, self._length_s)
        decided = list(self._decide(math.inf))
        self._begin()
        return decided

    def _decide(self, until_s: float) -> Iterator[Decided[Item]]:
        """Decides about the waiting frames up to a time."""
        evidence = self._rule.evidence
        while self._waiting:
            here = len(self._moments) - self._waiting
            moment = self._moments[here]
            too_many = self._most_waiting is not None and self._waiting > self._most_waiting
            if moment.time_s > until_s and not too_many:
                return
            self._waiting -= 1
            yield self._decided(moment, here)
            oldest_s = moment.time_s - max(evidence.span_s, evidence.bridge_s) - _ROUNDING_S
            while self._moments[0].time_s < oldest_s:
                self._moments.popleft()

    def _decided(self, moment: _Moment[Item], here: int) -> Decided[Item]:
        evidence = self._rule.evidence
        around = self._around(moment, here)
        tracks = {track for one in around for track in one.sightings}
        self._on &= tracks
        shown: list[tuple[int, Detection]] = []
        for track in tracks:
            box = self._box_of(track, moment, here)
            if box is None:
                continue
            sightings = (_sighting(one, track) for one in around)
            needed = evidence.keep if track in self._on else evidence.show
            if evidence_of(sightings, self._least_s) >= needed:
                shown.append((track, box))
            else:
                self._on.discard(track)
        begun = sorted(track for track, _ in shown if track not in self._on)
        for track in begun:
            self._on.add(track)
            if track not in self._numbers:
                self._numbers[track] = self._next_id
                self._next_id += 1
        shown.sort(key=lambda one: (-one[1].score, one[0]))
        return Decided(
            moment.item,
            tuple(replace(box, track_id=self._numbers[track]) for track, box in shown),
            tuple(self._numbers[track] for track in begun),
        )

    def _around(self, moment: _Moment[Item], here: int) -> list[_Moment[Item]]:
        """The frames around a moment: so many before and after it that the useful ones stand for `span_s` each."""
        evidence = self._rule.evidence
        before, after = _from(self._moments, here, -1), _from(self._moments, here + 1, 1)
        back = _useful(before, moment.time_s, evidence.span_s, evidence.bridge_s)
        ahead = _useful(after, moment.time_s, evidence.span_s, min(self._ahead_s, evidence.bridge_s))
        return [*reversed(back), *ahead]

    def _box_of(self, track: int, moment: _Moment[Item], here: int) -> Detection | None:
        """The track's box at a moment: seen, between two sightings, or the last one; None where it has none."""
        if track in moment.sightings:
            return moment.sightings[track]
        evidence = self._rule.evidence
        before = next((one for one in _from(self._moments, here - 1, -1) if track in one.sightings), None)
        if before is None:
            return None
        last = before.sightings[track]
        known_until_s = moment.time_s + self._ahead_s
        after = next((one for one in _from(self._moments, here + 1, 1) if track in one.sightings), None)
        if after is None or after.time_s > known_until_s + _ROUNDING_S:
            held = track in self._on and known_until_s - before.time_s <= evidence.hold_s + _ROUNDING_S
            return replace(last, between=True) if held else None
        gap_s = after.time_s - before.time_s
        if gap_s > evidence.bridge_s + _ROUNDING_S:
            return None
        share = (moment.time_s - before.time_s) / gap_s if gap_s > 0 else 0.0
        return _between(last, after.sightings[track], share)


def _sighting(moment: _Moment[Item], track: int) -> Sighting:
    seen = moment.sightings.get(track)
    if seen is None:
        return Sighting(moment.weight_s if moment.useful else 0.0, None)
    return Sighting(moment.weight_s, seen.score)


def _useful(moments: Iterable[_Moment[Item]], time_s: float, span_s: float, longest_s: float) -> list[_Moment[Item]]:
    """The first of some frames, until the useful ones stand for `span_s`; none further away than `longest_s`."""
    taken: list[_Moment[Item]] = []
    seconds = 0.0
    for one in moments:
        if seconds > span_s - _ROUNDING_S or abs(one.time_s - time_s) > longest_s + _ROUNDING_S:
            break
        taken.append(one)
        seconds += one.weight_s if one.useful else 0.0
    return taken


def _from(moments: deque[_Moment[Item]], start: int, step: int) -> Iterator[_Moment[Item]]:
    place = start
    while 0 <= place < len(moments):
        yield moments[place]
        place += step


def _between(first: Detection, second: Detection, share: float) -> Detection:
    """A detection part of the way from one sighting to the next."""
    x1, y1, x2, y2 = (a + share * (b - a) for a, b in zip(first.box_xyxy, second.box_xyxy, strict=True))
    score = first.score + share * (second.score - first.score)
    return replace(first, box_xyxy=(x1, y1, x2, y2), score=score, between=True)
