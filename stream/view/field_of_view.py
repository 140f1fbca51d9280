"""Finds the field of view in one picture: where the endoscope's picture is, and where margin, text and boxes are.

All work is done on a grid of at most 256 cells a side, so that its cost hardly depends on the frame's size:

1. The margin's grey level is read off the frame's border (16, 20 and 25 are as common as 0).
2. What is brighter is content, less the flat boxes that a processor draws (position box), and, by an opening, less all
   that is thin (text, rules). The largest connected piece is the picture; a thumbnail is a piece of its own.
3. The outline is the piece's convex hull, so that a dark lumen inside or at a side does not dent it.
4. Black rectangles at the outline's corners (a position box that was blackened) are taken from the mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image, Plane
from engine.pictures.picture import AnyPicture, Picture
from stream.frame import FieldOfView, picture_of
from stream.view.outline import NORMALS, Outline, Points, Rectangle

NO_PICTURE = FieldOfView((0, 0, 0, 0), has_picture=False)
"""The field of view of a frame that shows nothing."""

_GRID_CELLS = 256  # along the longer side, at most: an edge is known to 2 px in a 480 px frame, to 8 px in 1080p
_DARKEST_CONTENT = 48  # a margin is darker than this grey level
_LEAST_MARGIN = 0.02  # of the frame's border must be dark before a margin is believed in
_NOISE = 6  # grey levels above three quarters of the margin are noise and ringing
_NOISIEST = 16  # grey levels above the margin's commonest: no longer margin
_SHARP = 16  # grey levels above the margin, three cells inside an edge: a lumen fades out more slowly
_LEAST_PICTURE = 0.03  # of the frame must be lit, else it shows nothing
_LEAST_PART = 0.04  # of the largest piece: beyond a dark lumen
_FAR_LARGER = 1.5  # times the known picture's area: another piece is the picture now
_AS_LARGE = 0.8  # of the largest piece: of two so alike, the left one is taken
_SECOND = 0.5  # of the picture: a second picture beside it, and no thumbnail
_CONVEX = 0.93  # of its hull's area: a piece to which no thumbnail sticks
_LEAST_BOX, _LARGEST_BOX = 0.005, 0.2  # of the frame: a position box
_LEAST_COVER = 0.12  # of the picture's shorter side: a black rectangle over one of its corners
_SAMPLE = 800  # cells that are looked at to judge colours
_FLAT_TOLERANCE, _FLAT_SHARE = 3, 0.85  # grey levels, share of the cells: one colour; tissue stays below 0.3


@dataclass(frozen=True, eq=False)
class Sighting:
    """The endoscope's picture as seen in one frame.

    Attributes:
        outline: where it is, in pixels of the frame.
        sharp: bool, shape (32,): whether the picture ends abruptly where it reaches farthest in each direction, as it
            does at a true edge, or fades out.
        piece: uint8, shape of the grid, 1 where lit picture was found.
        margin_level: the grey level up to which a cell is margin; 0 for a frame without margin.
        brightness: uint8, shape of the grid: each cell's brightest colour.
        others: boxes (xyxy, pixels of the frame) of the pieces beside the picture that are no part of it: thumbnails,
            a second picture.
    """

    outline: Outline
    sharp: npt.NDArray[np.bool_]
    piece: Plane
    margin_level: int
    brightness: Plane
    others: tuple[Rectangle, ...] = ()


@dataclass(frozen=True, eq=False)
class Memory:
    """What earlier frames of the same video tell about where its picture is.

    Attributes:
        outline: of the picture.
        others: boxes (xyxy, pixels of the frame) of pieces that were seen beside it, and are not it.
    """

    outline: Outline
    others: tuple[Rectangle, ...] = ()


def find_field_of_view(image: AnyPicture) -> FieldOfView:
    """Find the box and mask of the endoscope's picture in one frame, without memory of others.

    Args:
        image: of any size: BGR uint8, shape (height, width, 3), or as it was decoded.

    Returns:
        The field of view; `has_picture` is False, and the box empty, for a frame that shows nothing: black, of one
        flat colour, or a bright room.

    Raises:
        InputError: the image is no BGR uint8 picture.

    Example:
        >>> find_field_of_view(read_picture("frame.png")).has_picture
        True
    """
    sighting = look_at(image)
    return NO_PICTURE if sighting is None else field_of(sighting.outline, sighting.others)


def field_of(outline: Outline, others: tuple[Rectangle, ...]) -> FieldOfView:
    """Return the field of view of an outline, with those pieces beside it that may be meant as well as the picture.

    Args:
        outline: of the picture.
        others: boxes (xyxy, pixels of the frame) of the pieces beside it; thumbnails are left out.
    """
    least = _SECOND * _area(outline.box_xyxy())
    return replace(outline.field_of_view(), beside_xyxy=tuple(other for other in others if _area(other) > least))


def look_at(image: AnyPicture, memory: Memory | None = None) -> Sighting | None:
    """Find the endoscope's picture in a frame; None when it shows nothing.

    Where several pieces can be the picture, it is the one that the memory names, unless another one is far larger than
    the whole picture was; without a memory the largest, and of two that are about as large the left one.

    Args:
        image: BGR uint8, shape (height, width, 3), or as it was decoded.
        memory: of earlier frames of the same size; None for a frame by itself.

    Raises:
        InputError: the image is no BGR uint8 picture.
    """
    picture = picture_of(image)
    cells = _grid_of(picture)
    sighting = _find_picture(cells, memory, resolution_wh=picture.resolution_wh)
    if sighting is None:
        return None
    step = 1 + max(cells.shape) // 96
    inside = sighting.piece[::step, ::step].view(np.bool_)
    return sighting if shows_tissue(cells[::step, ::step][inside]) else None


def shows_tissue(colours: Image) -> bool:
    """Say whether colours can be those of tissue; True in doubt.

    Two things clearly are none: one flat colour (a screen without signal), and a bright, pale scene without anything
    warm in it (a room). Blue dye, narrow-band light and grey pictures pass.

    Args:
        colours: BGR uint8, shape (N, 3): the picture's cells or a sample of them.
    """
    sample = colours[:: len(colours) // _SAMPLE + 1].astype(np.int16)
    if not len(sample):
        return False
    distance = np.abs(sample - np.median(sample, axis=0)).max(axis=1)
    if float(np.mean(distance <= _FLAT_TOLERANCE)) > _FLAT_SHARE:
        return False
    blue, green, red = sample.T
    brightness = sample.max(axis=1)
    chroma = brightness - sample.min(axis=1)
    bright = float(np.median(brightness)) > 100
    pale = float(np.median(chroma)) < 0.1 * float(np.median(brightness))
    coloured = float(np.percentile(chroma, 90)) > 8  # a grey picture tells nothing by its colours
    warm = float(np.mean((red > blue + 10) & (red >= green - 4)))
    return not (bright and pale and coloured and warm < 0.01)


def _grid_of(picture: Picture) -> Image:
    """Return a frame as at most 256 cells a side, each the mean colour of four of its pixels."""
    width, height = picture.resolution_wh
    cell_px = math.ceil(max(height, width) / _GRID_CELLS)
    if cell_px == 1:
        return picture.to_bgr()
    columns, rows = max(round(width / cell_px), 1), max(round(height / cell_px), 1)
    # The mean of four pixels quietens noise enough, and costs the same for every size of frame.
    pixels = picture.sampled((2 * columns, 2 * rows))
    return cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _find_picture(cells: Image, memory: Memory | None, *, resolution_wh: tuple[int, int]) -> Sighting | None:
    """Find what is brighter than a margin in the cells of a frame; None when nothing is."""
    blue, green, red = (plane.astype(np.uint8, copy=False) for plane in cv2.split(cells))
    brightness = cv2.max(cv2.max(blue, green), red).astype(np.uint8, copy=False)
    level = _margin_level(brightness)
    if level is None:
        everywhere = np.ones_like(brightness)
        sharp = np.ones(len(NORMALS), np.bool_)
        return Sighting(Outline.whole(resolution_wh), sharp, everywhere, margin_level=0, brightness=brightness)
    content = cv2.threshold(brightness, level, 1, cv2.THRESH_BINARY)[1].astype(np.uint8, copy=False)
    boxes = _drawn_boxes(blue, green, red)
    for x1, y1, x2, y2 in boxes:
        content[max(y1 - 1, 0) : y2 + 1, max(x1 - 1, 0) : x2 + 1] = 0
    rows, columns = content.shape
    scale_xy = np.array([resolution_wh[0] / columns, resolution_wh[1] / rows])
    found = _largest_piece(content, brightness, memory, level=level, scale_xy=scale_xy)
    if found is None:
        return None
    piece, beside = found
    x, y, width, height = cv2.boundingRect(piece)
    covers = [
        _in_frame(box, scale_xy)
        for box in [*boxes, *_covered_corners(piece, (x, y, x + width, y + height))]
        if box[0] < x + width and box[1] < y + height and box[2] > x and box[3] > y
    ]
    hull = _hull(piece)
    points = np.concatenate([hull + corner for corner in ((0, 0), (1, 0), (0, 1), (1, 1))])
    return Sighting(
        Outline.around(points * scale_xy, resolution_wh=resolution_wh, covers=tuple(covers)),
        _sharp_edges(brightness, hull, level=level),
        piece,
        margin_level=level,
        brightness=brightness,
        others=tuple(_in_frame(box, scale_xy) for box in beside),
    )


def _in_frame(cells_xyxy: Rectangle, scale_xy: npt.NDArray[np.float64]) -> Rectangle:
    """Return a box of cells in pixels of the frame."""
    x1, y1, x2, y2 = cells_xyxy
    left, top, right, bottom = np.rint([(x1, y1) * scale_xy, (x2, y2) * scale_xy]).astype(int).ravel().tolist()
    return left, top, right, bottom


def _margin_level(brightness: Plane) -> int | None:
    """Return the grey level up to which a cell is margin, None for a frame whose border shows no margin."""
    border = np.concatenate([brightness[0], brightness[-1], brightness[1:-1, 0], brightness[1:-1, -1]])
    dark = border[border < _DARKEST_CONTENT]
    if dark.size < _LEAST_MARGIN * border.size:
        return None
    # A margin is even: its commonest level stands out, however much of a dark lumen touches the border as well.
    commonest = int(np.bincount(dark).argmax())
    return _NOISE + int(np.percentile(dark[dark < commonest + _NOISIEST], 75))


def _drawn_boxes(blue: Plane, green: Plane, red: Plane) -> list[Rectangle]:
    """Find the flat green or blue rectangles in which a processor shows the instrument's position, in cells."""
    least, most = _LEAST_BOX * red.size, _LARGEST_BOX * red.size
    found = []
    for colour, other in ((green, blue), (blue, green)):
        cool = ((cv2.subtract(colour, red) > 40) & (colour >= other)).astype(np.uint8)
        if np.count_nonzero(cool) < least:
            continue
        closed = cv2.morphologyEx(cool, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))  # over the drawing inside it
        _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
        for number, (x, y, width, height, area) in enumerate(stats[1:].tolist(), start=1):
            if least <= area <= most and area >= 0.85 * width * height:
                tones = colour[labels == number]
                if float(np.median(np.abs(tones - np.median(tones)))) <= 8:  # mucosa under dye is never so even
                    found.append((x, y, x + width, y + height))
    return found


