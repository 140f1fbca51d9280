"""Presentation times that always grow: missing ones are filled in, wrong ones are mended."""

from __future__ import annotations

from fractions import Fraction

# A step back of at most so many seconds and frames is a wrong time here and there; a longer one is a new clock (a file
# that was joined from several recordings), on which the source's own distances are kept.
_WRONG_S = Fraction(1)
_WRONG_FRAMES = 2


class PresentationTimes:
    """Turns the times that a source gives, which may be missing, repeated or go back, into strictly growing ones."""

    def __init__(self, *, step_s: Fraction) -> None:
        """Start before the first frame.

        Args:
            step_s: usual distance of two frames in seconds, above 0.
        """
        self._step_s = step_s
        self._offset_s = Fraction(0)
        self._last_s: Fraction | None = None
        self._wrong_in_a_row = 0
        self.mended = 0

    def next(self, given_s: Fraction | None) -> Fraction:
        """The time of the next frame.

        Args:
            given_s: seconds as the source has it, or None where it has none.

        Returns:
            The same time where it is usable; the usual distance after the frame before where there is none; and where
            it is not after the frame before, one that is (`mended` counts only these).
        """
        last_s = self._last_s
        time_s = None if given_s is None else given_s + self._offset_s
        if last_s is None:
            time_s = Fraction(0) if time_s is None else time_s
        elif time_s is None:
            time_s = last_s + self._step_s
        elif time_s > last_s:
            self._wrong_in_a_row = 0
        else:
            self.mended += 1
            self._wrong_in_a_row += 1
            if last_s - time_s > _WRONG_S or self._wrong_in_a_row > _WRONG_FRAMES:
                self._offset_s += last_s + self._step_s - time_s
                self._wrong_in_a_row = 0
                time_s = last_s + self._step_s
            else:
                # A small step only, so that a single repeated time does not push all later frames back.
                time_s = last_s + self._step_s / 8
        self._last_s = time_s
        return time_s
