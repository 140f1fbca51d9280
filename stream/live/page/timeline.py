"""What was detected so far in a live run, for the page: one entry a polyp, with a small picture of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from engine.arrays import Image
from engine.errors import RunError
from engine.pictures.picture import Picture
from stream.frame import Detection, Frame
from stream.live.page.jpeg import encode_jpeg
from stream.live.states.view import LiveView
from stream.overlay import class_text

_ENTRIES = 100  # the oldest is forgotten
_BETTER = 1.05  # a picture is taken anew when the score grew by this factor
_SURROUNDINGS = 0.35  # of the box's size, on each side
_THUMBNAIL_PX = 240
_QUALITY = 82


@dataclass(slots=True)
class _Entry:
    """One polyp over the time that it was seen."""

    label: str
    began: float  # time of day, seconds since 1970
    first_s: float  # monotonic, of the frame's capture
    last_s: float
    best_score: float = 0.0
    kind: str | None = None  # as it was known last; None where nobody asked for it
    taken_at: float = 0.0  # score when the newest picture was taken
    version: int = 0  # of the picture; 0 while there is none
    picture: bytes = b""


class Timeline:
    """Collects polyps from views. Noting is quick; pictures are cut later, by whoever calls `draw`."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}  # by track, the oldest first
        self._undrawn: dict[int, tuple[Frame, Detection]] = {}
        self._lock = threading.Lock()
        self._changes = 0

    @property
    def changes(self) -> int:
        """Grows with every change."""
        return self._changes

    @property
    def has_undrawn(self) -> bool:
        """Whether `draw` would do something."""
        return bool(self._undrawn)

    def note(self, view: LiveView) -> None:
        """Notes what a view shows; detections without a track are left out."""
        if not view.detections:
            return
        with self._lock:
            for detection in view.detections:
                if detection.track_id is not None:
                    self._note(view.frame, detection, detection.track_id)

    def draw(self) -> None:
        """Cuts and encodes the pictures that are due."""
        with self._lock:
            due = list(self._undrawn.items())
            self._undrawn.clear()
        for track_id, (frame, detection) in due:
            try:
                picture = encode_jpeg(_cut_out(frame.picture, detection), quality=_QUALITY, max_width=_THUMBNAIL_PX)
            except RunError:
                continue  # a box without area, at the picture's edge
            with self._lock:
                entry = self._entries.get(track_id)
                if entry is not None:
                    entry.picture = picture
                    entry.version += 1
                    self._changes += 1

    def picture(self, track_id: int) -> bytes | None:
        """The JPEG of a polyp; None when there is none."""
        with self._lock:
            entry = self._entries.get(track_id)
            return entry.picture or None if entry is not None else None

    def fields(self) -> list[dict[str, Any]]:
        """All entries as JSON takes them, the newest first."""
        with self._lock:
            return [
                {
                    "track_id": track_id,
                    "label": entry.label,
                    "began": round(entry.began, 2),
                    "seconds": round(entry.last_s - entry.first_s, 2),
                    "best_score": round(entry.best_score, 3),
                    "kind": entry.kind,
                    "picture": entry.version,
                }
                for track_id, entry in reversed(self._entries.items())
            ]

    def _note(self, frame: Frame, detection: Detection, track_id: int) -> None:
        entry = self._entries.get(track_id)
        if entry is None:
            now = frame.captured_s
            entry = self._entries[track_id] = _Entry(detection.label, began=time.time(), first_s=now, last_s=now)
            if len(self._entries) > _ENTRIES:
                oldest = next(iter(self._entries))
                del self._entries[oldest]
                self._undrawn.pop(oldest, None)
        entry.last_s = frame.captured_s
        entry.kind = class_text(detection)
        entry.best_score = max(entry.best_score, detection.score)
        self._changes += 1
        if detection.score > entry.taken_at * _BETTER:
            entry.taken_at = detection.score
            self._undrawn[track_id] = frame, detection


def _cut_out(picture: Picture, detection: Detection) -> Image:
    """The box with its surroundings, as a square where the picture allows."""
    width, height = picture.resolution_wh
    x1, y1, x2, y2 = detection.box_xyxy
    half = max(x2 - x1, y2 - y1) * (0.5 + _SURROUNDINGS)
    centre_x, centre_y = (x1 + x2) / 2, (y1 + y2) / 2
    left, right = max(round(centre_x - half), 0), min(round(centre_x + half), width)
    top, bottom = max(round(centre_y - half), 0), min(round(centre_y + half), height)
    return picture.to_bgr((left, top, right, bottom))
