"""What the page's server tells the browser: a frame with what belongs to it, and the state of the run.

A frame is one binary message: the length of the header (four bytes, big-endian), the header (JSON), the picture (JPEG).
So boxes arrive with the picture that they belong to, or not at all. All else is JSON text with a `type`.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from engine.text.redaction import redacted_record
from stream.live.page.jpeg import encode_jpeg
from stream.live.states.view import LiveStatus, LiveView
from stream.overlay import class_text

_LENGTH = struct.Struct(">I")


def frame_message(view: LiveView, *, quality: int, max_width: int) -> bytes:
    """Encodes a frame with its boxes.

    Args:
        view: what is to be shown; boxes stay in pixels of the source frame.
        quality: of the JPEG, 1 to 100.
        max_width: wider pictures are scaled down to it, pixels.

    Raises:
        RunError: the picture cannot be encoded.
    """
    frame, field = view.frame, view.field_of_view
    header = {
        **marks_fields(view),
        "time_s": round(frame.time_s, 4),
        "captured_s": round(frame.captured_s, 4),
        "source_wh": frame.resolution_wh,
        "field_of_view_xyxy": field.box_xyxy if field is not None and field.has_picture else None,
    }
    text = json.dumps(header, allow_nan=False).encode()
    return b"".join((_LENGTH.pack(len(text)), text, encode_jpeg(frame.picture, quality=quality, max_width=max_width)))


def marks_fields(view: LiveView) -> dict[str, Any]:
    """The marks of a frame as JSON takes them."""
    return {
        "frame": view.frame.index,
        "detected_on": view.detected_on,
        "boxes": [
            {
                "box_xyxy": [round(float(edge), 1) for edge in detection.box_xyxy],
                "score": round(float(detection.score), 3),
                "label": detection.label,
                "track_id": detection.track_id,
                "kind": class_text(detection),
            }
            for detection in view.detections
        ],
    }


def status_fields(status: LiveStatus) -> dict[str, Any]:
    """The state of a run as JSON takes it."""
    delays = status.delays
    return {
        "state": status.state.value,
        "reason": status.reason,
        "detection_on": status.detection_on,
        "detection_reason": status.detection_reason,
        "captured": status.captured,
        "shown": status.shown,
        "damaged": status.damaged,
        "dropped": dict(status.dropped),
        "frames_per_second": round(status.frames_per_second, 1),
        "delays": None if delays is None else {"video_ms": delays.video, "annotation_ms": delays.annotation},
        "recording": status.recording,
        "recording_reason": status.recording_reason,
        "classification_reason": status.classification_reason,
    }


def text_message(kind: str, **fields: Any) -> str:
    """A text message of one kind; addresses in it are redacted."""
    return json.dumps({"type": kind, **redacted_record(fields)}, allow_nan=False)
