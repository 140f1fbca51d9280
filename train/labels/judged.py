"""What readers judged, as labels: wrong findings out, corrected boxes, added lesions, joined tracks, and doubts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.arrays import Bools, Float64s
from engine.errors import InputError
from stream.judgements.figures.judged import done_readers
from stream.judgements.reviewed import Reviewed, judgements_folder, reviewed_in
from stream.judgements.state import JudgedFinding, Mark
from stream.judgements.store import FILE, JudgementStore
from train.labels.label_set import UNSURE, Label, LabelledPicture

_CLASS = "polyp"
#: Seconds beside everything that may be a lesion, in which a frame may show it without a box.
_CLEAR_S = 2.0


@dataclass(frozen=True, slots=True)
class JudgedFrames:
    """Judgements of a recording, frame by frame.

    Attributes:
        readers: who judged.
        done: whether they are done: everything else was looked at as well.
        wrong: bool (frames,), where a finding is that was judged wrong.
        added: bool (frames,), where a lesion is that the detector did not find.
    """

    readers: tuple[str, ...]
    done: bool
    wrong: Bools
    added: Bools

    @property
    def text(self) -> str:
        """For people."""
        return f"judged by {', '.join(self.readers)}{'' if self.done else ', not to the end'}"


@dataclass(frozen=True, slots=True)
class Judged:
    """What counts of a procedure's judgements."""

    reviewed: Reviewed
    done: bool

    @property
    def frame_count(self) -> int:
        """Frames of the procedure that was judged."""
        return len(self.reviewed.beginning.times_s)

    def frames(
        self, pictures: tuple[LabelledPicture, ...], times_s: Float64s, first: int
    ) -> tuple[tuple[LabelledPicture, ...], JudgedFrames]:
        """Frames of a recording with what was judged in the place of what was found.

        A frame in which nothing is marked shows no polyp where the readers are done, and where nothing that may be a
        lesion is marked in the seconds around it. What nobody is sure of has a class of its own: it is neither a polyp
        nor no polyp.

        Args:
            pictures: the frames, in order.
            times_s: of the frames, (frames,).
            first: index of the first frame in the procedure.
        """
        found = [one.finding for one in self.reviewed.findings]
        lesions = [one for one in found if one.is_lesion]
        not_judged = [one for one in found if one.verdict is None and not one.is_lesion]
        contested = [replace(one, id=f"{one.id}?{place}") for place, one in enumerate(self.reviewed.contested)]
        unsure = [*(one for one in found if one.verdict == "unsure"), *contested]
        labels: list[list[Label]] = [[] for _ in pictures]
        for name, group in ((_CLASS, [*lesions, *not_judged]), (UNSURE, unsure)):
            for one in group:
                for place, mark in _marks(one, first, len(pictures)):
                    labels[place].append(Label(name, mark.box, None, one.id, mark.score))
        doubt = times_s[self._marked([*lesions, *not_judged, *unsure], first, len(pictures))]
        near = np.searchsorted(doubt, times_s + _CLEAR_S, side="right") > np.searchsorted(doubt, times_s - _CLEAR_S)
        judged = tuple(
            replace(picture, labels=tuple(own), is_complete=self.done and (bool(own) or not close))
            for picture, own, close in zip(pictures, labels, near.tolist(), strict=True)
        )
        wrong = self._marked([one for one in found if one.verdict == "wrong"], first, len(pictures))
        added = self._marked([one for one in lesions if one.added], first, len(pictures))
        return judged, JudgedFrames(self.reviewed.readers, self.done, wrong, added)

    @staticmethod
    def _marked(findings: list[JudgedFinding], first: int, count: int) -> Bools:
        marked = np.zeros(count, np.bool_)
        for one in findings:
            marked[[place for place, _ in _marks(one, first, count)]] = True
        return marked


#: Gives what was judged of the procedure of some event lines, by its name; None where nobody who counts judged it.
Judges = Callable[[Path, str], Judged | None]


def judges(reader: str | None = None) -> Judges:
    """What readers said counts.

    Args:
        reader: the only one who counts; None for all who are done (`stream.judgements.reviewed` says how).
    """

    def judged(events: Path, procedure: str) -> Judged | None:
        path = judgements_folder(events) / FILE
        if not path.is_file():
            return None
        with JudgementStore(path, only_read=True) as store:
            if reader is not None and reader not in store.readers():
                known = ", ".join(store.readers()) or "nobody"
                raise InputError(f"{reader!r} has judged nothing in {str(path)!r}; who did: {known}")
            if reader is not None and reader not in store.readers(procedure):
                return None
            done = done_readers(store, procedure)
            found = reviewed_in(store, procedure, reader=reader)
        return None if found is None else Judged(found, reader is None or reader in done)

    return judged


def _marks(finding: JudgedFinding, first: int, count: int) -> Iterator[tuple[int, Mark]]:
    """The marks of a finding in a recording, by the place of the frame in it."""
    for frame, mark in finding.marks.items():
        if first <= frame < first + count:
            yield frame - first, mark
