"""Measures a live run at its display: delays with detection on and off, frames lost, pixels changed outside the marks.

One source feeds two live pipelines in turns, one with detection and one without, so that both see the same machine in
the same state. The source writes a time code into each frame; the display reads it back from the picture on its screen.
The figures answer 21 CFR 876.1520: video delay, annotation delay, and pixel-level identity of the picture.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from engine.checks import require_above
from engine.errors import InputError, RunError
from engine.waiting import LOOK_S
from stream.frame import Frame
from stream.live.benchmark.measuring_display import DisplayCounts, MeasuringDisplay
from stream.live.benchmark.percentiles import Percentiles
from stream.live.paths.opening import DetectorOpener
from stream.live.paths.pipeline import LivePipeline
from stream.live.sources.capture import Capture
from stream.live.states.view import LiveState, LiveStatus

_GIVE_UP_S = 120.0  # until detection has to run


@dataclass(frozen=True, slots=True)
class LiveBenchmarkSettings:
    """What is measured.

    Attributes:
        resolution_wh: width and height of the frames in pixels.
        rate: frames a second.
        seconds: length of the measurement, half of it with detection.
        warm_up_s: before it. The test pattern is being rendered meanwhile.
        part_s: detection is on for so long, then off for so long, and so on.
        compare_every_s: time between two pictures that are compared with the untouched ones. Their delays do not
            count, as comparing takes time, nor do those of the frames after them.
    """

    resolution_wh: tuple[int, int] = (1920, 1080)
    rate: Fraction = Fraction(25)
    seconds: float = 60.0
    warm_up_s: float = 15.0
    part_s: float = 5.0
    compare_every_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a time that is not positive, or a measurement that is too short for both parts.
        """
        for name in ("warm_up_s", "part_s", "compare_every_s"):
            require_above(name, getattr(self, name), wanted="above 0 s")
        if not 2 * self.part_s <= self.seconds < float("inf"):
            raise InputError(f"at least {2 * self.part_s:g} seconds are needed. Received: {self.seconds:g}")

    @property
    def source(self) -> str:
        """The test pattern that is asked for."""
        width, height = self.resolution_wh
        return f"pattern:{width}x{height}@{self.rate}"


@dataclass(frozen=True, slots=True)
class DisplayReport:
    """What one of the two displays saw.

    Attributes:
        captured: frames that were handed to its pipeline.
        counts: what was seen on it.
        handed: frame available to frame handed to the display.
        shown: frame available to its marked picture being on the screen: the video delay.
        annotated: frame available to its own boxes being on the screen: the annotation delay; None without boxes.
    """

    captured: int
    counts: DisplayCounts
    handed: Percentiles | None
    shown: Percentiles | None
    annotated: Percentiles | None

    def as_json(self) -> dict[str, Any]:
        """For the report's JSON."""
        delays = {"handed_over": self.handed, "video_delay": self.shown, "annotation_delay": self.annotated}
        counts = asdict(self.counts) | {"missing": self.captured - self.counts.frames}
        return {"captured": self.captured, **counts} | {
            name: None if value is None else value.as_json() for name, value in delays.items()
        }


@dataclass(frozen=True, slots=True)
class LiveBenchmarkReport:
    """What was measured.

    Attributes:
        settings: what was asked for.
        detection_on: the display of the pipeline with detection.
        detection_off: the display of the pipeline without.
        status: of the pipeline with detection, at the end.
        runtime: what executed the model.
        seconds: that the measurement took.
        delays_ms: every single delay, for histograms: "on" and "off" (video), "annotation".
    """

    settings: LiveBenchmarkSettings
    detection_on: DisplayReport
    detection_off: DisplayReport
    status: LiveStatus
    runtime: str
    seconds: float
    delays_ms: dict[str, list[float]]

    @property
    def added_ms(self) -> dict[str, float]:
        """Video delay with detection on less that with detection off, by percentile."""
        on, off = self.detection_on.shown, self.detection_off.shown
        if on is None or off is None:
            return {}
        names = ("p50", "p90", "p99", "p999", "max")
        return {name: round(getattr(on, name) - getattr(off, name), 3) for name in names}

    def as_json(self) -> dict[str, Any]:
        """All figures but the single delays."""
        settings = self.settings
        return {
            "resolution_wh": list(settings.resolution_wh),
            "rate": float(settings.rate),
            "seconds": round(self.seconds, 1),
            "runtime": self.runtime,
            "detection_on": self.detection_on.as_json(),
            "detection_off": self.detection_off.as_json(),
            "added_video_delay_ms": self.added_ms,
            "not_looked_at_by_detection": dict(self.status.dropped),
        }


