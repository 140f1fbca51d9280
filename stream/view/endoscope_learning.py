"""Learns a processor's layout from one of its recordings: where the picture is, what covers it, where text stands."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.errors import InputError
from stream.sources.opening import open_source
from stream.view.endoscope import EndoscopePreset, check_name
from stream.view.field_of_view import Sighting, look_at
from stream.view.outline import Outline, Rectangle

_MOST_FRAMES = 150  # that are looked at, spread over the recording
_LEAST_SIGHTINGS = 5
_REACH_PERCENTILE = 90  # over the sightings: dark scenes show less of the picture, nothing shows more of it
_STEADY_SHARE = 0.5  # of the sightings have a cover that belongs to the layout
_NEAR_CELLS = 3.0
_BLACK = 16  # the brightest black of video
# Text is still while the picture behind it moves (standard deviations in grey levels), and brighter than that.
_STILL, _MOVING, _BRIGHTER = 10.0, 12.0, 25.0
_LEAST_TEXT, _LARGEST_TEXT = 0.0002, 0.05  # of the frame


class _Brightness:
    """Mean and spread of each pixel's grey level over frames, without keeping the frames (Welford 1962)."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.count = 0
        self.mean = np.zeros(shape, np.float32)
        self._squares = np.zeros(shape, np.float32)

    def add(self, image: Image) -> None:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
        self.count += 1
        step = grey - self.mean
        self.mean += step / self.count
        self._squares += step * (grey - self.mean)

    @property
    def deviation(self) -> npt.NDArray[np.float32]:
        return np.sqrt(self._squares / max(self.count, 1)).astype(np.float32)


def learn_preset(video: str, name: str) -> EndoscopePreset:
    """Learns a preset.

    Args:
        video: recording of the processor, best with some movement and light.
        name: that the preset will have.

    Raises:
        InputError: the name cannot be a file's, the recording cannot be read, its frames change their size, or it
            shows a picture too rarely.
    """
    check_name(name)
    sightings: list[Sighting] = []
    brightness: _Brightness | None = None
    with open_source(video) as source:
        step = max((source.info.frame_count or 0) // _MOST_FRAMES, 1)
        for frame in source:
            if frame.index % step:
                continue
            if brightness is None:
                brightness = _Brightness(frame.picture.shape[:2])
            if frame.picture.shape[:2] != brightness.mean.shape:
                raise InputError(f"the frames of {video!r} change their size; learn from a recording of one layout")
            sighting = look_at(frame.picture)
            if sighting is not None:
                sightings.append(sighting)
                brightness.add(frame.image)
    if brightness is None or len(sightings) < _LEAST_SIGHTINGS:
        raise InputError(
            f"{video!r} shows an endoscope's picture in {len(sightings)} of the frames looked at, and "
            f"{_LEAST_SIGHTINGS} are needed; learn from a longer or brighter recording"
        )
    outline = _outline_of(sightings)
    level = max(round(float(np.median([sighting.margin_level for sighting in sightings]))), _BLACK)
    return EndoscopePreset(name, outline, _text_areas(brightness, outline, level=level), level)


def _outline_of(sightings: Sequence[Sighting]) -> Outline:
    reach = np.percentile([sighting.outline.reach for sighting in sightings], _REACH_PERCENTILE, axis=0)
    known = sightings[0].outline
    return Outline(reach, known.resolution_wh, _steady_covers(sightings, near_px=_NEAR_CELLS * known.cell_px))


def _steady_covers(sightings: Sequence[Sighting], *, near_px: float) -> tuple[Rectangle, ...]:
    """The covers that most sightings have, each the median of what was seen of it."""
    seen: list[list[Rectangle]] = []
    for sighting in sightings:
        for cover in sighting.outline.covers:
            alike = [one for one in seen if np.abs(np.subtract(one[0], cover)).max() <= near_px]
            if alike:
                alike[0].append(cover)
            else:
                seen.append([cover])
    steady = [one for one in seen if len(one) >= _STEADY_SHARE * len(sightings)]
    return tuple(_rectangle(np.median(one, axis=0)) for one in steady)


def _rectangle(sides: npt.NDArray[np.float64]) -> Rectangle:
    x1, y1, x2, y2 = (round(float(side)) for side in sides)
    return x1, y1, x2, y2


def _text_areas(brightness: _Brightness, outline: Outline, *, level: int) -> tuple[Rectangle, ...]:
    """Boxes around what is still: over the picture, what is brighter than its moving surroundings; else than margin."""
    mean, deviation = brightness.mean, brightness.deviation
    height, width = mean.shape
    side = max(round(max(width, height) / 24), 9) | 1
    around = cv2.blur(mean, (side, side))
    # The median of the surroundings would do better than their mean, but costs far more; text is thin anyway.
    moving = cv2.blur(deviation, (side, side)) > _MOVING
    inside = np.zeros(mean.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.rint(outline.corners()).astype(np.int32), 1)
    text = np.where(inside > 0, moving & (mean - around > _BRIGHTER), mean > level + _BRIGHTER)
    still = text & (deviation < _STILL)
    gap = max(round(max(width, height) / 60), 3)
    joined = cv2.morphologyEx(
        still.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((max(gap // 2, 3), gap), np.uint8), borderValue=0
    )
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    areas: list[Rectangle] = []
    for x, y, columns, rows, _ in stats[1:].tolist():
        if _LEAST_TEXT * mean.size <= columns * rows <= _LARGEST_TEXT * mean.size:
            x1, y1 = max(x - 1, 0), max(y - 1, 0)
            areas.append((x1, y1, min(x + columns + 1, width), min(y + rows + 1, height)))
    return tuple(areas)
