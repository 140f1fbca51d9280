"""Augmentation of cached frames into training pictures: geometry, colours of other frames, margins and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Pixels
from engine.checks import require_within
from engine.errors import InputError
from train.augmentation.degrade import colours, compressed, lighting, optics, processor, recorder, specular_spots
from train.augmentation.dirt import dirty
from train.data.cache import CachedFrame

_DARK = 20  # grey level under which a pixel is margin or shadow, without a colour of its own
_SIZES = (0.006, 0.7)  # least and largest share of the picture that a polyp is zoomed to; drawn evenly on a log scale
_SIZED_ZOOMS = (0.7, 3.0)  # how far frames are zoomed for it at most
_KEPT_WITHIN = 0.15  # of width and height: so far from the border its middle stays
_SMALLEST_POLYP = 0.0005  # share of the picture under which a piece of mask is a satellite, not a polyp


@dataclass(frozen=True, slots=True)
class Variation:
    """How far training pictures are varied.

    Attributes:
        zooms: least and most that a whole frame is zoomed; at 1 it just fits the input.
        sized: share of whole frames with polyps that are zoomed so that one of them covers a share of the picture drawn
            from `_SIZES` instead: data sets have few very small and few very large ones.
        degraded: share of pictures that get what light, optics, processors and recorders do (`degrade`); colours
            and compression vary in all of them.
        dirty: share of pictures, with and without polyps alike, that get stool, foam or water (`dirt`).

    Raises:
        InputError: zooms in the wrong order, or a share that is none.
    """

    zooms: tuple[float, float] = (0.5, 1.8)
    sized: float = 0.0
    degraded: float = 1.0
    dirty: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.zooms[0] <= self.zooms[1] < math.inf:
            raise InputError(f"zooms must be two numbers above 0, the least first. Received: {self.zooms}")
        for name in ("sized", "degraded", "dirty"):
            require_within(name, getattr(self, name), 0, 1)


@dataclass(frozen=True, slots=True)
class Example:
    """One training picture.

    Attributes:
        image: BGR uint8, shape of the network's input.
        boxes_xyxy: float32 (polyps, 4), pixels of `image`.
        mask: uint8 (height, width), as of the frames.
        outlined: False where a polyp is known by its box only: the mask shows roughly where it is.
    """

    image: Pixels
    boxes_xyxy: npt.NDArray[np.float32]
    mask: Pixels
    outlined: bool = True


def boxes_of_mask(mask: Pixels, *, smallest_share: float = _SMALLEST_POLYP) -> npt.NDArray[np.float32]:
    """Boxes `xyxy` of the connected pieces of each number in a mask, without pieces under `smallest_share`."""
    boxes: list[tuple[int, int, int, int]] = []
    for number in np.flatnonzero(np.bincount(mask.ravel())[1:]) + 1:
        piece = mask if number == 1 and mask.max() == 1 else (mask == number).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(piece, connectivity=8)
        boxes += [
            (left, top, left + width, top + height)
            for left, top, width, height, area in stats[1:count].tolist()
            if area >= smallest_share * mask.size
        ]
    return np.array(boxes, np.float32).reshape(-1, 4)


def example(frame: CachedFrame, size_wh: tuple[int, int], rng: np.random.Generator, variation: Variation) -> Example:
    """A positive or negative picture of the whole field of view, varied at random."""
    if rng.random() < variation.sized and len(boxes := boxes_of_mask(frame.mask)):
        box_xyxy = boxes[int(rng.integers(len(boxes)))]
        return _finish(*_sized(frame, box_xyxy, size_wh, rng), rng, variation, outlined=frame.outlined)
    return _finish(*_placed(frame, size_wh, rng, zooms=variation.zooms), rng, variation, outlined=frame.outlined)


def mosaic(
    frames: Sequence[CachedFrame], size_wh: tuple[int, int], rng: np.random.Generator, variation: Variation
) -> Example:
    """Four frames in one picture, each about half as wide and high: small polyps, of which data sets have few.

    As in Bochkovskiy et al. 2020 (YOLOv4).

    Args:
        frames: four.
        size_wh: of the picture.
        rng: draws where they meet, and how each lies in its quarter.
        variation: of which zooms do not matter: each frame about fills its quarter.
    """
    width, height = size_wh
    meet_x, meet_y = int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65))
    image = np.zeros((height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    quarters = ((0, 0), (1, 0), (0, 1), (1, 1))
    for frame, (right, low) in zip(frames, quarters, strict=True):
        xs = slice(meet_x, width) if right else slice(0, meet_x)
        ys = slice(meet_y, height) if low else slice(0, meet_y)
        quarter_wh = (xs.stop - xs.start, ys.stop - ys.start)
        image[ys, xs], mask[ys, xs] = _placed(frame, quarter_wh, rng, zooms=(0.9, 1.6))
    return _finish(image, mask, rng, variation, outlined=all(frame.outlined for frame in frames))


def normal_crop(
    frame: CachedFrame, size_wh: tuple[int, int], rng: np.random.Generator, variation: Variation
) -> Example | None:
    """A picture of the frame's mucosa beside its polyps; None when too little is left beside them.

    Teaches that a field of view need not hold a polyp, in the colours and optics of the very same examination.
    """
    height, width = frame.mask.shape
    ys, xs = np.nonzero(frame.mask)
    pad = 0.03 * max(height, width)
    if ys.size:
        x1, x2 = max(0, int(xs.min() - pad)), min(width, int(xs.max() + 1 + pad))
        y1, y2 = max(0, int(ys.min() - pad)), min(height, int(ys.max() + 1 + pad))
        strips = [(0, 0, x1, height), (x2, 0, width, height), (0, 0, width, y1), (0, y2, width, height)]
    else:
        strips = [(0, 0, width, height)]
    smallest = 0.3 * min(height, width)
    strips = [strip for strip in strips if min(strip[2] - strip[0], strip[3] - strip[1]) >= smallest]
    if not strips:
        return None
    left, top, right, bottom = strips[int(rng.integers(len(strips)))]
    side_w, side_h = right - left, bottom - top
    # At most twice as long as wide, so that stretching to the input does not distort past recognition.
    crop_w = min(side_w, 2 * side_h) * rng.uniform(0.8, 1.0)
    crop_h = min(side_h, 2 * side_w) * rng.uniform(0.8, 1.0)
    x = left + rng.uniform(0, side_w - crop_w)
    y = top + rng.uniform(0, side_h - crop_h)
    image = frame.image[int(y) : int(y + crop_h), int(x) : int(x + crop_w)]
    if image.mean() < 25:
        return None
    matrix = _random_affine(image, size_wh, rng, zooms=(1.0, 1.2), fill=True)
    image = cv2.warpAffine(image, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return _finish(image, np.zeros(image.shape[:2], np.uint8), rng, variation)


def in_colours_of(frame: CachedFrame, other: CachedFrame, *, strength: float = 1.0) -> CachedFrame:
    """The frame with the mean and spread of another frame's colours, so that shapes and not colours are learnt.

    Colour exchange as in Wei et al. 2021 (Shallow Attention Network for polyp segmentation), over Lab channels
    (Reinhard et al. 2001). Dark pixels neither count nor change. A frame without enough light is returned as it is.

    Args:
        frame: to be recoloured.
        other: whose colours are taken.
        strength: 0 leaves the frame as it is, 1 takes the other's colours in full.
    """
    lit, like = (cv2.inRange(cv2.cvtColor(one.image, cv2.COLOR_BGR2GRAY), _DARK, 255) for one in (frame, other))
    if min(lit.mean(), like.mean()) < 0.1 * 255:
        return frame
    own, theirs = (cv2.cvtColor(one.image, cv2.COLOR_BGR2LAB) for one in (frame, other))
    mean, spread = cv2.meanStdDev(own, mask=lit)
    other_mean, other_spread = cv2.meanStdDev(theirs, mask=like)
    gain = np.clip((other_spread + 1) / (spread + 1), 0.5, 2.0)
    levels = np.arange(256)
    moved = levels + strength * ((levels - mean) * gain + other_mean - levels)  # (3, 256)
    table = np.clip(moved, 0, 255).astype(np.uint8).T.reshape(1, 256, 3)
    image = cv2.cvtColor(cv2.LUT(own, table), cv2.COLOR_LAB2BGR)
    return replace(frame, image=np.where(lit[:, :, None] > 0, image, frame.image))


def _random_affine(
    image: Pixels,
    size_wh: tuple[int, int],
    rng: np.random.Generator,
    *,
    zooms: tuple[float, float],
    fill: bool = False,
    keep_xy: tuple[float, float] | None = None,
) -> npt.NDArray[np.float64]:
    """Picture to input: fit, flip, turn, zoom, stretch, shift; `keep_xy` of the picture stays off its border."""
    height, width = image.shape[:2]
    out_w, out_h = size_wh
    turns = int(rng.integers(4)) if rng.random() < 0.5 else 0
    angle = math.radians(90 * turns + (rng.uniform(-20, 20) if rng.random() < 0.4 else 0.0))
    turned_w, turned_h = (height, width) if turns % 2 else (width, height)
    fit = (max if fill else min)(out_w / turned_w, out_h / turned_h)
    zoom = fit * math.exp(rng.uniform(math.log(zooms[0]), math.log(zooms[1])))
    stretch = math.exp(rng.uniform(-0.15, 0.15))
    scale_x, scale_y = zoom * stretch, zoom / stretch
    flip = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[scale_x * cos * flip, -scale_x * sin], [scale_y * sin * flip, scale_y * cos]])
    out_wh = np.array([out_w, out_h])
    room = np.abs(out_wh - (turned_w * scale_x, turned_h * scale_y)) / 2
    least, most = -room, room
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = (out_wh - 1) / 2 - linear @ centre
    if keep_xy is not None:
        kept = linear @ np.array(keep_xy) + offset
        low, high = _KEPT_WITHIN * out_wh - kept, (1 - _KEPT_WITHIN) * out_wh - kept
        least, most = least.clip(low, high), most.clip(low, high)
    return np.hstack([linear, (offset + rng.uniform(least, most))[:, None]])


def _placed(
    frame: CachedFrame,
    size_wh: tuple[int, int],
    rng: np.random.Generator,
    *,
    zooms: tuple[float, float],
    keep_xy: tuple[float, float] | None = None,
) -> tuple[Pixels, Pixels]:
    """Picture and mask of a frame, moved at random into a size."""
    matrix = _random_affine(frame.image, size_wh, rng, zooms=zooms, keep_xy=keep_xy)
    mask = cv2.warpAffine(frame.mask, matrix, size_wh, flags=cv2.INTER_NEAREST)
    return _warped(frame.image, matrix, size_wh), mask


def _sized(
    frame: CachedFrame, box_xyxy: npt.NDArray[np.float32], size_wh: tuple[int, int], rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Picture and mask of a frame, zoomed so that the polyp in a box covers a share of the picture drawn at random."""
    x1, y1, x2, y2 = map(int, box_xyxy)
    covered = np.count_nonzero(frame.mask[y1:y2, x1:x2]) / frame.mask.size
    share = math.exp(rng.uniform(*np.log(_SIZES)))
    zoom = float(np.clip(math.sqrt(share / covered), *_SIZED_ZOOMS))
    return _placed(frame, size_wh, rng, zooms=(zoom, zoom), keep_xy=((x1 + x2) / 2, (y1 + y2) / 2))


