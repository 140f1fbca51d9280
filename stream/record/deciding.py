"""What was perceived in the frames of a recording, decided over time: for a run over its video, and for one anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stream.decision.decision import Decided, Decision
from stream.decision.rule import AHEAD_S, DecisionRule
from stream.frame import FrameResult

#: Bytes of frames that may wait for those that follow them: of large frames at high rates fewer are looked at ahead.
_WAITING_BYTES = 256 * 2**20


class RecordingDecision:
    """Decides about the frames of one recording, in order, from one thread."""

    def __init__(self, rule: DecisionRule, *, over_time: bool, resolution_wh: tuple[int, int]) -> None:
        """Start without tracks.

        Args:
            rule: by which it decides.
            over_time: whether frames follow each other in time, and may be looked at ahead; pictures need not.
            resolution_wh: of the frames that wait, in pixels.
        """
        width, height = resolution_wh
        self._decision = Decision[FrameResult](
            rule,
            ahead_s=AHEAD_S if over_time else 0.0,
            most_waiting=max(_WAITING_BYTES // (3 * width * height), 1),
        )

    def update(self, result: FrameResult) -> list[FrameResult]:
        """Take in what was perceived in the next frame; returns the frames that can be decided now, in order."""
        frame = result.frame
        return _results(
            self._decision.update(
                result, result.candidates, frame.time_s, useful=result.useful, resolution_wh=frame.resolution_wh
            )
        )

    def finish(self) -> list[FrameResult]:
        """Decide about all frames that wait: nothing follows them."""
        return _results(self._decision.finish())


def _results(decided: Sequence[Decided[FrameResult]]) -> list[FrameResult]:
    return [replace(one.item, detections=one.shown) for one in decided]
