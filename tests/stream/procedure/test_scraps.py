"""What is cut off a track and is short stays with it, unless it is known as something else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stream.procedure.findings import with_scraps


@pytest.mark.parametrize(
    ("groups", "track_ids", "lengths_s", "expected"),
    [
        ([(0,), (1,)], [1, 1], [9.0, 0.4], [(0, 1)]),  # a scrap at the end
        ([(0,), (1,)], [1, 1], [0.4, 9.0], [(0, 1)]),  # and at the beginning
        ([(0,), (1,)], [1, 1], [9.0, 3.0], [(0,), (1,)]),  # two lesions
        ([(0,), (1,)], [1, 2], [9.0, 0.4], [(0,), (1,)]),  # a short track of its own
        ([(0,), (1, 2)], [1, 1, 2], [9.0, 0.4, 0.4], [(0,), (1, 2)]),  # it fits another track
        ([(0, 2), (1,)], [1, 1, 1], [9.0, 0.4, 3.0], [(0, 1, 2)]),  # between two parts of one lesion
        ([(0,), (1,), (2,)], [1, 1, 1], [0.1, 0.1, 0.1], [(0, 1, 2)]),  # nothing but scraps
        ([], [], [], []),
    ],
)
def test_scraps(
    groups: Sequence[Sequence[int]],
    track_ids: Sequence[int],
    lengths_s: Sequence[float],
    expected: Sequence[tuple[int, ...]],
) -> None:
    assert with_scraps(groups, track_ids, lengths_s) == expected
