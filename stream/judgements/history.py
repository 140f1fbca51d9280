"""The log of a review played from its start: the state that it leads to, and what undo and redo would do.

Undo and redo are entries of the log like all others, so nothing is ever removed from it, and both go on without end.
What the detector found in the boxes of an added finding (`refine`) belongs to the addition: it is taken back with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import InputError
from stream.judgements.applying import Change, apply
from stream.judgements.state import Beginning, Judgements, ReviewState

UNDO, REDO, REFINE = "undo", "redo", "refine"
"""What entries do that are no changes of their own."""

_STATES = 100  # that are at hand for `undo`; older ones are made anew


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    Attributes:
        number: of it; each is larger than those before.
        at: when it was made, as text.
        change: what was done.
        of: number of the entry that is taken back, done again or refined; None for other changes.
    """

    number: int
    at: str
    change: Change
    of: int | None = None


class History:
    """The entries of one reader about one procedure, in order."""

    def __init__(self, beginning: Beginning, entries: Iterable[Entry] = ()) -> None:
        """Plays the entries.

        Args:
            beginning: of the review.
            entries: in the order of their numbers.
        """
        self.beginning = beginning
        self._states = [beginning.state()]  # before each of the last changes that hold, and after the last one
        self._holding: list[Entry] = []
        self._taken_back: list[Entry] = []
        self._refined: dict[int, Mapping[str, Any]] = {}
        self.revision = 0
        self.last_number = 0
        self.last_by_reader = 0
        self.was_done = False
        for entry in entries:
            self.play(entry)

    @property
    def state(self) -> Judgements:
        """Where the log leads to."""
        return self._states[-1]

    @property
    def undo(self) -> Entry | None:
        """What `undo` would take back."""
        return self._holding[-1] if self._holding else None

    @property
    def redo(self) -> Entry | None:
        """What `redo` would do again."""
        return self._taken_back[-1] if self._taken_back else None

    def copy(self) -> History:
        """The history as it is now; what is played later does not change it."""
        other = copy(self)
        other._states, other._holding = list(self._states), list(self._holding)
        other._taken_back, other._refined = list(self._taken_back), dict(self._refined)
        return other

    def play(self, entry: Entry) -> None:
        """Goes on by one entry."""
        what = entry.change["do"]
        if what == UNDO:
            self._taken_back.append(self._holding.pop())
            self._states.pop()
            if not self._states:
                self._play_anew()
        elif what == REDO:
            self._hold(self._taken_back.pop())
        elif what == REFINE:
            self._refine(entry)
        else:
            self._taken_back.clear()
            self._hold(entry)
        self.revision += 1
        self.last_number = entry.number
        if what != REFINE:
            self.last_by_reader = self.revision
        self.was_done = self.was_done or self.state.state is ReviewState.DONE

    def of(self, what: str) -> int | None:
        """The number that an entry `undo` or `redo` refers to; None for another change.

        Raises:
            InputError: there is nothing to take back, or to do again.
        """
        if what not in (UNDO, REDO):
            return None
        found = self.undo if what == UNDO else self.redo
        if found is None:
            raise InputError("there is nothing to take back" if what == UNDO else "there is nothing to do again")
        return found.number

    def _hold(self, entry: Entry) -> None:
        refined = self._refined.get(entry.number)
        change = entry.change if refined is None else {**entry.change, "refined": refined}
        self._states.append(apply(self.beginning, self.state, change))
        self._holding.append(replace(entry, change=change))
        del self._states[:-_STATES]

    def _refine(self, entry: Entry) -> None:
        assert entry.of is not None
        self._refined[entry.of] = entry.change["boxes"]
        places = [place for place, one in enumerate(self._holding) if one.number == entry.of]
        if places:  # what was done since is done anew upon it
            self._play_anew()

    def _play_anew(self) -> None:
        """Makes the states anew."""
        holding, self._holding = self._holding, []
        self._states = [self.beginning.state()]
        for entry in holding:
            self._hold(entry)


def state_of(beginning: Beginning, entries: Iterable[Entry]) -> Judgements:
    """The state that a log leads to."""
    return History(beginning, entries).state


def said(entry: Entry | None) -> str | None:
    """What a change did, for people; None for none."""
    if entry is None:
        return None
    change = entry.change
    what = change["do"]
    if what == "judge":
        value = change["value"]
        shown = "nothing" if value in (None, "") else f"“{value}”"
        return f"{change['field']} of finding {change['finding']}: {shown}"
    if what == "join":
        return f"findings {', '.join(change['findings'])} joined"
    if what == "turning_point":
        return "turning point set" if "recording" in change else "turning point removed"
    if what == "state":
        return f"review {change['value'].replace('_', ' ')}"
    texts = {
        "box": "box of finding {finding} in frame {frame}",
        "delete_boxes": "boxes of finding {finding} deleted in frames {first} to {last}",
        "interpolate": "boxes of finding {finding} between frames {first} and {last}",
        "split": "finding {finding} split at frame {frame}",
        "add": "finding added",
        "remove": "finding {finding} removed",
        "bbps": "Boston scale",
    }
    return texts[what].format(**change)
