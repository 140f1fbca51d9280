"""What detection says of one frame of a live run, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stream.frame import Detection, FieldOfView, Frame
from stream.view.frame_quality import Flaw


@dataclass(frozen=True, slots=True)
class LiveResult:
    """What detection says of one frame.

    Attributes:
        frame: the frame.
        field_of_view: of that frame.
        candidates: what was perceived; empty for a frame that was not looked at for polyps.
        detections: what was decided to be shown, best first.
        begun: tracks that are shown from this frame on.
        flaw: why the frame was not looked at for polyps, None when it was.
        ready_s: monotonic time at which all this was known.
    """

    frame: Frame
    field_of_view: FieldOfView
    candidates: tuple[Detection, ...]
    detections: tuple[Detection, ...]
    begun: tuple[int, ...]
    flaw: Flaw | None
    ready_s: float


class DetectionListener(Protocol):
    """Takes the result of each frame that detection looked at."""

    def detected(self, result: LiveResult) -> None:
        """Takes a result at once and returns; called from detection's thread. Must not raise."""

    def close(self) -> None:
        """Ends the listener; more than one call does no harm."""
