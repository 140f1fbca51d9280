"""Frames whose polyp was painted over by mucosa, and frames that were given another frame's polyp.

Stills of polyps teach a network that there is always one, and that a hospital's margins, text and light foretell it.
Painting the polyp over with mucosa of the very same frame leaves all of that and takes the polyp away; the reverse puts
a polyp where none was. Both are made by Poisson blending (Perez et al. 2003), so that its traces stand on both sides
and foretell nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Pixels
from train.data.cache import CachedFrame

#: Last part of the data set's name of such frames.
ERASED, TRANSPLANTED = "erased", "transplanted"
#: Largest share of a picture that is painted over: more leaves too little mucosa to take from.
_LARGEST_SHARE = 0.2
_TRIES = 80
#: Darker than this (of 255) is margin or the depth of the lumen: nothing is taken from there or put there.
_DARK = 24
_BORDER = 3
#: Narrowest seam around a polyp in pixels: OpenCV's blending shrinks what it is given by three.
_NARROWEST_SEAM = 7


def erased(frame: CachedFrame, rng: np.random.Generator) -> CachedFrame | None:
    """The frame with its polyps painted over, data set `NAME/erased`; None when no fitting mucosa was found.

    Nothing changes outside the box of each polyp and its seam; within the box, little outside the seam.
    """
    cover = _widened(frame.mask)
    if not frame.positive or cover.mean() > _LARGEST_SHARE or not _off_border(cover):
        return None
    usable = _lit(frame.image) & (cover == 0)
    image = frame.image
    count, pieces = cv2.connectedComponents(cover, connectivity=8)
    for piece in range(1, count):
        shift = _best_shift(frame.image, (pieces == piece).astype(np.uint8), usable, rng)
        if shift is None:
            return None
        moved = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]], np.float64)
        source = cv2.warpAffine(frame.image, moved, frame.mask.shape[::-1], borderMode=cv2.BORDER_REFLECT_101)
        image = _blended(source, image, (pieces == piece).astype(np.uint8))
    return CachedFrame(image, np.zeros_like(frame.mask), f"{frame.dataset}/{ERASED}", frame.group)


def transplanted(host: CachedFrame, donor: CachedFrame, rng: np.random.Generator) -> CachedFrame | None:
    """The host with the donor's polyp in it, data set `NAME/transplanted`; None when it fits nowhere."""
    if not _off_border(donor.mask):
        return None
    height, width = host.mask.shape
    x, y, box_w, box_h = cv2.boundingRect(donor.mask)
    longest = rng.uniform(0.12, 0.5) * min(height, width)
    scale = longest / max(box_w, box_h) * (1 if rng.random() < 0.5 else -1)  # a negative scale is half a turn
    turn = cv2.getRotationMatrix2D((x + box_w / 2, y + box_h / 2), float(rng.uniform(0, 360)), abs(scale))
    if scale < 0:
        turn[:, 0] = -turn[:, 0]
        turn[:, 2] = turn[:, 2] - 2 * turn[:, 0] * (x + box_w / 2)
    usable = _lit(host.image) & (_widened(host.mask) == 0)
    for _ in range(12):
        place = turn.copy()
        target = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        place[:, 2] = place[:, 2] + target - (x + box_w / 2, y + box_h / 2)
        polyp = cv2.warpAffine(donor.mask, place, (width, height), flags=cv2.INTER_NEAREST)
        where = _widened(polyp)
        complete = polyp.sum() > 0.97 * donor.mask.sum() * scale**2
        apart = not (host.mask[where > 0]).any()
        if complete and apart and _off_border(where) and usable[where > 0].mean() > 0.97:
            source = cv2.warpAffine(donor.image, place, (width, height), borderMode=cv2.BORDER_REFLECT_101)
            image = _blended(source, host.image, where)
            mask = np.maximum(host.mask, polyp)
            return CachedFrame(image, mask, f"{host.dataset}/{TRANSPLANTED}", host.group)
    return None


def erased_frames(frames: Sequence[CachedFrame], *, seed: int) -> Iterator[CachedFrame]:
    """Every frame that can be painted over, painted over."""
    for index, frame in enumerate(frames):
        made = erased(frame, np.random.default_rng([seed, index]))
        if made is not None:
            yield made


def transplanted_frames(
    hosts: Sequence[CachedFrame], donors: Sequence[CachedFrame], count: int, *, seed: int
) -> Iterator[CachedFrame]:
    """Up to `count` hosts with a donor's polyp, of random pairs."""
    rng = np.random.default_rng(seed)
    given = 0
    for _ in range(4 * count):
        if given == count:
            return
        host, donor = hosts[int(rng.integers(len(hosts)))], donors[int(rng.integers(len(donors)))]
        made = transplanted(host, donor, rng)
        if made is not None:
            given += 1
            yield made


def _widened(mask: Pixels) -> Pixels:
    """The mask with a seam around it: a tenth of its longer side, at least so many pixels that blending leaves some."""
    if not mask.any():
        return mask
    _, _, width, height = cv2.boundingRect(mask)
    reach = max(_NARROWEST_SEAM, round(0.1 * max(width, height)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(mask, kernel), np.uint8)


def _off_border(mask: Pixels) -> bool:
    inner = mask[_BORDER:-_BORDER, _BORDER:-_BORDER]
    return bool(mask.any()) and int(inner.sum()) == int(mask.sum())


def _lit(image: Pixels) -> npt.NDArray[np.bool_]:
    return np.asarray(cv2.blur(image, (5, 5)).max(axis=2) > _DARK)


def _best_shift(
    image: Pixels, piece: Pixels, usable: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[int, int] | None:
    """From where the mucosa comes that fits best around the piece: colours alike along the seam."""
    height, width = piece.shape
    x, y, box_w, box_h = cv2.boundingRect(piece)
    seam = piece - cv2.erode(piece, np.ones((3, 3), np.uint8))
    inside, edge = np.argwhere(piece[::2, ::2] > 0) * 2, np.argwhere(seam > 0)
    around = image[edge[:, 0], edge[:, 1]].astype(np.float32)
    best, found = np.inf, None
    for _ in range(_TRIES):
        shift = int(rng.integers(-x, width - box_w - x + 1)), int(rng.integers(-y, height - box_h - y + 1))
        ys, xs = inside[:, 0] + shift[1], inside[:, 1] + shift[0]
        if not usable[ys.clip(0, height - 1), xs.clip(0, width - 1)].all():
            continue
        there = image[(edge[:, 0] + shift[1]).clip(0, height - 1), (edge[:, 1] + shift[0]).clip(0, width - 1)]
        difference = float(np.abs(there - around).mean())
        if difference < best:
            best, found = difference, shift
    return found


def _blended(source: Pixels, target: Pixels, where: Pixels) -> Pixels:
    x, y, width, height = cv2.boundingRect(where)
    centre = (x + width // 2, y + height // 2)
    blended = cv2.seamlessClone(source, target, where * 255, centre, cv2.NORMAL_CLONE)
    # OpenCV solves for the whole box around `where` and leaves traces beside it.
    return np.where(where[:, :, None] > 0, blended, target).astype(np.uint8)
