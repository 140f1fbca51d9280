"""Pictures that show nearly the same, found by perceptual hashes, so that they never stand on two sides of a split.

A copy, another compression, size or brightness, and the neighbouring frame of a video are near-duplicates. A model that
was trained on one of them knows the other: a split that divides them flatters.

Each picture gets 128 bits: 64 from its gradient (which of two neighbouring fields of a 9x8 grid is brighter) and 64
from its lowest frequencies (which of the cosine transform's coefficients lie above their median). Both ignore size,
brightness and contrast; where one is fooled (flat areas, repeated patterns), the other is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Pixels
from engine.checks import require_within

Hashes = npt.NDArray[np.uint64]

#: Bits of 128 that near-duplicates may differ in. Measured on CVC-ClinicDB, cropped to the field of view: 117 pairs of
#: frames differ by no more, all of them of one sequence; with 20 bits it is 253 pairs, 7 of them of two sequences, with
#: 24 bits 551 and 72. Uncropped, 16 bits already join 57 pairs wrongly.
NEAR_BITS = 16
_GRID = 8
_TRANSFORMED = 32  # side of the picture whose cosine transform is taken
_ROWS_AT_ONCE = 512


def picture_hash(picture: Pixels) -> Hashes:
    """Perceptual hash of a picture.

    Args:
        picture: uint8 (height, width, 3) or (height, width). Margins that all pictures of a set share make them alike:
            cut them off before.

    Returns:
        uint64 (2,): the gradient's 64 bits and the frequencies' 64 bits.
    """
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_GRID + 1, _GRID), interpolation=cv2.INTER_AREA).astype(np.int16)
    gradient = small[:, 1:] > small[:, :-1]
    square = cv2.resize(grey, (_TRANSFORMED, _TRANSFORMED), interpolation=cv2.INTER_AREA).astype(np.float32)
    # The first row and column, with the mean, hold brightness and shading from edge to edge; the next 64 the picture.
    low = cv2.dct(square)[1 : _GRID + 1, 1 : _GRID + 1]
    frequencies = low > np.median(low)
    return np.array([_packed(gradient), _packed(frequencies)], np.uint64)


def clusters(pictures: Iterable[Pixels], *, bits: int = NEAR_BITS) -> list[int]:
    """Groups pictures that are near-duplicates of each other.

    Args:
        pictures: as for `picture_hash`; read one after the other, so a generator needs memory for one only.
        bits: of 128 that a picture may differ in from another one of its cluster, 0 to 128.

    Returns:
        Number of the cluster of each picture, from 0, in the order of first appearance.
    """
    return hash_clusters([picture_hash(picture) for picture in pictures], bits=bits)


def hash_clusters(hashes: Sequence[Hashes], *, bits: int = NEAR_BITS) -> list[int]:
    """As `clusters`, of pictures that were hashed before.

    Raises:
        InputError: `bits` is outside 0 to 128.
    """
    require_within("`bits`", bits, 0, 128)
    parents = list(range(len(hashes)))

    def root(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    for one, other in near_pairs(hashes, bits=bits).tolist():
        first, second = sorted((root(one), root(other)))
        parents[second] = first
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(item), len(numbers)) for item in range(len(hashes))]


def near_pairs(hashes: Sequence[Hashes], *, bits: int = NEAR_BITS) -> npt.NDArray[np.int64]:
    """Pairs of pictures whose hashes differ in no more than so many bits.

    Returns:
        int64 (pairs, 2), positions, the smaller one first.
    """
    table = np.array(hashes, np.uint64).reshape(-1, 2)
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(table), _ROWS_AT_ONCE):
        rows = table[start : start + _ROWS_AT_ONCE]
        distances = np.bitwise_count(rows[:, None] ^ table[None]).sum(2, dtype=np.int64)
        one, other = np.nonzero(distances <= bits)
        ordered = one + start < other
        found.append(np.stack([one[ordered] + start, other[ordered]], 1))
    return np.concatenate(found)


def _packed(bits: npt.NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
