"""What the mask of one picture holds, measured once for each version of the files and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.arrays import Pixels
from engine.console.output import progress
from engine.errors import InputError
from engine.files import replacing
from engine.folders import cache_folder
from stream.sources.picture_depth import Values
from stream.sources.picture_head import read_head
from stream.sources.picture_reader import read_values
from stream.sources.tiff_pages import upright
from train.data.datasets import Sample
from train.data.label_reading import BRIGHT, LabelReading
from train.data.mask_reader import bright_mask, is_lossy, is_plain, read_alpha, read_mask, stored_numbers

log = logging.getLogger(__name__)

#: Raised when other facts are measured than before.
_VERSION = 1
#: Pieces under this share of the frame are ignored wherever polyps are learnt or counted.
SPECK_SHARE = 0.0005
#: So many different numbers may be classes; more are soft edges, or a picture.
_MOST_CLASSES = 16
_NOT_RARE = 0.005
_NEAR = 16  # of black and white: what compression leaves


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What one mask holds.

    Attributes:
        size_wh: of the mask in pixels.
        picture_wh: of its picture as it is stored.
        turn: orientation that the picture carries and the mask does not, 1 (none) to 8.
        turn_matters: the mask turned so is another one.
        numbers: values that fill areas, not only edges, in rising order; of masks of few values.
        places: these are places in a palette of colours.
        unreadable: why the mask could not be read as asked; None when it could.
        share: of the picture that is polyp.
        border: share of its outermost pixels that is polyp.
        enclosed: area that polyp encloses without being polyp, as a share of the polyp's area.
        grey: share of its pixels that are neither near black nor near white.
        alpha: "none", "agrees" (the opaque is the polyp, or all is opaque), or "differs".
        pieces: connected pieces that are large enough to count as polyps.
        specks: pieces that are not.
    """

    size_wh: tuple[int, int]
    picture_wh: tuple[int, int]
    turn: int = 1
    turn_matters: bool = False
    numbers: tuple[int, ...] = ()
    places: bool = False
    unreadable: str | None = None
    share: float = 0.0
    border: float = 0.0
    enclosed: float = 0.0
    grey: float = 0.0
    alpha: str = "none"
    pieces: int = 0
    specks: int = 0

    @property
    def shown_wh(self) -> tuple[int, int]:
        """Of the picture as it is read."""
        width, height = self.picture_wh
        return (height, width) if self.turn >= 5 else (width, height)

    @property
    def empty(self) -> bool:
        """No pixel is polyp."""
        return self.share == 0


def facts_of(samples: Sequence[Sample], reading: LabelReading) -> list[MaskFacts]:
    """Facts of the masks of samples that have one.

    Raises:
        InputError: a picture or mask cannot be read.
    """
    files = [path for sample in samples for path in (sample.image, sample.mask) if path is not None]
    stats = [(str(path.resolve()), (facts := path.stat()).st_size, facts.st_mtime_ns) for path in files]
    key = hashlib.sha256(json.dumps([_VERSION, reading.polyp, stats]).encode()).hexdigest()[:24]
    kept = cache_folder() / "mask_facts" / f"{key}.json"
    try:
        return [_restored(row) for row in json.loads(kept.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        pass  # not there yet, or cut off
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "mask facts") as pool:
        measured = pool.map(lambda sample: _measured(sample, reading), samples)
        found = list(progress(measured, total=len(samples), what="checking masks", unit="mask", leave=False, delay=1))
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as partial:
            partial.write_text(json.dumps([asdict(one) for one in found]), encoding="utf-8")
    except OSError as error:
        log.info("what masks hold is not kept: %s", error)
    return found


def _restored(row: dict[str, Any]) -> MaskFacts:
    lists: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return MaskFacts(**lists)


def _measured(sample: Sample, reading: LabelReading) -> MaskFacts:
    path = sample.mask
    assert path is not None
    head = read_head(sample.image)
    turn = head.orientation if head.orientation != 1 and read_head(path).orientation == 1 else 1
    picture_wh = head.stored_wh if turn != 1 else head.shown_wh
    numbers = stored_numbers(path)
    height, width = numbers.shape
    filled = _filling(numbers, lossy=is_lossy(path))
    turned = upright(numbers, turn)
    matters = turned.shape != numbers.shape or bool((turned != numbers).any())
    try:
        plain = is_plain(path)
        as_usual = reading.polyp in (None, BRIGHT)
        mask = bright_mask(numbers, path) if plain and as_usual else read_mask(path, reading)
    except InputError as error:
        return MaskFacts((width, height), picture_wh, turn, matters, filled, unreadable=str(error))
    pieces, specks = _pieces(mask)
    return MaskFacts(
        size_wh=(width, height),
        picture_wh=picture_wh,
        turn=turn,
        turn_matters=matters,
        numbers=filled,
        places=not plain and bool((read_values(path).max(axis=2) != numbers).any()),
        share=float(mask.mean()),
        border=float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()),
        enclosed=_enclosed(mask),
        grey=_grey_share(numbers),
        alpha="none" if plain else _alpha_says(path, mask),
        pieces=pieces,
        specks=specks,
    )


def _filling(numbers: Values, *, lossy: bool) -> tuple[int, ...]:
    """Values that fill a square of 3x3 (soft edges do not), and the highest if not rare; of masks of few values."""
    if lossy:
        return ()
    all_counts = np.bincount(numbers.ravel())
    values = np.flatnonzero(all_counts)
    counts = all_counts[values]
    if len(values) > _MOST_CLASSES:
        return ()
    if len(values) <= 2:
        return tuple(values.tolist())
    square = np.ones((3, 3), np.uint8)
    fills = [bool(cv2.erode((numbers == one).astype(np.uint8), square).any()) for one in values]
    fills[-1] = fills[-1] or bool(counts[-1] >= _NOT_RARE * numbers.size)
    return tuple(values[fills].tolist())


def _grey_share(numbers: Values) -> float:
    highest = int(numbers.max())
    if highest <= 2 * _NEAR:
        return 0.0
    margin = highest * _NEAR // 255
    return float(((numbers > margin) & (numbers < highest - margin)).mean())


def _enclosed(mask: Pixels) -> float:
    """By the outer outlines of the polyp, filled."""
    area = int(mask.sum())
    if not area:
        return 0.0
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED)
    return float((int(np.asarray(filled).sum()) - area) / area)


def _alpha_says(path: Path, mask: Pixels) -> str:
    alpha = read_alpha(path)
    if alpha is None:
        return "none"
    opaque = alpha >= 128
    agrees = opaque.all() or opaque.shape != mask.shape or (opaque != mask).mean() < 0.01
    return "agrees" if agrees else "differs"


def _pieces(mask: Pixels) -> tuple[int, int]:
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    large = int((areas >= SPECK_SHARE * mask.size).sum())
    return large, len(areas) - large
