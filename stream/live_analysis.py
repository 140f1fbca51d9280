"""What detection does with one frame of a live run: field of view, usefulness, detections, tracks, alarms."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from stream.alarms import Alarms, AlarmSettings, AlarmUpdate, alarms_of_model
from stream.detector import Detector
from stream.endoscope import open_finder
from stream.frame import Detection, FieldOfView, Frame
from stream.frame_quality import Flaw, QualitySettings, find_flaw
from stream.tracking import CONTINUE_SHARE, Tracker, TrackerSettings


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """How frames are judged.

    Attributes:
        alarms: when a polyp is shown; None for the rule of the model.
        quality: which frames are useful.
        endoscope: name of the preset that tells the field of view; None to find it.
    """

    alarms: AlarmSettings | None = None
    quality: QualitySettings = field(default_factory=QualitySettings)
    endoscope: str | None = None


@dataclass(frozen=True, slots=True)
class LiveResult:
    """What detection says of one frame.

    Attributes:
        frame: the frame.
        field_of_view: of that frame.
        detections: all that count, also those without alarm; for events.
        alarmed: those to be shown, best first.
        raised: tracks whose alarm began with this frame.
        flaw: why the frame was not looked at for polyps, None when it was.
        ready_s: monotonic time at which all this was known.
    """

    frame: Frame
    field_of_view: FieldOfView
    detections: tuple[Detection, ...]
    alarmed: tuple[Detection, ...]
    raised: tuple[int, ...]
    flaw: Flaw | None
    ready_s: float


class DetectionListener(Protocol):
    """Takes the result of each frame that detection looked at."""

    def detected(self, result: LiveResult) -> None:
        """Takes a result at once and returns; called from detection's thread. Must not raise."""

    def close(self) -> None:
        """Ends the listener; more than one call does no harm."""


class Analysis:
    """The memory of detection over the frames of one source, from one opening to the next; fed from one thread.

    Time is that of capture, of the monotonic clock: what a source says of its own times may jump.
    """

    def __init__(
        self, settings: AnalysisSettings, *, threshold: float, found_threshold: float, first_id: int = 1
    ) -> None:
        """Start without memory.

        Args:
            settings: how frames are judged.
            threshold: score from which a detection is reported, 0 to 1.
            found_threshold: score from which a detection founds a track, 0 to 1.
            first_id: number of the first track.

        Raises:
            InputError: there is no such endoscope.
        """
        self._settings = settings
        self._threshold = threshold
        self._fields = open_finder(settings.endoscope)
        tracking = TrackerSettings(found_threshold=found_threshold, continue_threshold=CONTINUE_SHARE * found_threshold)
        self._tracker = Tracker(tracking, first_id=first_id)
        self._alarms: Alarms | None = None

    @property
    def next_id(self) -> int:
        """Number that the next new track will get."""
        return self._tracker.next_id

    def look_at(self, frame: Frame, detector: Detector) -> LiveResult:
        """Find what there is in the next frame.

        Raises:
            Exception: whatever the detector's runtime raises.
        """
        if self._alarms is None:
            self._alarms = Alarms(self._settings.alarms or alarms_of_model(detector.bundle.record))
        view = self._fields.update(frame.image, frame.captured_s)
        flaw = find_flaw(frame.image, view, self._settings.quality)
        detections: tuple[Detection, ...] = ()
        update = AlarmUpdate()
        if flaw is None:
            found = detector.detect([frame.image], [view])[0]
            tracked = self._tracker.update(found, frame.captured_s)
            update = self._alarms.update(tracked)
            detections = tuple(one for one in tracked if one.track_id is not None or one.score >= self._threshold)
        return LiveResult(frame, view, detections, update.shown, update.raised, flaw, time.monotonic())
