"""The files of a study beside its procedures: `index.html`, `procedures.csv`, `findings.csv`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engine.files import write_text
from stream.judgements.figures.judged import judged_procedures
from stream.judgements.figures.measuring import figures_of
from stream.procedure.report import JSON
from stream.record.recording import library_versions
from stream.study.ledger import ProcedureEntry, RecordingEntry, State
from stream.study.progress import StudyProgress
from stream.study.summary.page import StudyFacts, page_of
from stream.study.summary.rows import RowReader
from stream.study.summary.tables import findings_table, procedures_table

INDEX, PROCEDURES, FINDINGS = "index.html", "procedures.csv", "findings.csv"
"""Names of the files in the folder of the results."""

_REMEDY = "free space, and run the same command again"
#: While a study goes on, its files are written every so many seconds, and take no more than this share of the time.
_EVERY_S, _SHARE = 10.0, 0.02


class Summary:
    """Writes the files of a study, now and then while it goes on, and at its end."""

    def __init__(self, results: Path, *, title: str, model: str, threshold: float, left_out: Mapping[str, str]) -> None:
        """Has written nothing yet.

        Args:
            results: folder of the results.
            title: name of the study.
            model: name of the model.
            threshold: score from which a detection counts, 0 to 1.
            left_out: files that are no recordings, each with the reason.
        """
        self._results, self._title, self._model, self._threshold = results, title, model, threshold
        self._left_out = dict(left_out)
        self._reader = RowReader(results)
        self._due_s = 0.0

    def update(
        self,
        procedures: Sequence[ProcedureEntry],
        recordings: Sequence[RecordingEntry],
        progress: StudyProgress,
        *,
        going_on: bool,
    ) -> None:
        """Writes the files, where it is time for it or the study has ended.

        Args:
            procedures: of the study, in order.
            recordings: of the study.
            progress: how far it is.
            going_on: whether it goes on.

        Raises:
            WriteError: they cannot be written.
        """
        began_s = time.monotonic()
        if going_on and began_s < self._due_s:
            return
        rows = self._reader.rows(procedures, recordings)
        facts = StudyFacts(
            title=self._title,
            made=datetime.now(timezone.utc).isoformat(sep=" ", timespec="seconds"),
            version=library_versions().get("polypstream", ""),
            model=self._model,
            threshold=self._threshold,
            left_out=self._left_out,
            failures=failures_of(procedures, recordings),
            remarks=remarks_of(procedures, recordings),
            copies={one.path: one.same_as for one in recordings if one.same_as is not None},
            going_on=going_on,
        )
        texts = {
            PROCEDURES: procedures_table(rows),
            FINDINGS: findings_table(rows),
            INDEX: page_of(rows, progress, facts, self._judged(procedures)),
        }
        for name, text in texts.items():
            write_text(self._results / name, text, remedy=_REMEDY, private=True)
        now_s = time.monotonic()
        self._due_s = now_s + max(_EVERY_S, (now_s - began_s) / _SHARE)

    def _judged(self, procedures: Sequence[ProcedureEntry]) -> dict[str, Any] | None:
        """What judgements come to; None before a procedure is judged to its end."""
        reports = {one.name: self._results / one.folder / JSON for one in procedures if one.state is State.DONE}
        judged, others = judged_procedures(self._results, reports)
        return figures_of(judged, not_done=len(others)) if judged else None


def failures_of(procedures: Sequence[ProcedureEntry], recordings: Sequence[RecordingEntry]) -> dict[str, str]:
    """Recordings that failed, and procedures that failed although their recordings did not, each with the reason."""
    failed = [one for one in recordings if one.state is State.FAILED]
    incomplete = {one.procedure for one in failed}
    return {one.path: one.error or "" for one in failed} | {
        one.name: one.error or "" for one in procedures if one.state is State.FAILED and one.name not in incomplete
    }


def remarks_of(procedures: Sequence[ProcedureEntry], recordings: Sequence[RecordingEntry]) -> dict[str, str]:
    """Recordings that were looked at but are not whole, and procedures without all that was wanted, with the reason."""
    return {one.path: one.error for one in recordings if one.state is State.DONE and one.error} | {
        one.name: one.error for one in procedures if one.state is State.DONE and one.error
    }