def _warped(image: Pixels, matrix: npt.NDArray[np.float64], size_wh: tuple[int, int]) -> Pixels:
    """The picture moved by a matrix; halved by area first as often as interpolation would leave out pixels."""
    while abs(np.linalg.det(matrix[:, :2])) < 0.25 and min(image.shape[:2]) > 32:
        half_wh = (image.shape[1] // 2, image.shape[0] // 2)
        image = cv2.resize(image[: half_wh[1] * 2, : half_wh[0] * 2], half_wh, interpolation=cv2.INTER_AREA)
        offset = matrix[:, 2] + matrix[:, :2] @ (0.5, 0.5)  # the centre of the first pixel of the half
        matrix = np.column_stack([2 * matrix[:, :2], offset])
    return cv2.warpAffine(image, matrix, size_wh, flags=cv2.INTER_LINEAR)


def _finish(
    image: Pixels, mask: Pixels, rng: np.random.Generator, variation: Variation, *, outlined: bool = True
) -> Example:
    if rng.random() < variation.dirty:
        image = dirty(image, mask, rng)
    image = colours(image, rng)
    degraded = variation.degraded == 1 or rng.random() < variation.degraded
    if degraded:
        image = optics(lighting(image, rng), rng)
        if rng.random() < 0.25:
            image = specular_spots(image, rng)
    if rng.random() < 0.3:
        image, mask = _margins(image, mask, rng)
    if rng.random() < 0.15:
        image = _text(image, rng)
    if rng.random() < 0.15:
        image, mask = _position_box(image, mask, rng)
    if degraded:
        image = recorder(processor(image, rng), rng)
    image = compressed(image, rng)
    return Example(image, boxes_of_mask(mask, smallest_share=0.001), mask, outlined)


def _margins(image: Pixels, mask: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Corners of an octagonal or a round field; a dark edge where the field was cut too wide."""
    height, width = mask.shape
    inside = np.zeros((height, width), np.uint8)
    if rng.random() < 0.5:
        cut = rng.uniform(0.08, 0.25) * min(height, width)
        points = [(cut, 0), (width - cut, 0), (width, cut), (width, height - cut)]
        points += [(width - cut, height), (cut, height), (0, height - cut), (0, cut)]
        cv2.fillConvexPoly(inside, np.array(points, np.int32), 1)
    else:
        axes = (int(width * rng.uniform(0.47, 0.58)), int(height * rng.uniform(0.47, 0.58)))
        cv2.ellipse(inside, (width // 2, height // 2), axes, 0, 0, 360, 1, -1)
    return image * inside[:, :, None], mask * inside


def _position_box(image: Pixels, mask: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """The small drawing of where the endoscope lies that some processors lay over a corner; what it hides is gone."""
    height, width = mask.shape
    box_w, box_h = int(width * rng.uniform(0.2, 0.36)), int(height * rng.uniform(0.2, 0.34))
    x = 0 if rng.random() < 0.8 else width - box_w
    y = height - box_h if rng.random() < 0.8 else 0
    hue, light = rng.integers(70, 100) if rng.random() < 0.7 else rng.integers(0, 180), rng.integers(60, 190)
    shade = cv2.cvtColor(np.array([[[hue, rng.integers(120, 256), light]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    image, mask = image.copy(), mask.copy()
    box = image[y : y + box_h, x : x + box_w]
    box[:] = shade
    if rng.random() < 0.3:
        cv2.rectangle(box, (0, 0), (box_w - 1, box_h - 1), (0, 0, 0), 3)
    line = rng.uniform(0.1, 0.9, (6, 2)).cumsum(0) / np.arange(1, 7)[:, None] * (box_w, box_h)
    cv2.polylines(box, [line.astype(np.int32)], False, (int(rng.integers(0, 80)),) * 3, 1, cv2.LINE_AA)
    mask[y : y + box_h, x : x + box_w] = 0
    return image, mask


def _text(image: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = image.shape[:2]
    image = image.copy()
    for _ in range(int(rng.integers(1, 4))):
        words = "".join(chr(int(code)) for code in rng.integers(48, 91, int(rng.integers(3, 12))))
        origin = (int(rng.integers(0, width // 2)), int(rng.integers(10, height)))
        shade = int(rng.integers(160, 256))
        cv2.putText(image, words, origin, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.25, 0.5), (shade,) * 3, 1)
    return image
