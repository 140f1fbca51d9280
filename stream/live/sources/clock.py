"""Presentation times of a live stream: its own stamps where they can be believed, held to the monotonic clock."""

from __future__ import annotations

from fractions import Fraction

_TICKS = 90000  # a second, as in MPEG streams
_SHORTEST_STEP = Fraction(1, 1000)


class StreamClock:
    """Makes presentation times from the stamps of a stream, which may be missing, jump, start anew or drift.

    Stamps are steadier than the arrival of frames over a network, so they set the distance from frame to frame. They
    are drawn slowly towards the monotonic clock, and set to it at once where they are off by more than `tolerance_s`.
    """

    def __init__(self, *, tolerance_s: float = 0.5, pull: float = 0.01) -> None:
        """Begins with the first frame.

        Args:
            tolerance_s: difference between stamp and arrival, in seconds, from which the stamp is not believed.
            pull: share of the difference that is taken away with each frame, 0 to 1.
        """
        self._tolerance_s, self._pull = tolerance_s, pull
        self._began_s: float | None = None
        self._offset_s: float | None = None  # from stamps to presentation times
        self._last = -_SHORTEST_STEP

    def next(self, stamp_s: float | None, arrived_s: float) -> Fraction:
        """The presentation time of the next frame: seconds after the first frame, later than the frame before.

        Args:
            stamp_s: what the stream says, in seconds of its own clock; None when it says nothing.
            arrived_s: monotonic time of arrival in seconds.
        """
        if self._began_s is None:
            self._began_s = arrived_s
        passed_s = arrived_s - self._began_s
        time_s = passed_s
        if stamp_s is not None:
            if self._offset_s is None or abs(passed_s - (stamp_s + self._offset_s)) > self._tolerance_s:
                self._offset_s = passed_s - stamp_s
            time_s = stamp_s + self._offset_s
            self._offset_s += self._pull * (passed_s - time_s)
        self._last = max(Fraction(round(time_s * _TICKS), _TICKS), self._last + _SHORTEST_STEP)
        return self._last
