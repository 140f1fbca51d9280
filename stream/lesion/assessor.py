"""How suspicious each polyp of a video looks: lesions that are seen well are classified and averaged over their track.

At most one lesion a frame is classified, and each track only now and then: neighbouring frames show the same. What is
slow is apart (`view`, then `Classifier.classify`, then `take`), so that a live run can do it beside the detection path.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.arrays import Image
from engine.checks import require_at_least
from engine.errors import InputError
from engine.windows.sliding import inside_shares
from stream.frame import Detection, FieldOfView, Frame
from stream.lesion.classifier import Classifier
from stream.lesion.view import Box
from stream.view.frame_quality import find_flaw


@dataclass(frozen=True, slots=True)
class AssessorSettings:
    """When a lesion is seen well, and how often it is looked at.

    Attributes:
        least_side_px: least shorter side of a box in pixels of the frame.
        least_side_share: least shorter side of a box as a share of the field of view's shorter side.
        least_inside: least share of a box inside the field of view's mask.
        interval_s: time between two looks at one track.
        settled_views: looks after which a track is looked at only every `settled_interval_s`.
        settled_interval_s: time between two looks at such a track.
        least_views: looks that a track needs before its classes are told.
        memory_s: a track not seen for longer is forgotten.
    """

    least_side_px: float = 24.0
    least_side_share: float = 0.06
    least_inside: float = 0.95
    interval_s: float = 0.2
    settled_views: int = 10
    settled_interval_s: float = 1.0
    least_views: int = 3
    memory_s: float = 30.0

    def __post_init__(self) -> None:
        for name in (
            "least_side_px",
            "least_side_share",
            "least_inside",
            "interval_s",
            "settled_interval_s",
            "memory_s",
        ):
            require_at_least(f"`{name}`", getattr(self, name), 0)
        for name in ("least_views", "settled_views"):
            require_at_least(f"`{name}`", getattr(self, name), 1)


@dataclass(frozen=True, slots=True)
class LesionView:
    """A lesion that is worth classifying.

    Attributes:
        track_id: of its track.
        time_s: of its frame, by the clock that intervals are kept by.
        picture: as the classifier takes it.
    """

    track_id: int
    time_s: float
    picture: Image


class _Memory:
    """What is known of one track."""

    def __init__(self) -> None:
        self.looked_s = -float("inf")
        self.seen_s = -float("inf")
        self.views = 0
        self.sums: dict[str, float] = {}


class LesionAssessor:
    """Adds classes to the detections of tracks. Fed with the frames of one source in order.

    `take` may be called from another thread than the rest.

    Example:
        >>> detector, tracker = Detector.open("polyp"), Tracker()
        >>> assessor = LesionAssessor(Classifier.open("lesion"))
        >>> for frame in open_source("exam.mp4"):
        ...     field = find_field_of_view(frame.picture)
        ...     tracked = tracker.update(detector.detect_picture(frame.picture, field), frame.time_s)
        ...     named = assessor.update(frame, field, tracked)
    """

    def __init__(self, classifier: Classifier, settings: AssessorSettings | None = None) -> None:
        """Starts without memory.

        Args:
            classifier: of lesions; not closed with the assessor.
            settings: when a lesion is seen well, and how often it is looked at.

        Raises:
            InputError: the classifier was made for whole pictures.
        """
        if classifier.context is None:
            raise InputError(
                f"model {classifier.bundle.name!r} was made for whole pictures, not for lesions; choose another"
            )
        self._classifier, self._settings = classifier, settings or AssessorSettings()
        self._tracks: dict[int, _Memory] = {}
        self._lock = threading.Lock()
        self._time_s = -float("inf")

    def update(self, frame: Frame, field: FieldOfView, detections: Sequence[Detection]) -> tuple[Detection, ...]:
        """Looks at one lesion at most, and adds what is known of each track to its detection.

        Args:
            frame: the frame.
            field: its field of view.
            detections: of the frame, with track ids.

        Returns:
            The detections; those of tracks have `classes`, empty while a track was not seen well often enough.

        Raises:
            RunError: the runtime failed.
        """
        view = self.view(frame, field, detections)
        if view is not None:
            self.take(view, self._classifier.classify([view.picture])[0].probabilities)
        return self.marked(detections)

    def view(
        self, frame: Frame, field: FieldOfView, detections: Sequence[Detection], *, now_s: float | None = None
    ) -> LesionView | None:
        """The lesion of a frame whose turn it is to be classified; None when there is none that is seen well.

        Args:
            frame: the frame.
            field: its field of view.
            detections: of the frame, with track ids.
            now_s: time by which intervals are kept, seconds; that of the frame when None.
        """
        now = frame.time_s if now_s is None else now_s
        tracks = {seen.track_id: seen for seen in detections if seen.track_id is not None}
        with self._lock:
            self._forget(now)
            for track_id in tracks:
                self._tracks.setdefault(track_id, _Memory()).seen_s = now
            due = [key for key in tracks if self._is_due(self._tracks[key], now)]
            due = [key for key in due if _seen_well(tracks[key].box_xyxy, field, self._settings)]
        # `marked` must not wait while the picture is judged.
        if not due or find_flaw(frame.picture, field) is not None:
            return None
        with self._lock:
            # The one that is known least; of equals the one not looked at for longest.
            chosen = min(due, key=lambda key: (self._tracks[key].views, self._tracks[key].looked_s, key))
            self._tracks[chosen].looked_s = now
        return LesionView(chosen, now, self._classifier.lesion(frame.picture, tracks[chosen].box_xyxy, field))

    def take(self, view: LesionView, probabilities: Mapping[str, float]) -> None:
        """Takes the classifier's answer to a view into the mean of its track."""
        with self._lock:
            memory = self._tracks.get(view.track_id)
            if memory is not None:
                memory.views += 1
                for name, value in probabilities.items():
                    memory.sums[name] = memory.sums.get(name, 0.0) + value

    def marked(self, detections: Sequence[Detection]) -> tuple[Detection, ...]:
        """The detections with what is known of their tracks."""
        with self._lock:
            return tuple(
                replace(seen, classes=self._classes(seen.track_id)) if seen.track_id is not None else seen
                for seen in detections
            )

    def _is_due(self, memory: _Memory, now: float) -> bool:
        settled = memory.views >= self._settings.settled_views
        interval_s = self._settings.settled_interval_s if settled else self._settings.interval_s
        # Times are rounded: a frame that is due by a hair's breadth is due.
        return now - memory.looked_s > interval_s - 1e-6

    def _classes(self, track_id: int) -> tuple[tuple[str, float], ...]:
        memory = self._tracks.get(track_id)
        if memory is None or memory.views < self._settings.least_views:
            return ()
        return tuple((name, value / memory.views) for name, value in memory.sums.items())

    def _forget(self, now: float) -> None:
        if now < self._time_s:  # the source was rewound: numbers may be given again
            self._tracks.clear()
        self._time_s = now
        old = [key for key, memory in self._tracks.items() if now - memory.seen_s > self._settings.memory_s]
        for key in old:
            del self._tracks[key]


