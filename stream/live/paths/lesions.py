"""What kind each polyp of a live run is: a look at one lesion a frame at most, beside detection, which never waits.

A thread of its own cuts, classifies, and opens the model before that; it looks at the newest result that it has time
for. Detection only adds what is known of each track. When the classifier fails or hangs, boxes and picture go on, the
polyps that it did not get to are "not assessed", and the log and the status say why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.bundle import ModelBundle
from engine.checks import require_above
from engine.errors import cause_of
from engine.runtime import AUTO, RuntimeSettings
from engine.runtimes.opening import open_runtime
from stream.frame import Detection
from stream.lesion.assessor import LesionAssessor
from stream.lesion.classifier import Classifier, lesion_bundle
from stream.live.states.result import LiveResult
from stream.live.states.side_worker import SideWorker

logger = logging.getLogger(__name__)

#: Name of the thread.
THREAD = "classification"


@dataclass(frozen=True, slots=True)
class LesionChoice:
    """A classifier of lesions and its runtime.

    Attributes:
        bundle: the model.
        runtime: name of a runtime, or "auto": then another takes the place of one that failed.
    """

    bundle: ModelBundle
    runtime: str = AUTO

    @classmethod
    def of(cls, model: str = "lesion", *, runtime: str = AUTO) -> LesionChoice:
        """Checks a choice without opening the runtime.

        Raises:
            InputError: no such model, or none of lesions.
        """
        return cls(lesion_bundle(model), runtime)

    def open(self) -> Classifier:
        """Opens it with one processor thread: a lesion now and then must not take the detector's.

        Raises:
            PolypstreamError: it cannot be opened.
        """
        return Classifier(self.bundle, open_runtime(self.bundle, self.runtime, RuntimeSettings(threads=1)))


@dataclass(frozen=True, slots=True)
class LesionPatience:
    """After what time a classifier counts as stuck, seconds.

    Attributes:
        stuck_s: for one lesion.
        opening_s: while it is opened. An engine may have to be built first.
    """

    stuck_s: float = 5.0
    opening_s: float = 600.0

    def __post_init__(self) -> None:
        for name in ("stuck_s", "opening_s"):
            require_above(f"`{name}`", getattr(self, name))


class LiveLesions:
    """Adds classes to the detections of a live run.

    Example:
        >>> lesions = LiveLesions(LesionChoice.of("lesion").open)  # to be given to a `LivePipeline`
        >>> lesions.reason
        ''
        >>> lesions.close()
    """

    def __init__(self, open_classifier: Callable[[], Classifier], patience: LesionPatience | None = None) -> None:
        """Starts the thread; the classifier is opened with the first result, when the detector is open.

        Args:
            open_classifier: called once, in the thread; what it opens is closed there too.
            patience: after what time it counts as stuck.
        """
        self._open, self._patience = open_classifier, patience or LesionPatience()
        self._classifier: Classifier | None = None
        self._assessor: LesionAssessor | None = None
        self._busy_since_s: float | None = None
        self._failure = self._said = ""
        # One waits, so that the thread has the next lesion at once; more would only be older.
        self._worker = SideWorker[LiveResult](THREAD, self._look, capacity=1, on_failure=self._fail, on_end=self._end)

    @property
    def reason(self) -> str:
        """Why polyps are not classified just now, for people; "" when all is well."""
        if self._failure:
            return self._failure
        since_s = self._busy_since_s
        limit_s = self._patience.opening_s if self._assessor is None else self._patience.stuck_s
        if since_s is not None and time.monotonic() - since_s > limit_s:
            return f"stuck, no answer for {limit_s:.1f} s"
        return ""

    def marked(self, result: LiveResult) -> LiveResult:
        """The result with what is known of its tracks; empty classes where that is not enough."""
        return replace(result, detections=self._marked(result.detections))

    def offer(self, result: LiveResult) -> None:
        """Has a lesion of the frame looked at, if there is time for it; returns at once. Results come in order."""
        tracked = result.flaw is None and any(seen.track_id is not None for seen in result.detections)
        if tracked or self._assessor is None:
            self._worker.offer(result)
        stuck = self.reason
        if stuck and not self._said:
            self._say(stuck)

    def close(self, *, wait_s: float = 2.0) -> None:
        """Ends the thread; more than one call does no harm.

        Args:
            wait_s: longest wait for the lesion in work. A thread that takes longer is left to itself.
        """
        self._worker.close(wait_s=wait_s)

    def _marked(self, detections: Sequence[Detection]) -> tuple[Detection, ...]:
        assessor = self._assessor
        if assessor is not None:
            return assessor.marked(detections)
        return tuple(replace(seen, classes=() if seen.track_id is not None else None) for seen in detections)

    def _look(self, result: LiveResult) -> None:
        """Called in the thread."""
        self._busy_since_s = time.monotonic()
        try:
            if self._classifier is None or self._assessor is None:
                self._classifier = self._open()
                self._assessor = LesionAssessor(self._classifier)
                logger.info("classification runs on %s", self._classifier.runtime.description.name)
            elif result.flaw is None:
                frame = result.frame
                # Time is that of capture, as for tracks: what a source says of its own times may jump.
                view = self._assessor.view(frame, result.field_of_view, result.detections, now_s=frame.captured_s)
                if view is not None:
                    [answer] = self._classifier.classify([view.picture])
                    self._assessor.take(view, answer.probabilities)
        finally:
            self._busy_since_s = None

    def _fail(self, error: Exception) -> None:
        self._failure = cause_of(error)
        self._say(self._failure)

    def _say(self, reason: str) -> None:
        self._said = reason
        logger.warning("classification off: %s", reason)

    def _end(self) -> None:
        if self._classifier is not None:
            self._classifier.close()
