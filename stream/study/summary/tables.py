"""The tables of a study (CSV): a line for each procedure, and a line for each finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.text.tables import csv_text
from stream.judgements.state import JUDGED
from stream.study.summary.rows import ProcedureRow

_FINDING = ("number", "label", "first_s", "last_s", "in_view_s", "looks", "phase", "score_max", "score_mean")

#: What people say of a finding, where procedures were reviewed.
_SAID = ("id", "verdict", *JUDGED[2:], "text")


def procedures_table(rows: Sequence[ProcedureRow]) -> str:
    """`procedures.csv`: names, state, times in seconds, shares of the time, and what a list says of each procedure."""
    times = _names(row.times for row in rows)
    shares = _names(row.shares for row in rows)
    own = ["procedure", "folder", "state", "error", "recordings", "findings", *times]
    own += [f"share_{share.replace(' ', '_')}" for share in shares]
    listed = _names(row.listed for row in rows)
    head = [*own, *(f"listed_{name}" if name in own else name for name in listed)]
    lines = [
        [
            *(row.name, row.folder, row.state.value, row.error, row.recordings, row.count),
            *(row.times.get(name) for name in times),
            *(row.shares.get(name) for name in shares),
            *(row.listed.get(name) for name in listed),
        ]
        for row in rows
    ]
    return csv_text(head, lines)


def findings_table(rows: Sequence[ProcedureRow]) -> str:
    """`findings.csv`: procedure, times in seconds of the procedure, scores, kind, what people say, its picture."""
    kinds = _names(finding.get("kind") or {} for row in rows for finding in row.findings or ())
    reviewed = any(finding.get("review") for row in rows for finding in row.findings or ())
    said = _SAID if reviewed else ()
    head = [
        *("procedure", *_FINDING, *(f"kind_{kind}" for kind in kinds), *(f"review_{name}" for name in said)),
        *("best_time_s", "picture", "picture_marked"),
    ]
    lines = [
        [
            row.name,
            *(finding.get(name) for name in _FINDING),
            *((finding.get("kind") or {}).get(kind) for kind in kinds),
            *((finding.get("review") or {}).get(name) for name in said),
            finding.get("best_time_s"),
            *(f"{row.folder}/{finding[name]}" for name in ("picture", "picture_marked")),
        ]
        for row in rows
        for finding in row.findings or ()
    ]
    return csv_text(head, lines)


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """All names in some mappings, in the order in which they come."""
    found: dict[str, None] = {}
    for mapping in mappings:
        found.update(dict.fromkeys(mapping))
    return list(found)
