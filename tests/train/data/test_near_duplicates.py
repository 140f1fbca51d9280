"""Near-duplicates: what must be joined is joined, what differs is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Pixels
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from train.data.datasets import read_dataset
from train.data.near_duplicates import clusters, hash_clusters, near_pairs, picture_hash


def _picture(seed: int, *, height: int = 120, width: int = 160) -> Pixels:
    """A smooth random picture, as different from that of another seed as two scenes are."""
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _jpeg(picture: Pixels) -> Pixels:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1), np.uint8)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("a copy", lambda picture: picture.copy()),
        ("another size", lambda picture: cv2.resize(picture, (310, 229), interpolation=cv2.INTER_LINEAR)),
        ("darker, with less contrast", lambda picture: (picture * 0.6 + 20).astype(np.uint8)),
        ("strongly compressed", _jpeg),
        ("moved by two pixels", lambda picture: np.roll(picture, 2, axis=1)),
        ("grey", lambda picture: cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)),
    ],
)
def test_the_same_scene_is_joined(name: str, changed: Callable[[Pixels], Pixels]) -> None:
    for seed in range(5):
        picture = _picture(seed)
        assert clusters([picture, changed(picture)]) == [0, 0], f"{name}, seed {seed}"


def test_other_scenes_are_apart() -> None:
    assert clusters(_picture(seed) for seed in range(60)) == list(range(60))


def test_clusters_are_numbered_by_first_appearance_and_join_chains() -> None:
    first, other = _picture(1), _picture(2)
    assert clusters([first, other, first, _jpeg(other)]) == [0, 1, 0, 1]
    # One and three differ by 20 bits, but both are near to two.
    chain = [np.array([value, 0], np.uint64) for value in (0, (1 << 10) - 1, (1 << 20) - 1)]
    assert hash_clusters(chain, bits=10) == [0, 0, 0]
    assert hash_clusters(chain, bits=9) == [0, 1, 2]


def test_nothing_has_no_clusters() -> None:
    assert clusters([]) == []


@pytest.mark.parametrize("bits", [-1, 129])
def test_impossible_bits_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"`bits` must be within 0 to 128. Received: {bits}"):
        hash_clusters([], bits=bits)


_HASHES = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=12)


@given(hashes=_HASHES, bits=st.integers(0, 128))
@settings(max_examples=60)
def test_pairs_and_clusters_agree_with_counting_bits(hashes: list[tuple[int, int]], bits: int) -> None:
    table = [np.array(pair, np.uint64) for pair in hashes]
    near = {
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if sum(bin(a ^ b).count("1") for a, b in zip(hashes[i], hashes[j], strict=True)) <= bits
    }
    assert set(map(tuple, near_pairs(table, bits=bits).tolist())) == near
    numbers = hash_clusters(table, bits=bits)
    assert all(numbers[i] == numbers[j] for i, j in near)
    # As many clusters as a flood over the pairs finds.
    left, count = set(range(len(hashes))), 0
    while left:
        count, front = count + 1, {left.pop()}
        while front:
            front = {k for k in left if any((min(i, k), max(i, k)) in near for i in front)}
            left -= front
    assert len(set(numbers)) == count


@pytest.mark.data
def test_frames_of_two_sequences_are_never_joined(data_dir: Path) -> None:
    samples = [one for one in read_dataset(data_dir / "cvc-clinicdb") if int(one.image.stem) <= 200]
    hashes = []
    for sample in samples:
        image = read_picture(sample.image)
        x1, y1, x2, y2 = find_field_of_view(image).box_xyxy
        hashes.append(picture_hash(image[y1:y2, x1:x2]))
    pairs = near_pairs(hashes).tolist()
    assert len(pairs) > 20
    assert all(samples[one].group == samples[other].group for one, other in pairs)
