"""Whether the machine carries all rooms: what each gets of the detector is measured, and too little is said once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from engine.command_line import counted
from stream.live.states.view import LiveState, LiveStatus

_SPAN_S = 10.0  # over which is measured
_LATE_FRAMES = 1.0  # a picture that is later than so many frames of its source is late


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    statuses: Mapping[str, LiveStatus]
    processor_s: float


class LoadWatch:
    """Looks at all rooms over ten seconds in which each of them ran, until there is something to say."""

    def __init__(self, longest_age_s: float) -> None:
        """Begins with nothing.

        Args:
            longest_age_s: a box is shown for so long; results that are further apart leave gaps.
        """
        self._needed = 1 / longest_age_s
        self._first: _Sample | None = None
        self._said = False

    def look(self, statuses: Mapping[str, LiveStatus], processor_s: float, *, now_s: float | None = None) -> str:
        """What is to be said, once; "" for nothing.

        Args:
            statuses: of all rooms just now, by name.
            processor_s: processor time that all of their processes have taken.
            now_s: monotonic time (default: now).
        """
        now_s = time.monotonic() if now_s is None else now_s
        steady = all(status.state is LiveState.RUNNING and status.looked_at for status in statuses.values())
        first = self._first
        restarted = first is not None and any(
            name not in first.statuses or status.captured < first.statuses[name].captured
            for name, status in statuses.items()
        )
        if self._said or not steady or not statuses or restarted:
            self._first = None
            return ""
        newest = _Sample(now_s, dict(statuses), processor_s)
        if first is None:
            self._first = newest
            return ""
        if now_s - first.at_s < _SPAN_S:
            return ""
        self._first = newest
        said = self._judge(first, newest)
        self._said = bool(said)
        return said

    def _judge(self, first: _Sample, newest: _Sample) -> str:
        span_s = newest.at_s - first.at_s
        rates: dict[str, tuple[float, float]] = {}  # looked at and captured, a second
        for name, status in newest.statuses.items():
            before = first.statuses[name]
            rates[name] = (
                (status.looked_at - before.looked_at) / span_s,
                (status.captured - before.captured) / span_s,
            )
        starved = [name for name, (looked, captured) in rates.items() if looked < min(self._needed, 0.8 * captured)]
        late = {
            name: status.delays.video
            for name, status in newest.statuses.items()
            if status.delays is not None and status.delays.video > _LATE_FRAMES * 1000 / max(rates[name][1], 1.0)
        }
        if not starved and not late:
            return ""
        looked = [rate for rate, _ in rates.values()]
        cores = os.cpu_count() or 1
        share = (newest.processor_s - first.processor_s) / span_s / cores
        parts = [
            f"this machine does not carry {counted(len(rates), 'room')}: detection looks at {min(looked):.1f} to "
            f"{max(looked):.1f} frames a second of each ({self._needed:.0f} keep boxes on the screen)"
        ]
        if late:
            worst = max(late, key=lambda name: late[name])
            parts.append(f"pictures of {worst} are {late[worst]:.0f} ms late")
        parts.append(f"all processes of this run take {100 * share:.0f} % of {counted(cores, 'core')}")
        return ", ".join(parts) + "; watch fewer rooms, or smaller pictures, or end what else runs here"
