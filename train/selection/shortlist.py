"""The frames of each recording that are worth a look, before any picture is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.errors import InputError
from train.labels.label_set import LabelledPicture
from train.labels.results import Recording
from train.selection.signals import Reason, overall, signals_of


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame that is worth labelling.

    Attributes:
        procedure: name of its results.
        picture: its recording, its number in it, and what was found in it.
        time_s: in its recording's time, in seconds.
        signals: how strongly each reason holds, 0 to 1; those that do not hold at all are left out.
        worth: of a label of it, 0 to 1.
    """

    procedure: str
    picture: LabelledPicture
    time_s: float
    signals: Mapping[Reason, float] = field(default_factory=dict)
    worth: float = 0.0

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why, the strongest reason first."""
        return tuple(sorted(self.signals, key=lambda one: (-self.signals[one], list(Reason).index(one))))


def threshold_of(recording: Recording) -> float:
    """The threshold of a recording's run.

    Raises:
        InputError: its events hold no candidates, or the record does not say the threshold.
    """
    if recording.perceived is None or recording.threshold is None:
        raise InputError(
            f"the events of {recording.name!r} hold no candidates; make them with `polypstream study`, or with "
            "`polypstream detect SOURCE --events OUT.jsonl --candidates`"
        )
    return recording.threshold


def shortlist(recording: Recording, *, most: int, spacing_s: float) -> list[Pick]:
    """The frames of a recording whose labels are worth most, some time apart; frames that show nothing are left out.

    Args:
        recording: with what was perceived in it.
        most: how many.
        spacing_s: seconds between two of them, at least.

    Raises:
        InputError: as of `threshold_of`.
    """
    signals = signals_of(recording, threshold_of(recording))
    worth = overall(signals)
    assert recording.perceived is not None  # `threshold_of` looked
    worth[[not one.useful for one in recording.perceived]] = 0.0
    times_s = np.array(recording.times_s)
    picks = []
    for place in _apart(worth, times_s, spacing_s):
        held = {reason: float(values[place]) for reason, values in signals.items() if values[place] > 0}
        picks.append(
            Pick(recording.procedure, recording.frames[place], float(times_s[place]), held, float(worth[place]))
        )
        if len(picks) == most:
            break
    return picks


def _apart(worth: np.ndarray[tuple[int], np.dtype[np.float64]], times_s: np.ndarray, spacing_s: float) -> Iterator[int]:
    """Places in the order of their worth, each so far from all before it; none that is worth nothing."""
    left = worth.copy()
    while left.size:
        place = int(left.argmax())
        if left[place] <= 0:
            return
        yield place
        left[np.abs(times_s - times_s[place]) < spacing_s - 1e-6] = 0.0
