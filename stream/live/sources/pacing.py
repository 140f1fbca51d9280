"""Waiting for the moments at which frames are due, by the monotonic clock."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Lets frames go at the pace of their presentation times.

    Each moment is counted from the first frame, so waiting never drifts. A frame that is late goes at once.
    """

    def __init__(self, interrupted: threading.Event) -> None:
        """The clock starts with the first frame.

        Args:
            interrupted: ends all waiting once it is set.
        """
        self._interrupted = interrupted
        self._zero_s: float | None = None

    def wait_for(self, time_s: float) -> bool:
        """Wait until a frame is due.

        Args:
            time_s: its presentation time in seconds, by any clock that is the same for all frames.

        Returns:
            Whether to go on: False once interrupted.
        """
        if self._zero_s is None:
            self._zero_s = time.monotonic() - time_s
        return not self._interrupted.wait(max(0.0, self._zero_s + time_s - time.monotonic()))
