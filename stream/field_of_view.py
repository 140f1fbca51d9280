"""Finds the field of view in one picture: where the endoscope's picture is, and where margin, text and boxes are.

All work is done on a grid of at most 256 cells a side, so that its cost hardly depends on the frame's size:

1. The margin's grey level is read off the frame's border (16, 20 and 25 are as common as 0).
2. What is brighter is content, less the flat boxes that a processor draws (position box), and, by an opening, less all
   that is thin (text, rules). The largest connected piece is the picture; a thumbnail is a piece of its own.
3. The outline is the piece's convex hull, so that a dark lumen inside or at a side does not dent it.
4. Black rectangles at the outline's corners (a position box that was blackened) are taken from the mask.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import numpy.typing as npt

from engine.errors import InputError
from stream.frame import FieldOfView, Image
from stream.outline import Outline, Rectangle

Plane = npt.NDArray[np.uint8]

_GRID_CELLS = 256  # along the longer side, at most: an edge is known to 2 px in a 480 px frame, to 8 px in 1080p
_DARKEST_CONTENT = 48  # a margin is darker than this grey level
_LEAST_MARGIN = 0.02  # of the frame's border must be dark before a margin is believed in
_NOISE = 6  # grey levels above its own that ringing and compression noise lift a margin
_LEAST_PICTURE = 0.01  # of the frame must be lit, else it shows nothing
_LEAST_BOX, _LARGEST_BOX = 0.005, 0.2  # of the frame: a position box
_LEAST_CUT = 0.04  # of the picture's shorter side: how deep a black rectangle reaches into the outline at least


def find_field_of_view(image: Image) -> FieldOfView:
    """Find the box and mask of the endoscope's picture in one frame, without memory of others.

    Args:
        image: BGR uint8, shape (height, width, 3), of any size.

    Returns:
        The field of view; `has_picture` is False, and the box empty, for frames that show nothing: black, one flat
        colour, or a bright room.

    Raises:
        InputError: the image is no BGR uint8 picture.
    """
    cells = grid_of(image)
    height, width = image.shape[:2]
    outline = find_outline(cells, resolution_wh=(width, height))
    if outline is None or not shows_tissue(cells):
        return no_picture()
    return outline.field_of_view()


def no_picture() -> FieldOfView:
    """Return the field of view of a frame that shows nothing."""
    return FieldOfView((0, 0, 0, 0), has_picture=False)


def grid_of(image: Image) -> Image:
    """Return a frame as at most 256 cells a side, each the mean colour of its pixels (of some of them above 1080p)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"a frame must be BGR uint8 of shape (height, width, 3), not {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    pixels_a_cell = math.ceil(max(height, width) / _GRID_CELLS)
    if pixels_a_cell == 1:
        return image
    columns, rows = max(round(width / pixels_a_cell), 1), max(round(height / pixels_a_cell), 1)
    stride = max(pixels_a_cell // 4, 1)
    pixels = np.ascontiguousarray(image[::stride, ::stride])
    return cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def find_outline(cells: Image, *, resolution_wh: tuple[int, int]) -> Outline | None:
    """Find the outline of the endoscope's picture.

    Args:
        cells: the frame as `grid_of` gives it, or the brightest values of several frames' cells.
        resolution_wh: width and height of the frame in pixels.

    Returns:
        The outline, in pixels of the frame; None when there is nothing brighter than a margin.
    """
    brightness = cells.max(axis=2)
    level = _margin_level(brightness)
    if level is None:
        return Outline.whole(resolution_wh)
    content = (brightness > level).astype(np.uint8)
    boxes = _drawn_boxes(cells)
    for x1, y1, x2, y2 in boxes:
        content[max(y1 - 1, 0) : y2 + 1, max(x1 - 1, 0) : x2 + 1] = 0
    piece = _largest_piece(content)
    if piece is None:
        return None
    rows, columns = piece.shape
    scale_xy = np.array([resolution_wh[0] / columns, resolution_wh[1] / rows])
    points = _corner_points(piece)
    covers = []
    for x1, y1, x2, y2 in [*boxes, *_cut_corners(piece, Outline.around(points, (columns, rows)))]:
        (left, top), (right, bottom) = np.rint([(x1, y1) * scale_xy, (x2, y2) * scale_xy]).astype(int).tolist()
        covers.append((left, top, right, bottom))
    return dataclasses.replace(Outline.around(points * scale_xy, resolution_wh), covers=tuple(covers))


def shows_tissue(cells: Image) -> bool:
    """Say whether a frame, as `grid_of` gives it, can be a view of tissue; doubtful frames can."""
    return True


def _margin_level(brightness: Plane) -> int | None:
    """Return the grey level up to which a cell is margin, None for a frame whose border shows no margin."""
    border = np.concatenate([brightness[0], brightness[-1], brightness[1:-1, 0], brightness[1:-1, -1]])
    dark = border[border < _DARKEST_CONTENT]
    if dark.size < _LEAST_MARGIN * border.size:
        return None
    counts = np.bincount(dark, minlength=_DARKEST_CONTENT)
    level = int(np.convolve(counts, [1, 1, 1], mode="same").argmax())
    # What is darker than the margin's usual level tells how far its noise goes to the bright side.
    spread = level - int(np.percentile(dark, 10))
    return level + _NOISE + min(max(spread, 0), _NOISE)


def _drawn_boxes(cells: Image) -> list[Rectangle]:
    """Find the flat green or blue rectangles in which a processor shows the instrument's position, in cells."""
    blue, green, red = (cells[:, :, channel].astype(np.int16) for channel in range(3))
    found = []
    for colour, other in ((green, blue), (blue, green)):
        cool = ((colour - red > 40) & (colour >= other)).astype(np.uint8)
        if np.count_nonzero(cool) < _LEAST_BOX * cool.size:
            continue
        closed = cv2.morphologyEx(cool, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))  # over the drawing inside it
        _, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
        for number, (x, y, width, height, area) in enumerate(stats[1:].tolist(), start=1):
            if _LEAST_BOX * cool.size <= area <= _LARGEST_BOX * cool.size and area >= 0.85 * width * height:
                tones = colour[labels == number]
                if np.median(np.abs(tones - np.median(tones))) <= 8:  # mucosa under dye is never so even
                    found.append((x, y, x + width, y + height))
    return found


