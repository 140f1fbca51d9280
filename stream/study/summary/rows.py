"""Procedures as rows: what their reports say, for the page and the tables of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.reading.bounded import MALFORMED, read_json_bounded
from stream.procedure.report import JSON
from stream.study.ledger import ProcedureEntry, RecordingEntry, State

_LARGEST_REPORT = 1 << 26  # bytes
_TIMES = ("recording_s", "inside_s", "cecum_s", "insertion_s", "withdrawal_s", "net_withdrawal_s")


@dataclass(frozen=True, slots=True)
class ProcedureRow:
    """A procedure of a study.

    Attributes:
        name: of it.
        folder: name of its folder.
        state: how it stands.
        error: why it failed, else "".
        recordings: how many it has.
        listed: what a list says of it, by column.
        times: seconds by name (`recording_s`, `inside_s`, `cecum_s`, `insertion_s`, `withdrawal_s`,
            `net_withdrawal_s`); None where it is not known.
        shares: what the picture showed, as shares of the time, by name.
        findings: as in its report; None before there is one.
    """

    name: str
    folder: str
    state: State
    error: str = ""
    recordings: int = 0
    listed: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, float | None] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Mapping[str, Any], ...] | None = None

    @property
    def count(self) -> int | None:
        """Number of findings; None before there is a report."""
        return None if self.findings is None else len(self.findings)


class RowReader:
    """Reads reports into rows; each report once, as long as it stays the same."""

    def __init__(self, results: Path) -> None:
        """Has read nothing yet.

        Args:
            results: folder of the study's results.
        """
        self._results = results
        self._read: dict[str, tuple[str | None, ProcedureRow]] = {}

    def rows(
        self, procedures: Sequence[ProcedureEntry], recordings: Sequence[RecordingEntry]
    ) -> tuple[ProcedureRow, ...]:
        """A row for each procedure, in order."""
        counts: dict[str, int] = {}
        for recording in recordings:
            counts[recording.procedure] = counts.get(recording.procedure, 0) + 1
        return tuple(self._row(procedure, counts.get(procedure.name, 0)) for procedure in procedures)

    def _row(self, entry: ProcedureEntry, recordings: int) -> ProcedureRow:
        if entry.state is not State.DONE:
            return ProcedureRow(entry.name, entry.folder, entry.state, entry.error or "", recordings, entry.listed)
        key, row = self._read.get(entry.name, (None, None))
        if row is None or key != entry.key:
            row = _row_of_report(entry, recordings, self._results / entry.folder / JSON)
            self._read[entry.name] = entry.key, row
        return row


def _row_of_report(entry: ProcedureEntry, recordings: int, path: Path) -> ProcedureRow:
    try:
        report = read_json_bounded(path, most_bytes=_LARGEST_REPORT)
        times = {name: None if (value := report["times"][name]) is None else float(value) for name in _TIMES}
        return ProcedureRow(
            entry.name,
            entry.folder,
            entry.state,
            "",
            recordings,
            entry.listed,
            times,
            {str(name): float(share) for name, share in report["shares"].items()},
            tuple(dict(finding) for finding in report["findings"]),
        )
    except (OSError, *MALFORMED) as error:
        why = f"its report cannot be read ({error}); remove {path.name} and run the same command again"
        return ProcedureRow(entry.name, entry.folder, State.FAILED, why, recordings, entry.listed)
