"""From tracked detections to alarms: a box is shown once it was found often enough, and goes when found too rarely."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import BundleError, InputError
from stream.frame import Detection


@dataclass(frozen=True, slots=True)
class AlarmSettings:
    """When a polyp is worth showing. Frames are those that detection looked at.

    Attributes:
        needed: frames, out of the newest `window`, in which a polyp must have been found for its alarm to begin. 1
            shows everything at once.
        window: frames that are looked back on.
        kept: frames, out of the newest `window`, that keep the alarm on; fewer end it. Lower than `needed`, so that an
            alarm does not flicker.
    """

    needed: int = 2
    window: int = 3
    kept: int = 1

    def __post_init__(self) -> None:
        """Check the order of the numbers.

        Raises:
            InputError: not 1 <= kept <= needed <= window.
        """
        if not 1 <= self.kept <= self.needed <= self.window:
            raise InputError(
                f"an alarm needs 1 <= kept <= needed <= window. Received: {self.kept}, {self.needed}, {self.window}"
            )


def alarms_of_model(record: Mapping[str, Any]) -> AlarmSettings:
    """The rule that was chosen for a model together with its threshold; the default when none was.

    Args:
        record: the bundle's `model.json`.

    Raises:
        BundleError: it holds a rule that is none.
    """
    rule = record.get("alarm")
    if rule is None:
        return AlarmSettings()
    try:
        return AlarmSettings(int(rule["needed"]), int(rule["window"]), int(rule["kept"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"the alarm rule {rule!r} of model {record.get('name')!r} cannot be used: {error}") from error


@dataclass(frozen=True, slots=True)
class AlarmUpdate:
    """What is to be shown after a frame.

    Attributes:
        shown: detections of this frame whose alarm is on, best first.
        raised: tracks whose alarm began with this frame.
    """

    shown: tuple[Detection, ...] = ()
    raised: tuple[int, ...] = ()


class Alarms:
    """Keeps the alarm of each track; fed with every frame that detection looked at, in order, from one thread."""

    def __init__(self, settings: AlarmSettings | None = None) -> None:
        self._settings = settings or AlarmSettings()
        self._seen: dict[int, deque[bool]] = {}
        self._on: set[int] = set()

    def update(self, detections: Sequence[Detection]) -> AlarmUpdate:
        """Take in the detections of the next frame.

        Args:
            detections: tracked; those without a track are mere candidates and never alarm.
        """
        settings = self._settings
        present = {one.track_id: one for one in detections if one.track_id is not None}
        for track in present:
            self._seen.setdefault(track, deque(maxlen=settings.window))
        raised: list[int] = []
        for track, seen in list(self._seen.items()):
            seen.append(track in present)
            count = sum(seen)
            if track not in self._on and count >= settings.needed:
                self._on.add(track)
                raised.append(track)
            elif count < settings.kept:
                self._on.discard(track)
            if not count:
                del self._seen[track]
        shown = [one for track, one in present.items() if track in self._on]
        return AlarmUpdate(tuple(sorted(shown, key=lambda one: -one.score)), tuple(raised))