class LiveBenchmark:
    """One measurement: built once, run once."""

    def __init__(self, settings: LiveBenchmarkSettings, opener: DetectorOpener) -> None:
        """Build the two pipelines; nothing runs yet.

        Args:
            settings: what is measured.
            opener: opens the detector of the one with detection.
        """
        self._settings = settings
        self._frames_of_part = max(round(settings.part_s * settings.rate), 1)
        self._parts = 2 * max(round(settings.seconds / settings.part_s / 2), 1)
        self._compare_every = max(round(settings.compare_every_s * settings.rate), 2)
        self._displays = (MeasuringDisplay(self._part_of), MeasuringDisplay(self._part_of))
        self._on = LivePipeline(opener, sinks=[self._displays[0]])
        self._off = LivePipeline(None, sinks=[self._displays[1]])
        self._captured = [0, 0]
        self._warm = threading.Event()
        self._first: int | None = None  # index of the first frame that counts
        self._newest = 0
        self._over = threading.Event()

    def run(self, *, on_look: Callable[[float], object] | None = None) -> LiveBenchmarkReport:
        """Measure.

        Args:
            on_look: told the share that is done, 0 to 1, several times a second.

        Raises:
            RunError: detection does not start, or the source fails.
        """
        capture = Capture(self._settings.source, on_frame=self._take, on_state=self._change_state)
        with ExitStack() as running:
            for pipeline in (self._off, self._on):
                running.callback(pipeline.close)
                pipeline.start()
            running.callback(capture.stop)
            capture.start()
            self._warm_up()
            started_s = time.monotonic()
            self._warm.set()
            while not self._over.wait(LOOK_S):
                if on_look is not None:
                    on_look(self._done)
            seconds = time.monotonic() - started_s
            status, runtime = self._on.status, self._on.detection.runtime if self._on.detection else ""
        on, off = self._displays
        failure = capture.failure or on.failure or off.failure
        if failure is not None or self._done < 1:
            raise RunError(f"the measurement broke off: {failure or status.reason}") from failure
        return LiveBenchmarkReport(
            settings=self._settings,
            detection_on=_report(self._captured[0], on),
            detection_off=_report(self._captured[1], off),
            status=status,
            runtime=runtime,
            seconds=seconds,
            delays_ms={"on": list(on.shown_ms), "off": list(off.shown_ms), "annotation": list(on.annotated_ms)},
        )

    def _warm_up(self) -> None:
        began_s = time.monotonic()
        while not self._over.wait(LOOK_S):
            passed_s, status = time.monotonic() - began_s, self._on.status
            if passed_s >= self._settings.warm_up_s and self._on.annotation_delay.count:
                return
            if passed_s > self._settings.warm_up_s + _GIVE_UP_S:
                raise RunError(f"detection does not start: {status.detection_reason}")

    @property
    def _done(self) -> float:
        passed = 0 if self._first is None else self._newest - self._first
        return min(passed / (self._parts * self._frames_of_part), 1.0)

    def _part_of(self, index: int) -> int | None:
        """The part of the measurement that a frame belongs to: even ones with detection, odd ones without."""
        if self._first is None or index < self._first:
            return None
        part = (index - self._first) // self._frames_of_part
        return part if part < self._parts else None

    def _take(self, frame: Frame) -> None:
        """Hand a frame to the pipeline whose turn it is; called in the capture's thread."""
        index = self._newest = frame.index
        if self._first is None and self._warm.is_set():
            self._first = index
        part = self._part_of(index)
        side = (index // self._frames_of_part if part is None else part) % 2
        if self._first is not None and part is not None:
            self._captured[side] += 1
            if (index - self._first) % self._compare_every == self._compare_every - 1:
                self._displays[side].keep_untouched(index, frame.image)
        (self._on, self._off)[side].take(frame)
        # A few frames more, until the last one that counts has been drawn.
        if self._done == 1.0 and index >= (self._first or 0) + (self._parts + 0.25) * self._frames_of_part:
            self._over.set()

    def _change_state(self, state: LiveState, reason: str) -> None:
        for pipeline in (self._on, self._off):
            pipeline.change_state(state, reason)
        if state is LiveState.ENDED:
            self._over.set()


def _report(captured: int, display: MeasuringDisplay) -> DisplayReport:
    return DisplayReport(
        captured,
        display.counts,
        Percentiles.of(display.handed_ms),
        Percentiles.of(display.shown_ms),
        Percentiles.of(display.annotated_ms),
    )