def _largest_piece(content: Plane) -> Plane | None:
    """Return the largest connected piece of the content as a plane of 0 and 1, without what is thin."""
    width = 2 * (max(content.shape) // 56) + 1
    kernel = np.ones((width, width), np.uint8)
    # Beyond the frame counts as margin: a rule along the frame's edge is thin as well.
    opened = cv2.morphologyEx(content, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not areas.size or areas.max() < _LEAST_PICTURE * content.size:
        return None
    return (labels == 1 + int(areas.argmax())).astype(np.uint8)


def _corner_points(piece: Plane) -> npt.NDArray[np.float64]:
    """Return the corner points of a piece's outermost cells, shape (N, 2)."""
    contours, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cells = cv2.convexHull(contours[0])[:, 0].astype(np.float64)
    return np.concatenate([cells + corner for corner in ((0, 0), (1, 0), (0, 1), (1, 1))])


def _cut_corners(piece: Plane, outline: Outline) -> list[Rectangle]:
    """Find the black rectangles that were laid over the corners of the outline's box, in cells."""
    x1, y1, x2, y2 = outline.box_xyxy
    found = []
    for right in (False, True):
        for bottom in (False, True):
            # The box, turned so that its corner is the top left one.
            inside = piece[y1:y2, x1:x2][:: -1 if bottom else 1, :: -1 if right else 1]
            height, width = inside.shape
            lit = inside.any(axis=1)
            black = np.minimum.accumulate(np.where(lit, inside.argmax(axis=1), width))
            rows = 1 + int((black * np.arange(1, height + 1)).argmax())
            columns = int(black[rows - 1])
            x, y = (x2 - columns if right else x1 + columns), (y2 - rows if bottom else y1 + rows)
            if outline.depth(x, y) < _LEAST_CUT * min(width, height):
                continue  # no more than the octagon's own corner
            beside, below = inside[:rows, columns : columns + 2], inside[rows : rows + 2, :columns]
            # A drawn rectangle has picture along both of its inner sides; a dark lumen touches them in a point.
            if beside.any(axis=1).mean() > 0.6 and below.any(axis=0).mean() > 0.6:
                found.append((min(x, x2 if right else x1), min(y, y2 if bottom else y1),
                              max(x, x2 if right else x1), max(y, y2 if bottom else y1)))
    return found
