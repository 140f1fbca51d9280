"""Marks on a picture: boxes, labels, corners of the field of view, a status line. All else stays as it was, to the bit.

Where marks go is settled first, in whole pixels (`lay_out`). Drawing then stays inside these rectangles: outlines are
rings of single pixels, and text is written into its plate, so that antialiasing cannot leave it. Outlines run around a
box, never inside it: the polyp itself stays as the endoscope shows it. Where pixels share chroma, all edges lie on that
grid: holes grow to it, and lines get a wider dark edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image, Mask
from engine.boxes import intersections
from engine.errors import InputError
from engine.pictures.picture import Picture
from stream.frame import Detection, FrameResult
from stream.painting import Mark, Rect, covered_pixels, painted

Colour = tuple[int, int, int]
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Smaller pictures have no room for marks.
_SMALLEST_SIDE = 48


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """How marks look. Sizes are shares of the picture's shorter side, so that 240 and 2160 lines look alike.

    Attributes:
        track_colours: BGR, taken in turn by track number. Cyan, green and blue: rare in the colon, apart from each
            other in brightness too, and none of them is lost with red-green blindness.
        candidate_colour: BGR, of detections without a track.
        field_colour: BGR, of the field of view's corners and the status line.
        dark: BGR, around lines and behind text, so that both are readable on any background.
        line_share: width of lines; at least one pixel.
        text_share: height of capital letters; at least nine pixels.
        corner_share: length of the corner markers.
    """

    track_colours: tuple[Colour, ...] = ((255, 255, 0), (120, 255, 60), (255, 170, 60))
    candidate_colour: Colour = (190, 190, 190)
    field_colour: Colour = (225, 215, 160)
    dark: Colour = (24, 16, 8)
    line_share: float = 1 / 320
    text_share: float = 1 / 48
    corner_share: float = 1 / 24


@dataclass(frozen=True, slots=True)
class Plate:
    rect: Rect
    text: str
    colour: Colour


@dataclass(slots=True)
class Layout:
    """Every mark of a picture, in whole pixels inside the picture."""

    line: int  # width of a line
    halo: int  # width of the dark edge on both sides of it, at least
    step_xy: tuple[int, int] = (1, 1)  # of the grid on which all edges lie
    font_scale: float = 1.0
    padding: int = 1
    letter: int = 9  # height of capital letters
    stroke: int = 1  # of letters
    outlines: list[tuple[Rect, Colour]] = field(default_factory=list)  # the holes: what lies inside the outline
    corners: list[Rect] = field(default_factory=list)  # arms of the corner markers, halo included
    plates: list[Plate] = field(default_factory=list)

    @property
    def band(self) -> int:
        return _up(self.line + 2 * self.halo, max(self.step_xy))


def draw_overlay(result: FrameResult, *, status: str | None = None, style: OverlayStyle | None = None) -> Image:
    """Draw what is known of a frame on a copy of its picture, as BGR.

    Every pixel outside `overlay_mask` of the same arguments equals the input. Outlines keep out of their box (except at
    the picture's edge, where there is no room around it); labels and the status line keep out of all boxes where they
    can.

    Args:
        result: the frame, its field of view, and detections in pixels of the frame. A box may reach beyond the picture;
            one that lies outside leaves no mark.
        status: one short line of text, cut to the picture's width; None for none.
        style: colours and sizes.

    Returns:
        A new BGR uint8 array, shape (height, width, 3). Pictures under 48 pixels in height or width have no room for
        marks and come back as a plain copy.

    Raises:
        InputError: a box or score that is not finite, or a box whose right or bottom lies before its left or top.
    """
    return draw_marks(result, status=status, style=style).to_bgr()


def draw_marks(result: FrameResult, *, status: str | None = None, style: OverlayStyle | None = None) -> Picture:
    """Draw what is known of a frame on a copy of its picture in the picture's own format; otherwise as `draw_overlay`.

    Every value of a plane that belongs to pixels outside `overlay_mask` equals that of the frame.
    """
    return painted(result.frame.picture, overlay_marks(result, status=status, style=style))


def overlay_mask(result: FrameResult, *, status: str | None = None, style: OverlayStyle | None = None) -> Mask:
    """The pixels that `draw_overlay` may change when called with the same arguments.

    Returns:
        Bool, shape (height, width).

    Raises:
        InputError: as `draw_overlay`.
    """
    return covered_pixels(overlay_marks(result, status=status, style=style), result.frame.resolution_wh)


def overlay_marks(result: FrameResult, *, status: str | None = None, style: OverlayStyle | None = None) -> list[Mark]:
    """What `draw_overlay` paints when called with the same arguments, in its order.

    Raises:
        InputError: as `draw_overlay`.
    """
    style = style or OverlayStyle()
    layout = lay_out(result, status, style, step_xy=result.frame.picture.step_xy)
    marks = [Mark(arm, _bordered(arm, layout.halo, style.field_colour, style.dark)) for arm in layout.corners]
    for hole, colour in layout.outlines:
        rings = np.array([style.dark] * layout.band, np.uint8)
        rings[layout.halo : layout.halo + layout.line] = colour
        outer = hole.grown(layout.band)
        for side in (
            Rect(outer.x1, outer.y1, outer.x2, hole.y1),
            Rect(outer.x1, hole.y2, outer.x2, outer.y2),
            Rect(outer.x1, hole.y1, hole.x1, hole.y2),
            Rect(hole.x2, hole.y1, outer.x2, hole.y2),
        ):
            marks.append(Mark(side, rings[_ring_of(side, hole)]))
    return marks + [Mark(plate.rect, _lettered(plate, layout, style.dark)) for plate in layout.plates]


def _bordered(rect: Rect, border: int, colour: Colour, dark: Colour) -> Image:
    """A bar with a dark border."""
    pixels = np.full((rect.y2 - rect.y1, rect.x2 - rect.x1, 3), dark, np.uint8)
    pixels[rect.grown(-border).within(rect)] = colour
    return pixels


def _ring_of(side: Rect, hole: Rect) -> npt.NDArray[np.int64]:
    """Which ring around a hole each pixel of a rectangle beside it lies on, from 0."""
    xs, ys = np.arange(side.x1, side.x2), np.arange(side.y1, side.y2)
    across = np.maximum(hole.x1 - 1 - xs, xs - hole.x2)
    down = np.maximum(hole.y1 - 1 - ys, ys - hole.y2)
    rings: npt.NDArray[np.int64] = np.maximum(across[None, :], down[:, None])
    return rings


def _lettered(plate: Plate, layout: Layout, dark: Colour) -> Image:
    """A plate with its text."""
    x1, y1, x2, y2 = plate.rect
    pixels = np.full((y2 - y1, x2 - x1, 3), dark, np.uint8)
    (_, height), _ = cv2.getTextSize(plate.text, _FONT, layout.font_scale, layout.stroke)
    origin = (2 * layout.padding, layout.padding + height)
    cv2.putText(pixels, plate.text, origin, _FONT, layout.font_scale, plate.colour, layout.stroke, cv2.LINE_AA)
    return pixels


def lay_out(
    result: FrameResult, status: str | None, style: OverlayStyle, *, step_xy: tuple[int, int] = (1, 1)
) -> Layout:
    """Settle where every mark goes: anywhere, or with all edges on a grid of so many columns and rows."""
    width, height = result.frame.resolution_wh
    short = min(width, height)
    line = max(1, round(short * style.line_share))
    layout = Layout(line=line, halo=max(1, line // 2), step_xy=step_xy)
    _check(result.detections)
    if short < _SMALLEST_SIDE:
        return layout
    letter = max(9, round(short * style.text_share))
    # Fonts differ between versions of OpenCV: measured, not assumed.
    layout.letter = letter
    layout.font_scale = letter / cv2.getTextSize("H", _FONT, 1.0, 1)[0][1]
    layout.padding = max(2, letter // 4)
    layout.stroke = max(1, round(letter / 14))
    texts: list[str] = []

    for detection in result.detections:
        if _touches(detection.box_xyxy, width, height):
            hole = _hole(detection.box_xyxy, layout, width, height)
            layout.outlines.append((hole, colour_of(detection, style)))
            texts.append(_label(detection))
    holes = [hole for hole, _ in layout.outlines]
    taken = np.array([hole.grown(layout.band) for hole in holes], dtype=np.int64).reshape(-1, 4)
    if status:
        plate = _plate(status, style.field_colour, _status_places, taken, layout, (width, height))
        layout.plates.append(plate)
        taken = np.vstack([taken, plate.rect])
    for text, (hole, colour) in zip(texts, layout.outlines, strict=True):
        plate = _plate(text, colour, partial(_label_places, hole, layout.band), taken, layout, (width, height))
        layout.plates.append(plate)
        taken = np.vstack([taken, plate.rect])
    occupied = holes + [plate.rect for plate in layout.plates]
    layout.corners = _corners(result, layout, round(short * style.corner_share), occupied)
    return layout


def _check(detections: Sequence[Detection]) -> None:
    for detection in detections:
        x1, y1, x2, y2 = detection.box_xyxy
        if not (all(map(math.isfinite, (x1, y1, x2, y2, detection.score))) and x1 <= x2 and y1 <= y2):
            raise InputError(
                f"a detection needs a finite score and box, left before right, top above bottom: {detection}"
            )


def _touches(box: tuple[float, float, float, float], width: int, height: int) -> bool:
    return box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0


def _hole(box: tuple[float, float, float, float], layout: Layout, width: int, height: int) -> Rect:
    """The pixels of the grid that a box covers, cut so that its outline stands in the picture; at least one of them."""
    (across, down), band = layout.step_xy, layout.band
    x1, x2 = _cut(box[0], box[2], band, _down(width, across) - band, across)
    y1, y2 = _cut(box[1], box[3], band, _down(height, down) - band, down)
    return Rect(x1, y1, x2, y2)


def _cut(start: float, stop: float, low: int, high: int, step: int) -> tuple[int, int]:
    first = min(max(_down(math.floor(start), step), low), high - step)
    return first, max(min(_up(math.ceil(stop), step), high), first + step)


def _down(value: int, step: int) -> int:
    """The next multiple of a step that is no larger."""
    return value // step * step


def _up(value: int, step: int) -> int:
    """The next multiple of a step that is no smaller."""
    return -(-value // step) * step


def colour_of(detection: Detection, style: OverlayStyle) -> Colour:
    """The colour of a detection's marks: that of its track, so that a polyp keeps it."""
    if detection.track_id is None:
        return style.candidate_colour
    return style.track_colours[(detection.track_id - 1) % len(style.track_colours)]


def _label(detection: Detection) -> str:
    number = "" if detection.track_id is None else f" {detection.track_id}"
    text = f"{detection.label}{number}  {100 * detection.score:.0f} %"
    kind = class_text(detection)
    return text if kind is None else f"{text}  {kind}"


def class_text(detection: Detection) -> str | None:
    """What kind of lesion a detection is, in a few words; None where nobody asked for it."""
    if detection.classes is None:
        return None
    if not detection.classes:
        return "not assessed"
    # Of two classes the first is asked for ("neoplastic 18 %"); of more the likeliest is named.
    pairs = detection.classes[:1] if len(detection.classes) == 2 else detection.classes
    name, value = max(pairs, key=lambda pair: pair[1])
    return f"{name.replace('_', ' ')} {100 * value:.0f} %"


def _corners(result: FrameResult, layout: Layout, length: int, occupied: Sequence[Rect]) -> list[Rect]:
    """Arms of the field of view's corner markers, inside its box; none on a detection or on another mark."""
    width, height = result.frame.resolution_wh
    x1, y1, x2, y2 = result.field_of_view.box_xyxy
    across, down = layout.step_xy
    x1, y1, x2, y2 = _up(max(x1, 0), across), _up(max(y1, 0), down), min(x2, width), min(y2, height)
    x2, y2, length = _down(x2, across), _down(y2, down), _up(length, max(across, down))
    arms: list[Rect] = []
    if not result.field_of_view.has_picture or min(x2 - x1, y2 - y1) < 4 * length:
        return arms
    for left, near_x in ((x1, x1), (x2 - length, x2 - layout.band)):
        for top, near_y in ((y1, y1), (y2 - length, y2 - layout.band)):
            corner = (
                Rect(left, near_y, left + length, near_y + layout.band),
                Rect(near_x, top, near_x + layout.band, top + length),
            )
            if not any(_overlap(arm, other) for arm in corner for other in occupied):
                arms += corner
    return arms


def _plate(
    text: str,
    colour: Colour,
    places: Callable[[tuple[int, int], tuple[int, int]], list[tuple[int, int]]],
    taken: npt.NDArray[np.int64],
    layout: Layout,
    picture_wh: tuple[int, int],
) -> Plate:
    """A text with its dark plate, at the first of its places that is free, or else at the one least taken."""
    text = text.encode("ascii", "replace").decode()  # OpenCV's fonts hold nothing more everywhere
    while (size := _plate_size(text, layout))[0] > picture_wh[0] and len(text) > 1:
        text = text[:-1]
    size = min(_up(size[0], layout.step_xy[0]), picture_wh[0]), min(_up(size[1], layout.step_xy[1]), picture_wh[1])
    corners = np.array(places(size, picture_wh), dtype=np.int64)
    corners = np.clip(corners, 0, np.array(picture_wh) - size) // layout.step_xy * layout.step_xy
    rects = np.concatenate([corners, corners + size], axis=1)
    covered = intersections(rects.T[:, :, None], taken.T[:, None])[0].sum(axis=1)
    return Plate(Rect(*rects[covered.argmin()].tolist()), text, colour)


def _plate_size(text: str, layout: Layout) -> tuple[int, int]:
    (width, height), descent = cv2.getTextSize(text, _FONT, layout.font_scale, layout.stroke)
    return width + 4 * layout.padding, height + descent + 2 * layout.padding


def _status_places(size: tuple[int, int], picture_wh: tuple[int, int]) -> list[tuple[int, int]]:
    """Corners of the picture, the lower left first."""
    right, bottom = picture_wh[0] - size[0], picture_wh[1] - size[1]
    return [(0, bottom), (right, bottom), (0, 0), (right, 0)]


def _label_places(hole: Rect, band: int, size: tuple[int, int], picture_wh: tuple[int, int]) -> list[tuple[int, int]]:
    """Around the outline, above first; then, for a box that fills the picture, inside it."""
    x1, y1, x2, y2 = hole.grown(band)
    (width, height), (right, bottom) = size, (x2 - size[0], y2 - size[1])
    around = [(x1, y1 - height), (right, y1 - height), (x1, y2), (right, y2)]
    beside = [(x2, y1), (x2, bottom), (x1 - width, y1), (x1 - width, bottom)]
    return [*around, *beside, (hole.x1, hole.y1)]


def _overlap(a: Rect, b: Rect) -> bool:
    return a.x1 < b.x2 and b.x1 < a.x2 and a.y1 < b.y2 and b.y1 < a.y2
