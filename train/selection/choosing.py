"""Which frames of a shortlist are taken: the best ones, spread over procedures, and no two that look the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from train.data.near_duplicates import Hashes, near_pairs
from train.selection.shortlist import Pick

#: A procedure gives no more than this many times its even share, as long as others have frames to give.
_OVER_SHARE = 2


def even_share(frames: int, procedures: int) -> int:
    """Most frames of one procedure, as long as others have frames to give."""
    return max(-(-_OVER_SHARE * frames // max(procedures, 1)), 1)


def choose(
    picks: Sequence[Pick], hashes: Mapping[int, Hashes], *, frames: int, known: Sequence[Hashes] = ()
) -> list[int]:
    """Places of the frames that are taken, best first.

    Args:
        picks: the shortlist.
        hashes: of their pictures, by place (`train.data.near_duplicates`).
        frames: how many are wanted.
        known: hashes of the training set: what resembles one of its pictures teaches little.
    """
    count = len(picks)
    alike: dict[int, set[int]] = {}
    resembles_known: set[int] = set()
    for one, other in near_pairs([*(hashes[place] for place in range(count)), *known]).tolist():
        if one >= count:
            continue
        if other >= count:
            resembles_known.add(one)
            continue
        alike.setdefault(one, set()).add(other)
        alike.setdefault(other, set()).add(one)
    ranked = sorted(range(count), key=lambda place: (-picks[place].worth, picks[place].picture.name))
    share = even_share(frames, len({pick.procedure for pick in picks}))
    chosen: list[int] = []
    taken: Counter[str] = Counter()
    for most in (share, frames):  # in a second round, what procedures with less to give leave over
        for place in ranked:
            if len(chosen) == frames:
                return chosen
            pick = picks[place]
            new = place not in chosen and place not in resembles_known and pick.worth > 0
            if new and taken[pick.procedure] < most and not alike.get(place, set()) & set(chosen):
                chosen.append(place)
                taken[pick.procedure] += 1
    return chosen
