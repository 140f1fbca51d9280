"""What detection does with one frame of a live run: field of view, usefulness, candidates, decision."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from stream.decision.decision import Decision
from stream.decision.rule import DecisionRule
from stream.detection.detector import Detector
from stream.frame import Detection, Frame
from stream.live.states.result import LiveResult
from stream.view.endoscope import open_finder
from stream.view.frame_quality import QualitySettings, find_flaw


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """How frames are judged.

    Attributes:
        quality: which frames are useful.
        endoscope: name of the preset that tells the field of view; None to find it.
    """

    quality: QualitySettings = field(default_factory=QualitySettings)
    endoscope: str | None = None


class Analysis:
    """The memory of detection over the frames of one source, from one opening to the next; fed from one thread.

    Time is that of capture, of the monotonic clock: what a source says of its own times may jump.
    """

    def __init__(self, settings: AnalysisSettings, *, rule: DecisionRule, first_id: int = 1) -> None:
        """Start without memory.

        Args:
            settings: how frames are judged.
            rule: by which it is decided what is shown.
            first_id: number of the first track.

        Raises:
            InputError: there is no such endoscope.
        """
        self._settings = settings
        self._rule = rule
        self._fields = open_finder(settings.endoscope)
        self._decision = Decision[None](rule, first_id=first_id)

    @property
    def next_id(self) -> int:
        """Number that the next new track will get."""
        return self._decision.next_id

    def look_at(self, frame: Frame, detector: Detector) -> LiveResult:
        """Find what there is in the next frame.

        Raises:
            Exception: whatever the detector's runtime raises.
        """
        view = self._fields.update(frame.picture, frame.captured_s)
        flaw = find_flaw(frame.picture, view, self._settings.quality)
        candidates: tuple[Detection, ...] = ()
        if flaw is None:
            candidates = detector.detect([frame.picture], [view], floor=self._rule.floor)[0]
        (decided,) = self._decision.update(
            None, candidates, frame.captured_s, useful=flaw is None, resolution_wh=frame.resolution_wh
        )
        return LiveResult(frame, view, candidates, decided.shown, decided.begun, flaw, time.monotonic())
