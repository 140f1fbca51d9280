"""How much the frames around a moment say together for a track: its evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from engine.checks import require_within
from engine.errors import InputError


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """When a track is shown. Everything is in seconds and shares of scores, so that frame rate drops out.

    Attributes:
        show: evidence from which a track is shown, 0 to 1; 0 shows each track at once.
        keep: evidence under which a track that is shown goes out. Less than `show`, so that it does not flicker.
        span_s: how far back, and with look-ahead how far ahead, frames count as being around a moment, in seconds of
            useful frames.
        hold_s: a track that is shown keeps its last box for so long where nobody knows yet whether it comes back.
        bridge_s: longest gap between two sightings that boxes in between fill, which only look-ahead can do; frames
            further away tell nothing about a moment.
    """

    show: float = 0.3
    keep: float = 0.15
    span_s: float = 0.5
    hold_s: float = 0.2
    bridge_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            InputError: `keep` above `show`, one of them outside 0 to 1, or a time that is not positive.
        """
        require_within("`show`", self.show, 0, 1)
        if not 0.0 <= self.keep <= self.show:
            raise InputError(f"`keep` must lie in 0 to `show`. Received: {self.keep}, with `show` {self.show}")
        for name in (one.name for one in fields(self) if one.name.endswith("_s")):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"`{name}` must be a positive number of seconds. Received: {value}")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A frame around a moment, as one track saw it.

    Attributes:
        weight_s: seconds that the frame stands for; 0 for one that shows nothing useful, and not the track either.
        score: of the track's candidate, 0 to 1; None where it has none.
    """

    weight_s: float
    score: float | None


def evidence_of(around: Iterable[Sighting], span_s: float) -> float:
    """Mean score of a track over the frames around a moment, from its first sighting among them to its last.

    A track that was seen for less than `span_s` counts as unseen for the rest of it: a flash is little evidence,
    however high its score.

    Args:
        around: the frames around the moment, in order of time.
        span_s: least time that the mean is taken over, in seconds.

    Returns:
        Evidence from 0 to 1.
    """
    total = seconds = since_last = 0.0
    seen = False
    for one in around:
        if one.score is None:
            since_last += one.weight_s
            continue
        seconds += one.weight_s + (since_last if seen else 0.0)
        total += one.score * one.weight_s
        since_last, seen = 0.0, True
    least_s = max(seconds, span_s)
    return min(total / least_s, 1.0) if least_s > 0 else 0.0
