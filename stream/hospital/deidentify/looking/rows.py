"""Rows of signs: pieces of about one height, side by side, from left to right, upwards or downwards.

Where specks of glare lie around a word, Tesseract does not see it on a whole picture, however clear its letters are. So
each row is cut out, turned level, and set on a page with the others, which Tesseract reads quickly. A long row that is
as even as print needs no reading: it may be in letters that no installed language has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Plane
from stream.hospital.deidentify.looking.drawings import Drawing
from stream.hospital.deidentify.looking.recogniser import Word

_HEIGHT_PX = 36  # of a row on the page
_GAP_PX = 28  # between rows, and around them
_LONGEST_PX = 1400  # of a row on the page
_LOWEST_PX, _HIGHEST = 7, 0.1  # of a sign: pixels of the drawing, and share of its longer side
_LEAST_PIECES = 3  # of a row
_BESIDE, _INTO = 0.9, 0.35  # gap of two neighbours, and how far one may reach into the other, in heights
_OVERLAP = 0.6  # of the lower one's height, that two neighbours share
_TALLER = 1.9  # times as high at most as its neighbour
_SLANT = 0.28  # of the height: standard deviation of the pieces' middles around a straight line
_LEAST_LENGTH = 1.5  # of a row, in heights
_MOST = 40  # rows of a page, the most even first
#: Print has this many pieces, and for each but one no more than this unevenness, and never more than the last. Of 72
#: frames of six sets without text inside the field, tissue was print in none.
_PRINT_PIECES, _UNEVEN_A_PIECE, _MOST_UNEVEN = 6, 0.05, 0.4
#: Of the rest of a line, in the height of what is known of it: gaps between signs, and how high they are.
_GAP, _SHORTEST, _TALLEST = 0.8, 0.5, 1.3
_ABOVE, _BELOW = 0.4, 0.25  # of the height, that belongs to a row: accents, commas

Int32s: TypeAlias = npt.NDArray[np.int32]
Sides: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row of signs.

    Attributes:
        drawing: in which it stands.
        level_xyxy: its box in pixels of the drawing, which is turned to the left when the row stands.
        is_standing: whether it reads downwards or upwards.
        picture: of it, level, 0 on 255.
        pieces: of which it is made.
        unevenness: 0 for print, more for specks that happen to lie in a row.
    """

    drawing: Drawing
    level_xyxy: Sides
    is_standing: bool
    picture: Plane
    pieces: int
    unevenness: float

    @property
    def is_print(self) -> bool:
        """Whether it is text whatever can be read in it."""
        most = min(_UNEVEN_A_PIECE * (self.pieces - 1), _MOST_UNEVEN)
        return self.pieces >= _PRINT_PIECES and self.unevenness <= most

    @property
    def box_xyxy(self) -> Sides:
        """In pixels of the drawing."""
        return self._turned_back(self.level_xyxy)

    def whole_box(self) -> Sides:
        """The same with the rest of its line."""
        signs = np.rot90(self.drawing.signs) if self.is_standing else self.drawing.signs
        return self._turned_back(with_rest_of_line(self.level_xyxy, signs))

    def _turned_back(self, box: Sides) -> Sides:
        x1, y1, x2, y2 = box
        width = self.drawing.signs.shape[1]
        return (width - y2, x1, width - y1, x2) if self.is_standing else box


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Rows, one below the other.

    Attributes:
        picture: 0 on 255.
        rows: on it, from the top.
        tops: where the place of each begins; it ends where the next one begins.
    """

    picture: Plane
    rows: tuple[Row, ...]
    tops: tuple[int, ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Page | None:
        """The page with the most even of some rows; None where there is none."""
        chosen = sorted(rows, key=lambda row: row.unevenness)[:_MOST]
        if not chosen:
            return None
        width = max(row.picture.shape[1] for row in chosen) + 2 * _GAP_PX
        places: list[Plane] = []
        for row in chosen:
            place = np.full((row.picture.shape[0] + _GAP_PX, width), 255, np.uint8)
            place[_GAP_PX:, _GAP_PX : _GAP_PX + row.picture.shape[1]] = row.picture
            places.append(place)
        tops = accumulate((len(place) for place in places[:-1]), initial=0)
        end = np.full((_GAP_PX, width), 255, np.uint8)
        return cls(np.vstack([*places, end]), tuple(chosen), tuple(tops))

    def by_row(self, words: Iterable[Word]) -> list[tuple[Row, list[Word]]]:
        """Its rows, with the words that were read in each."""
        read: list[tuple[Row, list[Word]]] = [(row, []) for row in self.rows]
        for word in words:
            middle = (word.box_xyxy[1] + word.box_xyxy[3]) / 2
            read[bisect_right(self.tops, middle) - 1][1].append(word)
        return read


def rows_of(drawing: Drawing) -> list[Row]:
    """The rows of a drawing: level ones, and standing ones, which may read downwards or upwards."""
    standing = [*_rows(drawing, is_standing=True)]
    upwards = [replace(row, picture=np.ascontiguousarray(row.picture[::-1, ::-1])) for row in standing]
    return [*_rows(drawing, is_standing=False), *standing, *upwards]


def with_rest_of_line(box: Sides, signs: Plane) -> Sides:
    """A word's box with the signs beside it that Tesseract has not read: of about its height, no wider apart than that.

    Args:
        box: in pixels of the drawing.
        signs: the drawing, 0 on 255.
    """
    x1, y1, x2, y2 = (round(side) for side in box)
    height = max(y2 - y1, 1)
    top = max(y1 - height // 2, 0)
    strip = np.equal(signs[top : y2 + height // 2], 0).astype(np.uint8)
    _, _, stats, centres = cv2.connectedComponentsWithStats(strip, connectivity=8)
    pieces = [
        (x, x + across)
        for (x, _, across, down, _), (_, middle) in zip(stats[1:].tolist(), centres[1:], strict=True)
        if _SHORTEST * height <= down <= _TALLEST * height and across <= 2 * height and y1 <= middle + top <= y2
    ]
    gap = _GAP * height
    while beside := [
        one for one in pieces if x1 - gap <= one[1] and one[0] <= x2 + gap and (one[0] < x1 or one[1] > x2)
    ]:
        x1, x2 = min([x1, *(left for left, _ in beside)]), max([x2, *(right for _, right in beside)])
    return x1, y1, x2, y2


def _rows(drawing: Drawing, *, is_standing: bool) -> Iterator[Row]:
    """Level rows, or those that stand, read downwards."""
    signs = np.ascontiguousarray(np.rot90(drawing.signs)) if is_standing else drawing.signs
    _, found, measured, _ = cv2.connectedComponentsWithStats(np.equal(signs, 0).astype(np.uint8), connectivity=8)
    labels, stats = np.asarray(found, np.int32), np.asarray(measured, np.int32)
    fits = (stats[:, cv2.CC_STAT_HEIGHT] >= _LOWEST_PX) & (stats[:, cv2.CC_STAT_HEIGHT] <= _HIGHEST * max(signs.shape))
    fits[0] = False
    boxes = stats[fits, :4]
    for group in _groups(boxes):
        members = boxes[group]
        x1, y1 = members[:, :2].min(axis=0).tolist()
        x2, y2 = (members[:, :2] + members[:, 2:]).max(axis=0).tolist()
        height = float(np.median(members[:, 3]))
        slant = _slant(members) / height
        if len(group) < _LEAST_PIECES or slant > _SLANT or x2 - x1 < _LEAST_LENGTH * height:
            continue
        top, bottom = max(int(y1 - _ABOVE * height), 0), int(y2 + _BELOW * height)
        picture = _level_picture(labels[top:bottom, x1:x2], stats, height)
        unevenness = slant + float(members[:, 3].std()) / height
        yield Row(drawing, (x1, y1, x2, y2), is_standing, picture, len(group), unevenness)


def _level_picture(labels: Int32s, stats: Int32s, height: float) -> Plane:
    """A row alone: what lies in its box and is no higher than a sign."""
    low = stats[:, cv2.CC_STAT_HEIGHT] <= _TALLER * height
    low[0] = False
    picture: Plane = np.where(low[labels], 0, 255).astype(np.uint8)
    scale = min(_HEIGHT_PX / picture.shape[0], _LONGEST_PX / picture.shape[1])
    size_wh = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size_wh, interpolation=method), np.uint8)


def _slant(members: Int32s) -> float:
    """Standard deviation of the pieces' middles around a straight line, in pixels."""
    x, y = members[:, 0] + members[:, 2] / 2, members[:, 1] + members[:, 3] / 2
    spread = np.square(x - x.mean()).sum()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread) if spread else 0.0
    return float((y - y.mean() - slope * (x - x.mean())).std())


def _groups(boxes: Int32s) -> list[list[int]]:
    """Pieces that follow each other: each is joined with the nearest one on its right that fits."""
    order = np.argsort(boxes[:, 0], kind="stable")
    x, y, width, height = boxes.T.astype(np.float32)
    follows = np.full(len(boxes), -1)
    for place in order:
        higher, lower = np.maximum(height, height[place]), np.minimum(height, height[place])
        gap = x - x[place] - width[place]
        shared = np.minimum(y + height, y[place] + height[place]) - np.maximum(y, y[place])
        fits = (x > x[place]) & (gap >= -_INTO * higher) & (gap <= _BESIDE * higher)
        fits &= (shared >= _OVERLAP * lower) & (higher <= _TALLER * lower)
        if fits.any():
            follows[place] = int(np.flatnonzero(fits)[np.argmin(x[fits])])
    groups: dict[int, list[int]] = {}
    group_of: dict[int, int] = {}
    for place in order.tolist():
        group = group_of.setdefault(place, place)
        groups.setdefault(group, []).append(place)
        if follows[place] >= 0:
            group_of.setdefault(int(follows[place]), group)
    return list(groups.values())
