"""Views of a live run for tests of displays: numbered pictures with a box each."""

from __future__ import annotations

import dataclasses
import time
from fractions import Fraction
from typing import Any

from stream.frame import Detection, FieldOfView, Frame
from stream.live.states.view import Delays, LiveState, LiveStatus, LiveView
from tests.kit.media import numbered_picture

RUNNING = LiveStatus(LiveState.RUNNING, detection_on=True, captured=1, shown=1, delays=Delays(0.5, 40.0))


def live_view(
    index: int,
    *,
    size_wh: tuple[int, int] = (320, 240),
    tracks: tuple[int, ...] = (1,),
    score: float = 0.9,
    **status: Any,
) -> LiveView:
    """A view whose picture carries its index (up to 255), with one box for each track.

    Args:
        index: of the frame.
        size_wh: width and height in pixels.
        tracks: track numbers.
        score: of every box.
        status: fields of the run's status that differ from a good one.
    """
    frame = Frame(index, Fraction(index, 25), numbered_picture(index % 256, size_wh), time.monotonic())
    width, height = size_wh
    detections = tuple(
        Detection((0.3 * width, 0.4 * height, 0.5 * width, 0.7 * height), score, track_id=track) for track in tracks
    )
    known = dataclasses.replace(RUNNING, **{"captured": index + 1, "shown": index + 1, **status})
    return LiveView(frame, FieldOfView((0, 0, width, height)), detections, index if tracks else None, known)