def assess_picture(
    classifier: Classifier,
    frame: Frame,
    field: FieldOfView,
    detections: Sequence[Detection],
    settings: AssessorSettings | None = None,
) -> tuple[Detection, ...]:
    """Classifies every well seen lesion of a single picture, without memory of others.

    Args:
        classifier: of lesions.
        frame: the picture.
        field: its field of view.
        detections: of the picture, with track ids.
        settings: when a lesion is seen well.

    Returns:
        The detections; those with a track id have `classes`, empty when not seen well.

    Raises:
        RunError: the runtime failed.
    """
    settings = settings or AssessorSettings()
    clear = find_flaw(frame.picture, field) is None
    chosen = [
        index
        for index, seen in enumerate(detections)
        if clear and seen.track_id is not None and _seen_well(seen.box_xyxy, field, settings)
    ]
    pictures = [classifier.lesion(frame.picture, detections[index].box_xyxy, field) for index in chosen]
    answers = dict(zip(chosen, classifier.classify(pictures), strict=True))
    return tuple(
        replace(seen, classes=tuple(answers[index].probabilities.items()) if index in answers else ())
        if seen.track_id is not None
        else seen
        for index, seen in enumerate(detections)
    )


def _seen_well(box_xyxy: Box, field: FieldOfView, settings: AssessorSettings) -> bool:
    """Whether a box is large enough, and lies in the field of view rather than being cut off by its edge."""
    x1, y1, x2, y2 = box_xyxy
    left, top, right, bottom = field.box_xyxy
    shorter = min(x2 - x1, y2 - y1)
    if shorter < max(settings.least_side_px, settings.least_side_share * min(field.size_wh)):
        return False
    margin = 0.01 * min(field.size_wh)
    # A lesion that fills the picture reaches its edges, and is seen well all the same.
    cut_off = x1 < left + margin, y1 < top + margin, x2 > right - margin, y2 > bottom - margin
    if any(cut_off) and shorter < 0.5 * min(field.size_wh):
        return False
    if field.mask is None:
        return True
    height, width = field.mask.shape
    whole = [max(int(x1), 0), max(int(y1), 0), min(int(np.ceil(x2)), width), min(int(np.ceil(y2)), height)]
    if whole[2] <= whole[0] or whole[3] <= whole[1]:
        return False
    return float(inside_shares(np.array([whole], np.int32), field.mask)[0]) >= settings.least_inside
