"""What is drawn on a live picture: boxes, corners of the field of view, the state, and arcs towards polyps at its edge.

Boxes, corners and the line of state are those of `stream.overlay`. The arcs stand where the field of view ends, never
on a box, and are drawn without antialiasing, so that which pixels change is known exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from engine.arrays import Image, Mask, Plane
from engine.pictures.picture import Picture
from stream.frame import Detection, FieldOfView, FrameResult
from stream.live.states.view import LiveState, LiveStatus, LiveView
from stream.overlay import Colour, OverlayStyle, colour_of, overlay_marks
from stream.painting import Mark, Rect, covered_pixels, painted

_NO_FIELD = FieldOfView((0, 0, 0, 0), has_picture=False)
_ARC_DEGREES = 12  # that an arc reaches beyond the detection, seen from the middle of the field, to each side


@dataclass(frozen=True, slots=True)
class LiveStyle:
    """How a live picture is marked.

    Attributes:
        overlay: boxes, corners, text.
        warning_colour: BGR, of corners and text while something does not work.
        arc_from: distance of a detection's centre from that of the field of view, in half sizes of the field, from
            which an arc points to it; infinity for no arcs.
        arc_share: width of an arc, as a share of the picture's shorter side.
    """

    overlay: OverlayStyle = field(default_factory=OverlayStyle)
    warning_colour: Colour = (60, 190, 255)
    arc_from: float = 0.7
    arc_share: float = 1 / 60


_STYLE = LiveStyle()
NO_ARCS = LiveStyle(arc_from=math.inf)
"""Marks without arcs."""


def status_line(status: LiveStatus) -> str:
    """The state of a run in one short line: what does not work comes first."""
    if status.state is not LiveState.RUNNING:
        return f"{status.state.value}: {status.reason}" if status.reason else status.state.value
    if not status.detection_on:
        parts = [f"detection off: {status.detection_reason}" if status.detection_reason else "detection off"]
    else:
        parts = [status.detection_reason or "ready"]
    if status.recording:
        parts.append("recording")
    elif status.recording_reason:
        parts.append("recording stopped")
    if status.classification_reason:
        parts.append("classification off")
    parts.append(f"{status.frames_per_second:.0f} frames/s")
    if status.delays is not None and status.delays.annotation is not None:
        parts.append(f"{status.delays.annotation:.0f} ms")
    return "  ".join(parts)


def draw_live(view: LiveView, style: LiveStyle = _STYLE, *, note: str = "") -> Image:
    """Draw the marks of a view on a copy of its picture, as BGR.

    Args:
        view: the frame and what is known of it.
        style: how it is marked.
        note: stands before the line of state.

    Returns:
        A new BGR uint8 array; all pixels outside `live_mask` of the same view are those of the frame.
    """
    return draw_live_marks(view, style, note=note).to_bgr()


def draw_live_marks(view: LiveView, style: LiveStyle = _STYLE, *, note: str = "") -> Picture:
    """Draw the marks of a view on a copy of its picture in the picture's own format; otherwise as `draw_live`."""
    return painted(view.frame.picture, _marks(view, style, note))


def live_mask(view: LiveView, style: LiveStyle = _STYLE, *, note: str = "") -> Mask:
    """The pixels that `draw_live` may change when called with the same arguments: bool, shape (height, width)."""
    return covered_pixels(_marks(view, style, note), view.frame.resolution_wh)


def _marks(view: LiveView, style: LiveStyle, note: str) -> list[Mark]:
    result, overlay = _prepared(view, style)
    marks = overlay_marks(result, status=note + status_line(view.status), style=overlay)
    for detection, rect, shape in _arcs(result, style):
        pixels = np.full((*shape.shape, 3), colour_of(detection, overlay), np.uint8)
        marks.append(Mark(rect, pixels, shape))
    return marks


def _prepared(view: LiveView, style: LiveStyle) -> tuple[FrameResult, OverlayStyle]:
    well = view.status.state is LiveState.RUNNING and view.status.detection_on
    overlay = style.overlay if well else replace(style.overlay, field_colour=style.warning_colour)
    return FrameResult(view.frame, view.field_of_view or _NO_FIELD, view.detections), overlay


def _arcs(result: FrameResult, style: LiveStyle) -> list[tuple[Detection, Rect, Mask]]:
    """The arcs of all detections near the edge: the part of the picture that each lies in, and its pixels there."""
    across, down = step_xy = result.frame.picture.step_xy
    x1, y1, x2, y2 = result.field_of_view.box_xyxy
    width, height = result.frame.resolution_wh
    if not result.field_of_view.has_picture or min(x2 - x1, y2 - y1) < 48:
        return []
    centre_x, centre_y = (x1 + x2) / 2, (y1 + y2) / 2
    half_x, half_y = (x2 - x1) / 2, (y2 - y1) / 2
    thickness = max(3, round(min(width, height) * style.arc_share))
    arcs = []
    for detection in result.detections:
        left, top, right, bottom = detection.box_xyxy
        dx, dy = ((left + right) / 2 - centre_x) / half_x, ((top + bottom) / 2 - centre_y) / half_y
        if math.hypot(dx, dy) < style.arc_from:
            continue
        angle = math.degrees(math.atan2(dy, dx))
        extent = max((right - left) / half_x, (bottom - top) / half_y) / 2
        reach = round(_ARC_DEGREES + math.degrees(math.atan2(extent, math.hypot(dx, dy))))
        points = np.array(
            cv2.ellipse2Poly(
                (round(centre_x), round(centre_y)),
                (round(half_x) - thickness, round(half_y) - thickness),
                0,
                round(angle) - reach,
                round(angle) + reach,
                2,
            )
        )
        low = np.maximum(points.min(axis=0) - thickness, 0) // step_xy * step_xy
        high = np.minimum(-(-(points.max(axis=0) + thickness + 1) // step_xy) * step_xy, (width, height))
        if (high <= low).any():
            continue
        drawn = np.zeros((int(high[1] - low[1]), int(high[0] - low[0])), np.uint8)
        cv2.polylines(drawn, [points - low], False, 1, thickness, cv2.LINE_8)
        # All pixels that share chroma, or none of them.
        drawn = _blocks(drawn, step_xy)
        for other in result.detections:  # the polyp itself stays as the endoscope shows it
            ox1, oy1, ox2, oy2 = other.box_xyxy
            columns = slice(_start(ox1, across, int(low[0])), _stop(ox2, across, int(low[0])))
            rows = slice(_start(oy1, down, int(low[1])), _stop(oy2, down, int(low[1])))
            drawn[rows, columns] = 0
        rect = Rect(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        arcs.append((detection, rect, drawn.view(np.bool_)))
    return arcs


def _blocks(drawn: Plane, step_xy: tuple[int, int]) -> Plane:
    """The blocks of a grid of which at least one pixel was drawn: 1 in all of their pixels."""
    if step_xy == (1, 1):
        return drawn
    (across, down), (height, width) = step_xy, drawn.shape
    padded = np.pad(drawn, ((0, -height % down), (0, -width % across)))
    blocks: Plane = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across).max(axis=(1, 3))
    return blocks.repeat(down, axis=0).repeat(across, axis=1)[:height, :width]


def _start(edge: float, step: int, origin: int) -> int:
    """The first pixel of the block in which an edge lies, counted from an origin on the grid."""
    return max(math.floor(edge / step) * step - origin, 0)


def _stop(edge: float, step: int, origin: int) -> int:
    return max(math.ceil(edge / step) * step - origin, 0)
