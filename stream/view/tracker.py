"""Keeps the field of view of a video: steady from frame to frame, and following when the layout really changes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from engine.pictures.picture import AnyPicture, Picture
from stream.frame import FieldOfView, picture_of
from stream.view.field_of_view import NO_PICTURE, Memory, Sighting, field_of, is_one_of, look_at, shows_tissue
from stream.view.outline import NORMALS, Outline, Rectangle
from stream.view.shrinking import Shrinking

_QUIET_S = 0.4  # between two looks while they agree and nothing changes
_ALERT_S = 0.1  # between two looks otherwise
_JUMP_CELLS = 4.0  # a smaller difference between two looks may be noise
_CREEP_CELLS, _CREEP_LOOKS = 1.0, 4  # but so much growth in so many looks is none
_COVER_LOOKS = 3  # that agree on a cover's coming or going
_FIRM_LOOKS, _FIRM_CELLS = 3, 1.5  # that saw an edge sharp, and within so much of the same place: it is the picture's
_FIRM_SHARE = 0.5  # of the directions in which a picture reaches farther, at least, beyond firm edges: another layout
_OTHER_LOOKS = 3  # that agree on a piece beside the picture
_AWAY_S = 5.0  # without the picture, after which another piece may be it
_SEEN_THROUGH = 0.3  # of a cover's cells are lit picture: it is gone
_POINTS = 48  # along the longer side: what is looked at in every frame
_LEAST_LIT = 0.02  # of these points must be brighter than a margin, else the frame shows nothing
_BLACK = 16  # the brightest black of video


@dataclass(frozen=True, eq=False)
class _Look:
    time_s: float
    sighting: Sighting


class Glance:
    """Looks at some points inside a known field of view of a frame: is there a picture at all?"""

    def __init__(self, field: FieldOfView, *, resolution_wh: tuple[int, int]) -> None:
        """Chooses the points for a field of view in frames of a size."""
        self._inside = _points_inside(field, resolution_wh=resolution_wh)

    def shows_picture(self, image: AnyPicture, margin_level: int = _BLACK) -> bool:
        """Say whether the points of a frame can be tissue.

        Args:
            image: of the size that the points were chosen for: BGR uint8, or as it was decoded.
            margin_level: grey level up to which a point may be margin; at least the brightest black of video counts.
        """
        rows, columns = self._inside.shape
        colours = Picture.of(image).sampled((columns, rows))[self._inside]
        lit = colours[colours.max(axis=1) > max(margin_level, _BLACK)]
        return len(lit) >= _LEAST_LIT * len(colours) and shows_tissue(lit)


class FieldOfViewTracker:
    """Finds the field of view of each frame of one video.

    It looks at a frame by itself now and then, more often while what it sees differs from what it knows. A field that
    reaches farther in two looks, or a little farther in four, is believed: nothing but a picture is lit where a margin
    was. Where it reaches beyond edges that were seen sharp, the processor's layout was switched, and what was known is
    forgotten; where it reaches beyond an edge that was dark, the field grows. A smaller one is usually a dark scene; it
    is believed on the evidence that `Shrinking` gathers. Where several pieces could be the picture, it stays with the
    one that it knows. All other frames cost a glance at some points: is there a picture at all?

    The same `FieldOfView` object is returned until something changes, so that `is` tells whether a mask is still valid.

    Example:
        >>> tracker = FieldOfViewTracker()
        >>> fields = [tracker.update(frame.picture, frame.time_s) for frame in open_source("exam.mp4")]
    """

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque(maxlen=_CREEP_LOOKS)
        self._shrinking = Shrinking()
        self._firm = np.zeros(len(NORMALS), np.int64)  # looks that saw the known edge sharp, in each direction
        self._others: tuple[Rectangle, ...] = ()
        self._seen_s = -math.inf
        self._outline: Outline | None = None
        self._field = NO_PICTURE
        self._glance = Glance(NO_PICTURE, resolution_wh=(1, 1))
        self._last_s = -math.inf
        self._next_look_s = -math.inf

    def update(self, image: AnyPicture, time_s: float) -> FieldOfView:
        """Return the field of view of the next frame.

        Args:
            image: BGR uint8, shape (height, width, 3), or as it was decoded. Its size may change.
            time_s: presentation time in seconds. When it goes back, as after a seek, this frame is looked at.

        Raises:
            InputError: the image is no BGR uint8 picture.
        """
        picture = picture_of(image)
        if self._outline is not None and self._outline.resolution_wh != picture.resolution_wh:
            self._outline = None
        if self._outline is None or time_s < self._last_s:
            self._forget()
            self._next_look_s = time_s
        self._last_s = time_s
        if time_s >= self._next_look_s:
            self._next_look_s = time_s + (_QUIET_S if self._look(picture, time_s) else _ALERT_S)
        return self._field if self._outline is not None and self._shows_picture(picture) else NO_PICTURE

    def _forget(self) -> None:
        """Begin anew."""
        self._looks.clear()
        self._shrinking.clear()
        self._firm[:] = 0
        self._others, self._seen_s = (), -math.inf

    def _look(self, picture: Picture, time_s: float) -> bool:
        """Look for the picture in this frame alone, and follow what was seen; say whether it was nothing new."""
        if time_s - self._seen_s > _AWAY_S:
            self._others = ()
        sighting = look_at(picture, None if self._outline is None else Memory(self._outline, self._others))
        if sighting is None:
            return False
        self._seen_s = time_s
        self._looks.append(_Look(time_s, sighting))
        outline = sighting.outline if self._outline is None else self._followed(self._outline, time_s)
        self._note_edges(sighting, outline)
        if self._note_others(outline) or outline is not self._outline:
            self._outline = outline
            self._field = field_of(outline, self._others)
            self._glance = Glance(self._field, resolution_wh=outline.resolution_wh)
        return len(self._looks) >= _CREEP_LOOKS and _agree(sighting, outline)

    def _followed(self, known: Outline, time_s: float) -> Outline:
        """Return the outline after the newest look; the same object when nothing has changed."""
        newest = self._looks[-1].sighting
        smaller = self._shrinking.outline_after(newest, known, time_s)
        if smaller is not None:
            self._firm[:] = 0
            return smaller
        reaches = np.stack([look.sighting.outline.reach for look in self._looks])
        for looks, least_cells in ((2, _JUMP_CELLS), (_CREEP_LOOKS, _CREEP_CELLS)):
            grown = np.maximum(known.reach, reaches[-looks:].min(axis=0))
            beyond = grown - known.reach > least_cells * known.cell_px
            if len(reaches) < looks or not beyond.any():
                continue
            firm = self._firm >= _FIRM_LOOKS
            if least_cells == _JUMP_CELLS and (firm[beyond].mean() >= _FIRM_SHARE or _apart(newest.outline, known)):
                self._shrinking.clear()
                self._firm[:] = 0
                self._others = ()
                return replace(newest.outline, reach=reaches[-looks:].max(axis=0))
            self._firm[beyond] = 0
            known = replace(known, reach=grown)
        covers = self._followed_covers(known)
        return known if covers == known.covers else replace(known, covers=covers)

    def _note_edges(self, sighting: Sighting, outline: Outline) -> None:
        """Count the looks that saw the known edge at its place, and sharp."""
        at_edge = np.abs(sighting.outline.reach - outline.reach) <= _FIRM_CELLS * outline.cell_px
        self._firm[at_edge & sighting.sharp] += 1

    def _note_others(self, outline: Outline) -> bool:
        """Remember the pieces that the last looks saw beside the picture; say whether any came or went."""
        latest = [look.sighting for look in self._looks][-_OTHER_LOOKS:]
        if self._outline is None:  # the first look is believed
            self._others = latest[-1].others
            return True
        if len(latest) < _OTHER_LOOKS:
            return False
        kept = [other for other in self._others if not all(_seen_through(other, sighting) for sighting in latest)]
        kept += [
            other
            for other in latest[-1].others
            if all(is_one_of(other, sighting.others) for sighting in latest) and not is_one_of(other, kept)
        ]
        changed = tuple(kept) != self._others
        self._others = tuple(kept)
        return changed

    def _followed_covers(self, known: Outline) -> tuple[Rectangle, ...]:
        """Return the covers that were not seen through in the last looks, and the new ones that were seen in them."""
        latest = list(self._looks)[-_COVER_LOOKS:]
        kept = [cover for cover in known.covers if not all(_seen_through(cover, look.sighting) for look in latest)]
        for cover in latest[-1].sighting.outline.covers if len(latest) == _COVER_LOOKS else ():
            steady = all(_has_near(cover, look.sighting.outline.covers, known.cell_px) for look in latest)
            if steady and not _has_near(cover, kept, known.cell_px):
                kept.append(cover)
        return tuple(kept)

    def _shows_picture(self, picture: Picture) -> bool:
        """Glance at some points inside the known field of a frame."""
        return self._glance.shows_picture(picture, self._looks[-1].sighting.margin_level if self._looks else _BLACK)


def _points_inside(field: FieldOfView, *, resolution_wh: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which points of a coarse grid over the frame lie inside a field of view."""
    width, height = resolution_wh
    size_wh = tuple(max(side * _POINTS // max(width, height), 1) for side in resolution_wh)
    drawn = np.zeros((height, width), np.uint8) if field.mask is None else field.mask.view(np.uint8)
    if field.mask is None:
        x1, y1, x2, y2 = field.box_xyxy
        drawn[y1:y2, x1:x2] = 1
    return cv2.resize(drawn, size_wh, interpolation=cv2.INTER_NEAREST).astype(np.bool_)


def _apart(seen: Outline, known: Outline) -> bool:
    """Say whether two outlines have nothing in common."""
    left, top, right, bottom = seen.box_xyxy()
    x1, y1, x2, y2 = known.box_xyxy()
    return left >= x2 or right <= x1 or top >= y2 or bottom <= y1


def _agree(sighting: Sighting, known: Outline) -> bool:
    """Say whether what was seen is what is known."""
    seen, cell_px = sighting.outline, known.cell_px
    return (
        float(np.abs(seen.reach - known.reach).max()) <= _JUMP_CELLS * cell_px
        and all(_has_near(cover, known.covers, cell_px) for cover in seen.covers)
        and not any(_seen_through(cover, sighting) for cover in known.covers)
    )


def _has_near(cover: Rectangle, others: Iterable[Rectangle], cell_px: float) -> bool:
    """Say whether one of the other rectangles is the same but for the noise of finding it."""
    return any(max(abs(a - b) for a, b in zip(cover, other, strict=True)) <= 3 * cell_px for other in others)


def _seen_through(cover: Rectangle, sighting: Sighting) -> bool:
    """Say whether lit picture was found where a cover was known."""
    rows, columns = sighting.piece.shape
    width, height = sighting.outline.resolution_wh
    x1, x2 = (round(x * columns / width) for x in cover[::2])
    y1, y2 = (round(y * rows / height) for y in cover[1::2])
    part = sighting.piece[y1:y2, x1:x2]
    return part.size > 0 and float(part.mean()) > _SEEN_THROUGH
