"""The detection path of a live run: always the newest frame, and a watch that starts it again whatever happens to it.

Detection runs in a thread of its own, a worker, which nobody waits for. A worker that fails again and again ends; one
that is stuck inside a library, where no Python code can end it, is left behind: it can no longer report anything, and
closes its detector should it ever wake. Either way a new worker with a new detector is started after a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.checks import require_above
from engine.errors import cause_of
from stream.detection.detector import Detector
from stream.frame import Frame
from stream.live.paths.analysis import Analysis, AnalysisSettings
from stream.live.paths.opening import DetectorOpener
from stream.live.states.newest import Newest
from stream.live.states.result import LiveResult

logger = logging.getLogger(__name__)

_TICK_S = 0.05  # between two looks of the watch
_MOST_HANGING = 3  # workers left behind that still hang: with so many, no further one is started
_FAILURES_OF_RUNTIME = 2  # workers that ended in a row before another runtime is tried


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """How patient the watch over detection is; all times in seconds.

    Attributes:
        analysis: how frames are judged.
        slow_s: detection that takes longer for a frame is of no use, as boxes of such an age are not shown.
        stuck_s: a worker that takes longer for a frame is left behind.
        opening_s: a worker that takes longer to open its detector is left behind. An engine may have to be built first.
        tolerated: failures in a row that end a worker; after a single one it goes on with the next frame.
        first_delay_s: before a new worker is started; doubled with each that failed in a row.
        longest_delay_s: between two workers. One that worked for longer starts again with the first delay.
    """

    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    slow_s: float = 0.2
    stuck_s: float = 5.0
    opening_s: float = 600.0
    tolerated: int = 3
    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a time that is not positive, or a count under 1.
        """
        for name in ("slow_s", "stuck_s", "opening_s", "tolerated", "first_delay_s", "longest_delay_s"):
            require_above(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class DetectionHealth:
    """Whether detection works.

    Attributes:
        on: boxes of the newest frames can be expected.
        reason: why not, for people; "" when it works.
    """

    on: bool
    reason: str = ""


class _Worker(threading.Thread):
    """One detector and the thread that feeds it."""

    def __init__(self, path: DetectionPath, *, avoid: frozenset[str], first_id: int, began: int) -> None:
        super().__init__(name="detection", daemon=True)
        self.left_behind = False
        self.failure: str | None = None  # why it ended
        self.trouble = ""  # of the newest frame
        self.runtime = ""
        self.ready = False
        self.busy_since_s: float | None = time.monotonic()  # with opening, then with a frame
        self.took_s = 0.0
        self.working_s = 0.0  # from its first result to its last
        self.next_id = first_id
        self._path, self._avoid, self._began = path, avoid, began
        self._analysis: Analysis | None = None
        self._failures = 0
        self._first_result_s: float | None = None

    def run(self) -> None:
        """Open a detector and look at frames until the path is closed, it is left behind, or it fails too often."""
        try:
            with self._path.opener.open(self._avoid) as detector:
                self.runtime = detector.runtime.description.name
                logger.info("detection runs on %s", self.runtime)
                self.busy_since_s, self.ready = None, True
                while not self.left_behind and self._failures < self._path.settings.tolerated:
                    if not self._path.frames.wait():
                        return
                    self._look(detector)
            self.failure = self.trouble
        except Exception as error:
            self.failure = cause_of(error)
        finally:
            self.busy_since_s = None

    def _look(self, detector: Detector) -> None:
        """Look at the newest frame as soon as the detector is free for it."""
        started_s = self.busy_since_s = time.monotonic()
        frame: Frame | None = None
        try:
            with self._path.opener.turn(detector):
                taken = self._path.frames.take(0.0)  # not before: newer ones may have come meanwhile
                if taken is not None:
                    frame = taken.item
                    self._look_at(frame, detector)
        except Exception as error:
            self._failures += 1
            self.trouble = cause_of(error)
            if frame is None:
                logger.warning("detection failed: %s", self.trouble)
                return
            self._path.count("failed")
            logger.warning("detection failed at frame %d: %s", frame.index, self.trouble)
        finally:
            self.took_s = time.monotonic() - started_s
            self.busy_since_s = None

    def _look_at(self, frame: Frame, detector: Detector) -> None:
        began = self._path.began
        if frame.index < began:
            self._path.count("reconnect")
            return
        if self._analysis is None or began != self._began:
            self._began = began
            self._analysis = Analysis(
                self._path.settings.analysis,
                rule=self._path.opener.rule,
                first_id=self.next_id,
            )
        result = self._analysis.look_at(frame, detector)
        self.next_id = self._analysis.next_id
        self._failures, self.trouble = 0, ""
        self._first_result_s = self._first_result_s or result.ready_s
        self.working_s = result.ready_s - self._first_result_s
        self._path.publish(self, result)


class DetectionPath:
    """Detection of a live run: takes the newest frames, tells what was found, and mends itself."""

    def __init__(
        self,
        opener: DetectorOpener,
        *,
        on_result: Callable[[LiveResult], None],
        settings: DetectionSettings | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            opener: opens the detector, and opens it again after a fault, in the worker's thread.
            on_result: told each result in the worker's thread; must return at once and not raise.
            settings: how patient it is.
        """
        self.opener = opener
        self.settings = settings or DetectionSettings()
        self.frames = Newest[Frame]()
        self.began = 0
        self._on_result = on_result
        self._lock = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._worker: _Worker | None = None
        self._hanging: list[_Worker] = []
        self._reason = "starting"
        self._restart_s = 0.0
        self._failures = 0
        self._avoid: frozenset[str] = frozenset()
        self._next_id = 1
        self._closing = threading.Event()
        self._watch_thread = threading.Thread(target=self._watch, name="detection-watch", daemon=True)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Frames that detection did not look at, by cause."""
        with self._lock:
            return {"busy": self.frames.overwritten, **self._dropped}

    @property
    def runtime(self) -> str:
        """Name of the runtime that detects; "" while there is none."""
        worker = self._worker
        return worker.runtime if worker is not None else ""

    @property
    def health(self) -> DetectionHealth:
        """Whether detection works just now."""
        worker = self._worker
        if worker is None:
            return DetectionHealth(False, self._reason)
        busy_since_s = worker.busy_since_s
        if not worker.ready or worker.failure is not None:
            return DetectionHealth(False, worker.failure or self._reason)
        if worker.trouble:
            return DetectionHealth(False, worker.trouble)
        took_s = max(worker.took_s, time.monotonic() - busy_since_s if busy_since_s is not None else 0.0)
        if took_s > self.settings.slow_s:
            return DetectionHealth(False, f"too slow, {took_s:.1f} s for a frame")
        return DetectionHealth(True)

    def start(self) -> None:
        """Start detection; returns at once."""
        self._start_worker()
        self._watch_thread.start()

    def offer(self, frame: Frame) -> None:
        """Hand over the newest frame; returns at once."""
        worker = self._worker
        if worker is None or not worker.ready:
            self.count("detection off")
        else:
            self.frames.put(frame)

    def begin_at(self, index: int) -> None:
        """Forget all that is known: frames from this index on have nothing to do with those before."""
        self.began = index

    def count(self, cause: str) -> None:
        """Count a frame that was not looked at to the end."""
        with self._lock:
            self._dropped[cause] += 1

    def publish(self, worker: _Worker, result: LiveResult) -> None:
        """Tell a result, unless its worker was left behind or the frame is of another time."""
        if result.flaw is not None:
            self.count(result.flaw.value)
        if worker is not self._worker or worker.left_behind:
            self.count("stuck")
        elif result.frame.index < self.began:
            self.count("reconnect")
        else:
            self._on_result(result)

    def close(self, *, wait_s: float = 2.0) -> None:
        """End detection; more than one call does no harm.

        Args:
            wait_s: longest wait for the frame in work. A worker that takes longer is left behind.
        """
        self._closing.set()
        self.frames.close()
        deadline_s = time.monotonic() + wait_s
        for thread in (self._watch_thread, self._worker):
            if thread is not None and thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(deadline_s - time.monotonic(), 0.0))
        worker = self._worker
        if worker is not None:
            worker.left_behind = True

    def _start_worker(self) -> None:
        worker = _Worker(self, avoid=self._avoid, first_id=self._next_id, began=self.began)
        self._worker = worker
        worker.start()

    def _watch(self) -> None:
        while not self._closing.wait(_TICK_S):
            try:
                self._look_after()
            except Exception as error:  # memory may be short for a moment, or threads; the watch goes on
                logger.warning("the watch over detection failed: %s", cause_of(error))

    def _look_after(self) -> None:
        worker, now_s = self._worker, time.monotonic()
        if worker is None:
            self._hanging = [old for old in self._hanging if old.is_alive()]
            if now_s >= self._restart_s and len(self._hanging) < _MOST_HANGING:
                self._start_worker()
            return
        if not worker.is_alive():
            self._give_up(worker, worker.failure or "it ended")
            return
        busy_since_s = worker.busy_since_s
        limit_s = self.settings.stuck_s if worker.ready else self.settings.opening_s
        if busy_since_s is not None and now_s - busy_since_s > limit_s:
            worker.left_behind = True
            self._hanging.append(worker)
            self._give_up(worker, f"stuck, no result for {limit_s:.1f} s")

    def _give_up(self, worker: _Worker, reason: str) -> None:
        settings = self.settings
        self._failures = 1 if worker.working_s > settings.longest_delay_s else self._failures + 1
        if worker.runtime and self._failures % _FAILURES_OF_RUNTIME == 0:
            self._avoid |= {worker.runtime}
        delay_s = min(settings.first_delay_s * 2.0 ** min(self._failures - 1, 30), settings.longest_delay_s)
        self._restart_s = time.monotonic() + delay_s
        self._next_id = worker.next_id
        self._reason = reason
        self._worker = None
        logger.warning("detection off: %s; starts again in %.1f s", reason, delay_s)