def _largest_piece(
    content: Plane, brightness: Plane, memory: Memory | None, *, level: int, scale_xy: npt.NDArray[np.float64]
) -> tuple[Plane, list[Rectangle]] | None:
    """Return the picture's piece of the content, without what is thin, as a plane of 0 and 1, and what is beside it."""
    opened = _opened(content, 2 * (max(content.shape) // 56) + 1)
    _, found_labels, found_stats, centres = cv2.connectedComponentsWithStats(opened)
    labels, stats = np.asarray(found_labels, np.int32), np.asarray(found_stats, np.int32)
    areas = stats[1:, cv2.CC_STAT_AREA]
    boxes: dict[int, Rectangle] = {}
    for number, (x, y, width, height, _) in enumerate(stats[1:].tolist(), start=1):
        boxes[number] = x, y, x + width, y + height
    large = (1 + np.flatnonzero(areas >= _LEAST_PICTURE * content.size)).tolist()
    foreign = set()
    if memory is not None:
        foreign = {number for number in boxes if is_one_of(_in_frame(boxes[number], scale_xy), memory.others)}
    chosen = _chosen(labels, stats, large, memory, foreign, scale_xy=scale_xy)
    if chosen is None:
        return None
    piece = np.equal(labels, chosen).astype(np.uint8)
    taken = {chosen}
    for number in (1 + np.flatnonzero(areas > _LEAST_PART * areas[chosen - 1])).tolist():
        part = np.equal(labels, number).astype(np.uint8)
        between = centres[number] - centres[chosen]
        if number not in taken | foreign and all(
            _fades(brightness, _hull(plane), towards=towards, level=level)
            for plane, towards in ((part, -between), (piece, between))
        ):
            piece |= part
            taken.add(number)
    return _without_thumbnails(piece), [boxes[number] for number in large if number not in taken]


def _chosen(
    labels: npt.NDArray[np.int32],
    stats: npt.NDArray[np.int32],
    large: list[int],
    memory: Memory | None,
    foreign: set[int],
    *,
    scale_xy: npt.NDArray[np.float64],
) -> int | None:
    """Return the number of the piece that is the picture, of those that are large enough; None for none."""
    area = stats[:, cv2.CC_STAT_AREA]
    if memory is not None and large:
        known = np.zeros(labels.shape, np.uint8)
        cv2.fillConvexPoly(known, np.rint(memory.outline.corners() / scale_xy).astype(np.int32), 1)
        inside = np.bincount(labels[known.view(np.bool_)], minlength=len(stats))
        near = max((number for number in large if number not in foreign), key=lambda number: inside[number], default=0)
        largest = max(large, key=lambda number: area[number])
        if near and inside[near] > 0 and area[largest] <= _FAR_LARGER * np.count_nonzero(known):
            return near
        if area[largest] <= _FAR_LARGER * np.count_nonzero(known):
            large = [number for number in large if number not in foreign]
    most = max((area[number] for number in large), default=0)
    alike = [number for number in large if area[number] >= _AS_LARGE * most]
    return min(alike, key=lambda number: stats[number, cv2.CC_STAT_LEFT], default=None)


def is_one_of(box: Rectangle, others: Iterable[Rectangle]) -> bool:
    """Say whether a box is about the same as one of some others."""
    for other in others:
        x1, y1, x2, y2 = (limit(*pair) for limit, *pair in zip((max, max, min, min), box, other, strict=True))
        common = max(x2 - x1, 0) * max(y2 - y1, 0)
        if common > _SECOND * max(_area(box), _area(other)):
            return True
    return False


def _area(box: Rectangle) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _fades(brightness: Plane, hull: Points, *, towards: Points, level: int) -> bool:
    """Say whether a piece fades out in a direction, into a dark lumen, rather than ending at an edge."""
    facing = NORMALS @ towards > 0.7 * np.hypot(*towards)
    return float(_sharp_edges(brightness, hull, level=level)[facing].mean()) < 0.5


def _without_thumbnails(piece: Plane) -> Plane:
    """Take off the smaller pictures, rectangles, that stick to the endoscope's picture by less than half of a side.

    Those that stick by more look like a part of the picture beside a cover, and stay.
    """
    if int(np.count_nonzero(piece)) > _CONVEX * cv2.contourArea(_hull(piece).astype(np.float32)):
        return piece
    _, _, width, height = cv2.boundingRect(piece)
    side = 2 * min(width, height) // 5  # larger than a thumbnail
    core = _opened(piece, side)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(_opened(piece - core, side // 8))
    for number, (_, _, columns, rows, area) in enumerate(stats[1:].tolist(), start=1):
        if min(columns, rows) > side // 4 and area > 0.9 * columns * rows:
            part = np.equal(labels, number)
            around = cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8))  # two cells wide
            if 0 < np.count_nonzero(np.logical_and(around, core)) < min(columns, rows):
                piece[part] = 0
    return piece


def _opened(plane: Plane, side: int) -> Plane:
    """Return what of a plane of 0 and 1 squares of a side can cover.

    Squares cover octagons and circles whole. Beyond the frame counts as 0: a rule along the frame's edge is thin, too.
    """
    kernel = np.ones((side | 1, side | 1), np.uint8)  # odd, so that nothing is shifted
    opened = cv2.morphologyEx(plane, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return opened.astype(np.uint8, copy=False)


def _hull(piece: Plane) -> Points:
    """Return the outermost cells of a piece, shape (N, 2), x and y."""
    contours, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return cv2.convexHull(np.concatenate(contours))[:, 0].astype(np.float64)


def _sharp_edges(brightness: Plane, hull: Points, *, level: int) -> npt.NDArray[np.bool_]:
    """Say for each direction whether the picture ends abruptly at its farthest cell (beyond the frame is margin)."""
    rows, columns = brightness.shape
    farthest = hull[(hull @ NORMALS.T).argmax(axis=0)]
    inside = np.rint(farthest - 3 * NORMALS).astype(int)
    outside = np.rint(farthest + 2 * NORMALS).astype(int)
    lit: npt.NDArray[np.bool_] = _levels_at(brightness, inside) > level + _SHARP
    beyond = ((outside < 0) | (outside >= (columns, rows))).any(axis=1)
    sharp: npt.NDArray[np.bool_] = lit & (beyond | (_levels_at(brightness, outside) <= level))
    return sharp


def _levels_at(brightness: Plane, points: npt.NDArray[np.int64]) -> Plane:
    """Return the grey levels at points (shape (N, 2), x and y), or at the nearest in the frame."""
    rows, columns = brightness.shape
    levels: Plane = brightness[points[:, 1].clip(0, rows - 1), points[:, 0].clip(0, columns - 1)]
    return levels


def _covered_corners(piece: Plane, box_xyxy: Rectangle) -> list[Rectangle]:
    """Find the black rectangles, up to three to a corner, that were laid over the corners of the picture's box."""
    x1, y1, x2, y2 = box_xyxy
    found = []
    for corner_x, towards_x in ((x1, 1), (x2, -1)):
        for corner_y, towards_y in ((y1, 1), (y2, -1)):
            inside = piece[y1:y2, x1:x2][::towards_y, ::towards_x]  # turned so that the corner is its top left one
            least = _LEAST_COVER * min(inside.shape)
            columns, rows = _black_rectangle(inside, least=least)
            if not columns:
                continue
            # A cover is often a stair: look again beside and below the largest step.
            beside = _black_rectangle(inside[:, columns:], least=least / 3)
            below = _black_rectangle(inside[rows:], least=least / 3)
            for left, top, width, height in ((0, 0, columns, rows), (columns, 0, *beside), (0, rows, *below)):
                if width:
                    xs = sorted((corner_x + towards_x * left, corner_x + towards_x * (left + width)))
                    ys = sorted((corner_y + towards_y * top, corner_y + towards_y * (top + height)))
                    found.append((xs[0], ys[0], xs[1], ys[1]))
    return found


def _black_rectangle(inside: Plane, *, least: float) -> tuple[int, int]:
    """Return the columns and rows of the largest black rectangle at a plane's top left corner, (0, 0) when not drawn.

    A drawn one has picture along both of its inner sides; an octagon's corner or a dark lumen touches them in a point.
    """
    height, width = inside.shape
    few = math.ceil(max(least, 3))
    if min(width, height) < few or inside[:few, :few].any():
        return 0, 0
    black = np.minimum.accumulate(np.where(inside.any(axis=1), inside.argmax(axis=1), width))
    rows = 1 + int((black * np.arange(1, height + 1)).argmax())
    columns = int(black[rows - 1])
    if min(columns, rows) < few:
        return 0, 0
    near = max(min(width, height) // 48, 1)
    beside = float(inside[:rows, columns : columns + near].any(axis=1).mean())
    below = float(inside[rows : rows + near, :columns].any(axis=0).mean())
    return (columns, rows) if min(beside, below) > 0.15 and beside + below > 1 else (0, 0)
