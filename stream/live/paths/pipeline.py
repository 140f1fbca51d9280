"""A live run: the picture goes on at once with the newest boxes, whatever becomes of detection and of the sinks.

    capture ──> display path: newest boxes, status ──> every sink
       └──────> slot ──> detection path ──> newest boxes

The display path runs in the thread that captures frames and waits for nobody. Detection takes the newest frame from a
slot, and what it finds stands ready for the next frame; sinks that can are given it at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from engine.checks import require_above
from stream.frame import Detection, Frame
from stream.live.paths.detection import DetectionHealth, DetectionPath, DetectionSettings
from stream.live.paths.lesions import LiveLesions
from stream.live.paths.opening import DetectorOpener
from stream.live.states.delays import DelayLog
from stream.live.states.result import DetectionListener, LiveResult
from stream.live.states.view import (
    CountingSink,
    Delays,
    LiveSink,
    LiveState,
    LiveStatus,
    LiveView,
    RecordingSink,
    RefreshedSink,
)
from stream.view.second_pictures import SecondPictures

logger = logging.getLogger(__name__)

_TICK_S = 0.05
_IDLE_S = 1.0
_RATE_S = 1.0  # span of the frame rate
_NOT_ASKED_FOR = DetectionHealth(False, "not asked for")


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How a live run shows what it finds.

    Attributes:
        longest_age_s: a box is shown on frames up to so many seconds younger than the one it was found on.
        detection: how patient the watch over detection is. Detection counts as off where it takes longer than
            `longest_age_s` for a frame.
    """

    longest_age_s: float = 0.2
    detection: DetectionSettings = field(default_factory=DetectionSettings)

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            InputError: an age that is not positive.
        """
        require_above("longest_age_s", self.longest_age_s)


class LivePipeline:
    """Joins a source of frames, detection and sinks. It closes the sinks, listeners and lesions it was given.

    Example:
        >>> from stream.live.paths.opening import DetectorChoice
        >>> from stream.live.sources.capture import Capture
        >>> pipeline = LivePipeline(DetectorChoice.of("polyp"), sinks=[])
        >>> capture = Capture("exam.mp4", on_frame=pipeline.take, on_state=pipeline.change_state)
        >>> pipeline.start()
        >>> capture.start()
        >>> pipeline.ended.wait(60)
        True
        >>> capture.stop()
        >>> pipeline.close()
    """

    def __init__(
        self,
        opener: DetectorOpener | None,
        *,
        sinks: Sequence[LiveSink],
        listeners: Sequence[DetectionListener] = (),
        recorder: RecordingSink | None = None,
        lesions: LiveLesions | None = None,
        settings: LiveSettings | None = None,
    ) -> None:
        """Join the parts; nothing runs yet.

        Args:
            opener: opens the detector; None for a run without detection.
            sinks: are shown every frame.
            listeners: are told what was found in each frame that detection looked at.
            recorder: one more sink, whose state stands in the status.
            lesions: says what kind each polyp is; None for a run without.
            settings: how it shows what it finds.
        """
        self._settings = settings or LiveSettings()
        self._sinks = [*sinks, recorder] if recorder is not None else list(sinks)
        # Looked up once: what a protocol asks for takes long to find.
        self._refreshed_sinks = [sink for sink in self._sinks if isinstance(sink, RefreshedSink)]
        self._counting_sinks = [sink for sink in self._sinks if isinstance(sink, CountingSink)]
        self._listeners = list(listeners)
        self._recorder, self._lesions = recorder, lesions
        self._detection: DetectionPath | None = None
        if opener is not None:
            detection = replace(self._settings.detection, slow_s=self._settings.longest_age_s)
            self._detection = DetectionPath(opener, on_result=self._take_result, settings=detection)
        self.ended = threading.Event()
        self.video_delay = DelayLog()
        self.annotation_delay = DelayLog()
        self._state, self._reason = LiveState.CONNECTING, ""
        self._began = 0  # index of the first frame after the newest opening of the source
        self._captured = self._shown = self._damaged = self._left_out = 0
        self._recent: deque[float] = deque()
        self._latest: LiveView | None = None
        self._refreshed: LiveView | None = None  # what took its place, when it is of the same frame
        self._result: LiveResult | None = None
        self.second_pictures = SecondPictures()
        self._told_s = time.monotonic()  # when the sinks heard last
        self._broken: Counter[int] = Counter()
        self._closing = threading.Event()
        self._watch_thread = threading.Thread(target=self._watch, name="live-watch", daemon=True)

    @property
    def detection(self) -> DetectionPath | None:
        """The detection path; None in a run without."""
        return self._detection

    @property
    def status(self) -> LiveStatus:
        """How the run fares just now."""
        return self._status(time.monotonic())

    def start(self) -> None:
        """Start detection; frames may come from now on."""
        if self._detection is not None:
            self._detection.start()
        self._watch_thread.start()

    def take(self, frame: Frame) -> None:
        """Show a frame, and hand it to detection; returns at once. Called from one thread at a time, in order."""
        self._captured += 1
        view = self._view(frame)
        self._latest = view
        self._tell(lambda sink: sink.show(view))
        now_s = time.monotonic()
        self._told_s = now_s
        self.video_delay.note(now_s - frame.captured_s)
        self._shown += 1
        if self._detection is not None:
            self._detection.offer(frame)

    def note_damage(self, pieces: int) -> None:
        """Take in that so many pieces of the source came damaged."""
        self._damaged += pieces

    def note_left_out(self, frames: int) -> None:
        """Take in that the source left out so many frames, which came faster than they could be decoded."""
        self._left_out += frames

    def change_state(self, state: LiveState, reason: str) -> None:
        """Take in the state of the source, before the first frame that belongs to it."""
        if state in (LiveState.CONNECTING, LiveState.RECONNECTING):
            self._began = 0 if self._latest is None else self._latest.frame.index + 1
            self._result = None
            if self._detection is not None:
                self._detection.begin_at(self._began)
        self._state, self._reason = state, reason
        if state is not LiveState.RUNNING:
            self._take_boxes_away()
        self._tell_status()
        if state is LiveState.ENDED:
            self.ended.set()

    def close(self) -> None:
        """End detection, then the sinks and listeners; more than one call does no harm."""
        self._closing.set()
        if self._detection is not None:
            self._detection.close()
        if self._lesions is not None:
            self._lesions.close()
        if self._watch_thread.ident is not None:
            self._watch_thread.join(_IDLE_S)
        parts: list[LiveSink | DetectionListener] = [*self._sinks, *self._listeners]
        for part in parts:
            self._guarded(part, part.close)

    def _take_result(self, result: LiveResult) -> None:
        """Called in detection's thread."""
        lesions = self._lesions
        if lesions is not None:
            result = lesions.marked(result)
        self._result = result
        self.second_pictures.note(result.field_of_view)
        shown = self._on_display()
        if shown is not None and (result.detections or shown.detections):
            self._refresh(self._with_boxes(shown, result))
        self.annotation_delay.note(time.monotonic() - result.frame.captured_s)
        for listener in self._listeners:
            self._guarded(listener, lambda listener=listener: listener.detected(result))  # type: ignore[misc]
        if lesions is not None:  # boxes first
            lesions.offer(result)

    def _view(self, frame: Frame) -> LiveView:
        self._recent.append(frame.captured_s)
        while frame.captured_s - self._recent[0] > _RATE_S:
            self._recent.popleft()
        view = LiveView(frame, None, (), None, self._status(frame.captured_s))
        result = self._result
        return view if result is None else self._with_boxes(view, result)

    def _with_boxes(self, view: LiveView, result: LiveResult) -> LiveView:
        """The view with what is known of its frame by a result, if that belongs to it."""
        frame, source = view.frame, result.frame
        if source.index < self._began or source.resolution_wh != frame.resolution_wh:
            return replace(view, field_of_view=None, detections=(), detected_on=None)
        age_s = frame.captured_s - source.captured_s
        detections: tuple[Detection, ...] = ()
        if 0 <= age_s <= self._settings.longest_age_s and view.status.detection_on:
            detections = result.detections
        return replace(
            view,
            field_of_view=result.field_of_view,
            detections=detections,
            detected_on=source.index if detections else None,
        )

    def _status(self, now_s: float) -> LiveStatus:
        detection, recorder = self._detection, self._recorder
        health = _NOT_ASKED_FOR if detection is None else detection.health
        dropped = {} if detection is None else dict(detection.dropped)
        dropped["source"] = self._left_out
        for sink in self._counting_sinks:
            dropped.update(sink.dropped)
        video_ms = self.video_delay.newest_ms
        return LiveStatus(
            state=self._state,
            reason=self._reason,
            detection_on=health.on,
            detection_reason=health.reason or self._pause(now_s),
            captured=self._captured,
            shown=self._shown,
            looked_at=self.annotation_delay.count,
            damaged=self._damaged,
            dropped={cause: count for cause, count in dropped.items() if count},
            frames_per_second=self._rate(now_s),
            delays=None
            if video_ms is None
            else Delays(video_ms, self.annotation_delay.newest_ms if health.on else None),
            recording=recorder is not None and recorder.recording,
            recording_reason="" if recorder is None else recorder.reason,
            classification_reason="" if self._lesions is None else self._lesions.reason,
        )

    def _pause(self, now_s: float) -> str:
        """Why the newest frames are passed over, or ""."""
        result = self._result
        if result is None or result.flaw is None or now_s - result.frame.captured_s > self._settings.longest_age_s:
            return ""
        return f"pause: {result.flaw.value}"

    def _rate(self, now_s: float) -> float:
        """Frames over the newest second, from the first of them to the last."""
        recent = self._recent.copy()
        if len(recent) < 2 or now_s - recent[-1] > _RATE_S:
            return 0.0
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)

    def _watch(self) -> None:
        while not self._closing.wait(_TICK_S):
            try:
                self._look_after()
            except Exception:  # memory may be short for a moment; the watch goes on
                logger.exception("the watch over the displays failed")

    def _look_after(self) -> None:
        """Take away boxes that have grown old on a picture that stands still, and tell the sinks that it does."""
        now_s = time.monotonic()
        result = self._result
        if result is not None and now_s - result.frame.captured_s > self._settings.longest_age_s:
            self._take_boxes_away()
        if now_s - self._told_s > _IDLE_S:
            self._tell_status()

    def _take_boxes_away(self) -> None:
        """Show the newest frame without boxes, where it stands with some."""
        shown = self._on_display()
        if shown is not None and shown.detections:
            self._refresh(replace(shown, detections=(), detected_on=None, status=self.status))

    def _on_display(self) -> LiveView | None:
        """The newest frame as the displays have it."""
        latest, refreshed = self._latest, self._refreshed
        return refreshed if refreshed is not None and latest is not None and refreshed.frame is latest.frame else latest

    def _refresh(self, view: LiveView) -> None:
        self._refreshed = view
        for sink in self._refreshed_sinks:
            self._guarded(sink, lambda sink=sink: sink.refresh(view))  # type: ignore[misc]

    def _tell_status(self) -> None:
        self._told_s = time.monotonic()
        status = self.status
        self._tell(lambda sink: sink.idle(status))

    def _tell(self, what: Callable[[LiveSink], None]) -> None:
        for sink in self._sinks:
            self._guarded(sink, lambda sink=sink: what(sink))  # type: ignore[misc]

    def _guarded(self, part: LiveSink | DetectionListener, call: Callable[[], None]) -> None:
        """Call a part; should it fail, that is its own affair, and the picture goes on everywhere else."""
        try:
            call()
        except Exception:
            self._broken[id(part)] += 1
            if self._broken[id(part)] == 1:
                logger.exception("%s failed; further failures of it are not logged", type(part).__name__)
