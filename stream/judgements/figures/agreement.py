"""How far two readers agree on the findings of the procedures that both are done with, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.boxes import iou
from engine.statistics.kappa import Weighting, cohens_kappa, kappa_interval
from engine.statistics.ratios import ratio, rounded
from stream.judgements.state import Beginning, JudgedFinding, Judgements

#: What a reader says of a lesion that the other one alone has.
ABSENT = "absent"
#: Fields that are compared, and how much a disagreement counts: sizes and NICE types are in order, the others are not.
FIELDS: Mapping[str, Weighting] = {
    "verdict": Weighting.NONE,
    "kind": Weighting.NONE,
    "size": Weighting.LINEAR,
    "paris": Weighting.NONE,
    "nice": Weighting.LINEAR,
}
_SAME_PLACE = 0.3  # IoU of two boxes in one frame that are of one lesion
_SAME_SHARE = 0.3  # of the frames of the shorter one, in which two findings are at one place


@dataclass(frozen=True, slots=True)
class Pair:
    """A finding as two readers have it.

    Attributes:
        procedure: name of its procedure.
        one: as the first reader has it; None where this reader does not have it.
        other: as the second reader has it; None where this reader does not have it.
    """

    procedure: str
    one: JudgedFinding | None
    other: JudgedFinding | None

    def said(self, name: str) -> tuple[str | None, str | None]:
        """What both say in a field; None where a reader says nothing."""
        if name == "verdict":
            return _verdict(self.one), _verdict(self.other)
        return (
            None if self.one is None else getattr(self.one, name),
            None if self.other is None else getattr(self.other, name),
        )


def pairs_of(procedure: str, one: Judgements, other: Judgements) -> list[Pair]:
    """The findings of two readers, each with that of the other.

    What the detector found is the same by its id. What is left over (added, joined, split) is the same where it is at
    one place in time and picture; several may be the same as one that was joined.
    """
    same = [
        Pair(procedure, finding, counterpart)
        for key, finding in one.findings.items()
        if (counterpart := other.findings.get(key)) is not None and _same(finding, counterpart)
    ]
    taken_one = {pair.one.id for pair in same if pair.one is not None}
    taken_other = {pair.other.id for pair in same if pair.other is not None}
    for finding in one.findings.values():
        if finding.id not in taken_one:
            found = _counterpart(finding, other)
            same.append(Pair(procedure, finding, found))
            taken_other |= set() if found is None else {found.id}
    for finding in other.findings.values():
        if finding.id not in taken_other:
            same.append(Pair(procedure, _counterpart(finding, one), finding))
    return sorted(same, key=lambda pair: min(part.first_frame for part in (pair.one, pair.other) if part is not None))


def agreement_of(pairs: Sequence[Pair], lists: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Cohen's kappa of each field with its interval, and the table of counts.

    Args:
        pairs: of all procedures that both readers are done with.
        lists: values of each field, in order.

    Returns:
        By field: `kappa`, `interval_95` (by bootstrap over procedures), `weighting`, `items` (of which both said
        something), `agreed` (share of them), `values` and `table` (rows what the first reader said), `left_out`
        (findings of which one or both said nothing).
    """
    return {name: _agreement(pairs, name, lists[name], weighting) for name, weighting in FIELDS.items()}


def differences_in(pairs: Sequence[Pair], beginning: Beginning) -> Iterator[dict[str, Any]]:
    """The findings of a procedure in which two readers differ, in the order of time."""
    for pair in pairs:
        differ = {
            name: list(said)
            for name in FIELDS
            if (said := pair.said(name))[0] != said[1] and (name == "verdict" or None not in (pair.one, pair.other))
        }
        if differ:
            shown = pair.one or pair.other
            assert shown is not None  # a pair has one of the two
            recording, frame = beginning.place_of(shown.first_frame)
            yield {
                "procedure": pair.procedure,
                "findings": [None if one is None else one.id for one in (pair.one, pair.other)],
                "recording": recording,
                "frame": frame,
                "time_s": beginning.times_s[shown.first_frame],
                "differ": differ,
            }


def _agreement(pairs: Sequence[Pair], name: str, values: Sequence[str], weighting: Weighting) -> dict[str, Any]:
    said = [(pair.procedure, *pair.said(name)) for pair in pairs]
    listed = [*values, ABSENT] if name == "verdict" else list(values)
    # A list may have been changed since: what was said by then stands at its end.
    listed += sorted({value for _, *both in said for value in both if value is not None} - set(listed))
    places = {value: place for place, value in enumerate(listed)}
    both_said = [(group, places[one], places[other]) for group, one, other in said if one and other]
    found = np.array([(one, other) for _, one, other in both_said], np.int64).reshape(-1, 2)
    table = np.zeros((len(listed), len(listed)), np.int64)
    np.add.at(table, (found[:, 0], found[:, 1]), 1)
    interval = kappa_interval(found, len(listed), [group for group, *_ in both_said], weighting)
    return {
        "kappa": rounded(cohens_kappa(table, weighting)),
        "interval_95": None if interval is None else [rounded(interval.low), rounded(interval.high)],
        "weighting": weighting.value,
        "items": len(found),
        "agreed": rounded(ratio(float(np.trace(table)), len(found))),
        "values": listed,
        "table": table.tolist(),
        "left_out": len(said) - len(found),
    }


def _verdict(finding: JudgedFinding | None) -> str | None:
    """An added finding is right, unless its reader says something else."""
    if finding is None:
        return ABSENT
    return finding.verdict or ("right" if finding.added else None)


def _common(one: JudgedFinding, other: JudgedFinding) -> int:
    """In how many frames two findings are at one place."""
    frames = [frame for frame in one.marks if frame in other.marks]
    if not frames:
        return 0
    boxes = np.array([(one.marks[frame].box, other.marks[frame].box) for frame in frames], np.float64)
    return int((iou(boxes[:, 0], boxes[:, 1]) >= _SAME_PLACE).sum())


def _same(one: JudgedFinding, other: JudgedFinding) -> bool:
    """Whether findings of one id are the same: what two readers added, or split off, may have one id by chance."""
    by_detector = not one.added and not other.added
    return _alike(one, other) or (by_detector and not one.marks.keys().isdisjoint(other.marks))


def _counterpart(finding: JudgedFinding, state: Judgements) -> JudgedFinding | None:
    """What another reader has at the place of a finding."""
    best = max(state.findings.values(), key=lambda one: _common(finding, one), default=None)
    return best if best is not None and _alike(finding, best) else None


def _alike(one: JudgedFinding, other: JudgedFinding) -> bool:
    return _common(one, other) >= max(_SAME_SHARE * min(len(one.marks), len(other.marks)), 1)
