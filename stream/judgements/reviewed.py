"""What reviews say of a procedure, for reports and exports: one rule for one reader and for several.

A reader who is named counts, however far the review is. Otherwise those count who are done. The findings, their boxes
and what is said of them and of the procedure are then those of the leading reader: who was done first. The verdict of a
finding is that of most of them; where no verdict has more than half of those who judged it, it is "unsure". A lesion
where the leading reader marked nothing is contested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.boxes import iou
from engine.errors import InputError
from stream.judgements.history import History
from stream.judgements.state import Beginning, Box, JudgedFinding, Judgements, ReviewState
from stream.judgements.store import FILE, JudgementStore

OPENED = "opened"
"""Folder below the results for what was opened in the review page: a study of its own."""

_SAME_PLACE_IOU = 0.3  # of two readers' boxes in one frame that are of one finding


@dataclass(frozen=True, slots=True)
class ReviewedFinding:
    """A finding as reviews have it.

    Attributes:
        finding: with its boxes and what is said of it; the verdict is that of the rule.
        votes: verdict of each reader who looked at it, by name.
        made_of: ids of the findings of the beginning that are in it, in part or whole; none of an added one.
    """

    finding: JudgedFinding
    votes: Mapping[str, str]
    made_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A procedure as reviews have it.

    Attributes:
        procedure: its name.
        readers: who counts, the leading one first.
        beginning: what the reviews began with.
        findings: in the order of their first frames; also those that are judged wrong.
        contested: what other readers take for lesions, in the frames in which the leading one marked nothing there.
        turning_point_s: when the endoscope turns, in seconds of the procedure; None where nobody said.
        bbps: as of `Judgements`.
        revision: number of the last change of the procedure.
    """

    procedure: str
    readers: tuple[str, ...]
    beginning: Beginning
    findings: tuple[ReviewedFinding, ...]
    contested: tuple[JudgedFinding, ...]
    turning_point_s: float | None
    bbps: tuple[int | None, int | None, int | None] | None
    revision: int


def judgements_folder(events: Path) -> Path:
    """The folder that holds the judgements of event lines: their own, or that of the study that they belong to."""
    folder = events.resolve().parent if events.name != "events.jsonl" else events.resolve().parent.parent
    above = folder.parent
    return above if folder.name == OPENED and (above / FILE).is_file() else folder


def review_revisions(results: Path) -> dict[str, int]:
    """Number of the last change of each procedure that somebody judged.

    Raises:
        InputError: the judgements cannot be read.
    """
    if not (results / FILE).is_file():
        return {}
    with JudgementStore(results / FILE, only_read=True) as store:
        return {name: store.revision(name) for name in store.procedures()}


def reviewed_findings(results: Path, procedure: str, *, reader: str | None = None) -> Reviewed | None:
    """What reviews say of a procedure; None where nobody who counts has judged it.

    Args:
        results: folder that holds the judgements.
        procedure: its name.
        reader: the only one who counts; None for all who are done.

    Raises:
        InputError: the judgements cannot be read, or there is no such reader.
    """
    if not (results / FILE).is_file():
        if reader is not None:
            raise InputError(f"{str(results)!r} holds no judgements ({FILE}); review it with `polypstream review`")
        return None
    with JudgementStore(results / FILE, only_read=True) as store:
        return reviewed_in(store, procedure, reader=reader)


def reviewed_in(store: JudgementStore, procedure: str, *, reader: str | None = None) -> Reviewed | None:
    """As `reviewed_findings`, of an open store."""
    beginning = store.begun(procedure)
    readers = store.readers(procedure)
    if reader is not None and reader not in readers:
        known = f"those who did are {', '.join(readers)}" if readers else "nobody did"
        raise InputError(f"{reader!r} has not judged {procedure!r}; {known}")
    if beginning is None:
        return None
    counting: dict[str, tuple[int, Judgements]] = {}
    for name in readers if reader is None else [reader]:
        history = History(beginning)
        done_at = 0
        for entry in store.log(procedure, name):
            before = history.state.state
            history.play(entry)
            if history.state.state is ReviewState.DONE and before is not ReviewState.DONE:
                done_at = entry.number
        if reader is not None or history.state.state is ReviewState.DONE:
            counting[name] = done_at, history.state
    if not counting:
        return None
    names = sorted(counting, key=lambda name: counting[name][0])
    states = [counting[name][1] for name in names]
    leading = states[0]
    turn = leading.turning_point
    return Reviewed(
        procedure=procedure,
        readers=tuple(names),
        beginning=beginning,
        findings=tuple(
            _reviewed(one, names, states, beginning)
            for one in sorted(leading.findings.values(), key=lambda one: one.first_frame)
        ),
        contested=tuple(_contested(leading, states[1:])),
        turning_point_s=None if turn is None else beginning.recordings[turn.recording].start_s + turn.time_s,
        bbps=leading.bbps,
        revision=store.revision(procedure),
    )


def _reviewed(
    finding: JudgedFinding, names: Sequence[str], states: Sequence[Judgements], beginning: Beginning
) -> ReviewedFinding:
    votes: dict[str, str] = {}
    for name, state in zip(names, states, strict=True):
        same = finding if state is states[0] else _same(finding, state)
        if same is not None and same.verdict is not None:
            votes[name] = same.verdict
    verdict = _verdict(list(votes.values()))
    return ReviewedFinding(
        replace(finding, verdict=verdict, cause=finding.cause if verdict == "wrong" else None),
        votes,
        tuple(one.id for one in beginning.findings if not finding.added and _frames_alike(one, finding)),
    )


def _verdict(votes: Sequence[str]) -> str | None:
    """The verdict of most; "unsure" where none has more than half."""
    if not votes:
        return None
    verdict, count = Counter(votes).most_common(1)[0]
    return verdict if 2 * count > len(votes) else "unsure"


def _same(finding: JudgedFinding, state: Judgements) -> JudgedFinding | None:
    """The finding of another reader that is the same: it has most frames in common at the same place."""
    best = max(state.findings.values(), key=lambda one: _frames_alike(finding, one), default=None)
    return best if best is not None and _frames_alike(finding, best) else None


def _contested(leading: Judgements, others: Sequence[Judgements]) -> Iterator[JudgedFinding]:
    by_frame: dict[int, list[Box]] = {}
    for one in leading.findings.values():
        for frame, mark in one.marks.items():
            by_frame.setdefault(frame, []).append(mark.box)
    for finding in (one for state in others for one in state.findings.values() if one.is_lesion):
        marks = {frame: mark for frame, mark in finding.marks.items() if not _is_at(mark.box, by_frame.get(frame, ()))}
        if marks:
            yield replace(finding, marks=marks)


def _is_at(box: Box, places: Sequence[Box]) -> bool:
    return bool(places) and bool((iou(np.array(box), np.array(places)) >= _SAME_PLACE_IOU).any())


def _frames_alike(one: JudgedFinding, other: JudgedFinding) -> int:
    """In how many frames two findings are at the same place."""
    common = [frame for frame in one.marks if frame in other.marks]
    if not common:
        return 0
    boxes = np.array([(one.marks[frame].box, other.marks[frame].box) for frame in common], np.float64)
    return int(np.sum(iou(boxes[:, 0], boxes[:, 1]) >= _SAME_PLACE_IOU))
