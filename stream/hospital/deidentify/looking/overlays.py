"""Overlays that stand still while the scene moves: burned-in text, boxes, logos, also semi-transparent ones.

The edges of a scene that moves point in every direction over time, those of an overlay always in the same one. So an
edge is an overlay's where the mean of its gradient over some seconds is nearly as large as the mean of the gradient's
size (Dekel et al., "On the effectiveness of visible watermarks", CVPR 2017, use the median for the same).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Mask, Plane
from engine.pictures.picture import Box

SAMPLES_A_SECOND = 4
"""How often a frame is looked at."""

_LONGER_SIDE = 960  # pixels to which larger frames are shrunk
_WINDOW = 32  # samples of a moving scene that are judged together
_LEAST_SAMPLES = 12
_MOVED = 2.0  # grey levels, mean of a small picture, by which a scene has moved
_SMALL_WH = (64, 48)
_HIGHEST = 24.0  # levels a pixel to which a gradient is cut: no single sample decides
_EDGE = 5.0  # levels a pixel, least mean gradient of an overlay
_COHERENT = 0.6  # of the gradient's mean size
_MOST = 0.25  # of the field: more that stands still is a scene that hardly moved
_JOIN = 0.02  # of the longer side: signs become words, and edges boxes
_LEAST_EDGES = 12  # pixels of an overlay
#: A fold that hardly moves: its edges point one way (length of the mean of their directions), are faint (mean gradient,
#: levels a pixel) and not quite steady (mean share of the gradient's mean size). Strokes have an edge on either side,
#: and what is drawn has sharp ones.
_ONE_WAY, _FAINT, _UNSTEADY = 0.6, 10.0, 0.8

Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Overlay:
    """Something that stands still.

    Attributes:
        box_xyxy: whole pixels of the frame.
        first: index of the first frame for which that is known.
        last: index of the last one.
    """

    box_xyxy: Box
    first: int
    last: int


@dataclass(slots=True)
class _Sums:
    """Of the samples of a window."""

    across: Float32s
    down: Float32s
    size: Float32s
    inside: Mask
    first: int
    last: int
    samples: int = 0


@dataclass(slots=True)
class OverlayWatch:
    """Finds overlays in samples of a recording, fed in order; `found` has those of the windows that are complete."""

    found: list[Overlay] = field(default_factory=list)
    _sums: _Sums | None = None
    _before: Plane | None = None
    _resolution_wh: tuple[int, int] = (0, 0)

    def update(self, luma: Plane, inside: Mask, index: int) -> None:
        """Takes a sample.

        Args:
            luma: uint8, shape (height, width).
            inside: bool, of the same shape: where the field of view is.
            index: of the frame.
        """
        resolution_wh = luma.shape[1], luma.shape[0]
        if resolution_wh != self._resolution_wh:
            self.finish()
            self._resolution_wh, self._before = resolution_wh, None
        scale = min(1.0, _LONGER_SIDE / max(resolution_wh))
        size_wh = round(resolution_wh[0] * scale), round(resolution_wh[1] * scale)
        shrunk = np.asarray(cv2.resize(luma, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        small = np.asarray(cv2.resize(shrunk, _SMALL_WH, interpolation=cv2.INTER_AREA), np.uint8)
        if self._before is not None and float(cv2.absdiff(small, self._before).mean()) < _MOVED:
            return
        self._before = small
        mask = cv2.resize(inside.view(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST).view(np.bool_)
        across, down = (cv2.Sobel(shrunk, cv2.CV_32F, *order, ksize=3, scale=0.25) for order in ((1, 0), (0, 1)))
        np.clip(across, -_HIGHEST, _HIGHEST, out=across)
        np.clip(down, -_HIGHEST, _HIGHEST, out=down)
        size = np.hypot(across, down).astype(np.float32)
        if self._sums is None:
            zeros = np.zeros_like(size)
            self._sums = _Sums(zeros.copy(), zeros.copy(), zeros.copy(), mask.copy(), index, index)
        sums = self._sums
        sums.across += across
        sums.down += down
        sums.size += size
        sums.inside &= mask
        sums.last = index
        sums.samples += 1
        if sums.samples >= _WINDOW:
            self.finish()

    def finish(self) -> None:
        """Judges the samples since the last window."""
        sums, self._sums = self._sums, None
        if sums is not None and sums.samples >= _LEAST_SAMPLES:
            self.found += [Overlay(box, sums.first, sums.last) for box in _overlays(sums, self._resolution_wh)]


def _overlays(sums: _Sums, resolution_wh: tuple[int, int]) -> list[Box]:
    coherent = np.hypot(sums.across, sums.down)
    still = (coherent > _EDGE * sums.samples) & (coherent > _COHERENT * sums.size) & sums.inside
    if not still.any() or np.count_nonzero(still) > _MOST * np.count_nonzero(sums.inside):
        return []
    height, width = still.shape
    side = max(3, round(_JOIN * max(width, height)) | 1)
    edges = still.view(np.uint8)
    joined = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((side // 2 | 1, side), np.uint8))
    count, found, stats, _ = cv2.connectedComponentsWithStats(joined)
    labels = np.asarray(found, np.int32)
    of_piece = np.bincount(labels[still], minlength=count)
    folds = _folds(sums, still, labels, of_piece)
    scale_x, scale_y = resolution_wh[0] / width, resolution_wh[1] / height
    boxes: list[Box] = []
    for number in range(1, count):
        if of_piece[number] < _LEAST_EDGES or folds[number]:
            continue
        x, y, across, down = stats[number, :4].tolist()
        grown = 1 + side // 4
        left, top = max(x - grown, 0), max(y - grown, 0)
        right, bottom = min(x + across + grown, width), min(y + down + grown, height)
        boxes.append((int(left * scale_x), int(top * scale_y), round(right * scale_x), round(bottom * scale_y)))
    return boxes


def _folds(sums: _Sums, still: Mask, labels: npt.NDArray[np.int32], of_piece: npt.NDArray[np.int64]) -> Mask:
    """Which pieces of edges are folds of a scene that hardly moves."""
    pieces, across, down = labels[still], sums.across[still], sums.down[still]
    length = np.hypot(across, down)

    def mean(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        return np.bincount(pieces, weights=values, minlength=len(of_piece)) / np.maximum(of_piece, 1)

    one_way = np.hypot(mean(across / length), mean(down / length)) >= _ONE_WAY
    faint = mean(length) < _FAINT * sums.samples
    folds: Mask = one_way & faint & (mean(length / sums.size[still]) < _UNSTEADY)
    return folds
