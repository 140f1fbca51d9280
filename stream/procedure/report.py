"""The report of a procedure: `report.json`, one page that needs no other file, a PDF of it, pictures of findings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engine.errors import InputError, OutputError
from engine.files import claim_folder, make_folder, private_files, write_errors, write_together
from engine.text.redaction import redacted_record
from stream.judgements.lists import read_lists
from stream.judgements.reviewed import judgements_folder, reviewed_findings
from stream.procedure.contents import PICTURES, picture_name, report_of
from stream.procedure.fhir import fhir_text
from stream.procedure.findings import Finding, StepListener, find_findings
from stream.procedure.judged import fits, judged_findings
from stream.procedure.kept import KeptPictures
from stream.procedure.looks import places_in
from stream.procedure.page import check_page, page_of, pdf_of
from stream.procedure.reading import Procedure, read_procedure
from stream.procedure.times import moments_of, parse_time, stretches_of, times_of

JSON, HTML, PDF, FHIR = "report.json", "report.html", "report.pdf", "report.fhir.json"
"""Names in the folder of a report."""

_OUR_PICTURE = re.compile(r"\d{2,}(-marked)?\.jpg")


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        files: all of it; `report.json` last.
        contents: what `report.json` holds.
        procedure: that it is of.
    """

    files: tuple[Path, ...]
    contents: Mapping[str, Any]
    procedure: Procedure


def report_folder(result: Path) -> Path:
    """Where the report of a result stands: in a procedure's folder; of event lines NAME.jsonl in NAME.report."""
    return result if result.is_dir() else result.with_suffix(".report")


def write_report(
    result: Path,
    *,
    output: Path | None = None,
    pdf: bool = False,
    fhir: bool = False,
    cecum_s: float | None = None,
    reader: str | None = None,
    with_review: bool = True,
    recordings: Path | None = None,
    kept: KeptPictures | None = None,
    overwrite: bool = False,
    on_step: StepListener | None = None,
) -> WrittenReport:
    """Writes the report of a procedure. Its recordings are read and stay as they are.

    Args:
        result: a procedure's folder (`events.jsonl`, `run.json`), or event lines of `polypstream detect --candidates`.
        output: folder to write to; None for `report_folder(result)`.
        pdf: whether to write `report.pdf` as well.
        fhir: whether to write `report.fhir.json` as well.
        cecum_s: when the turning point was reached, in seconds of the procedure; None for what a review says, and where
            none does, what a study's list says.
        reader: whose review counts; None for the rule of `reviewed_findings`.
        with_review: whether judgements of the findings have a say at all.
        recordings: the folder where the recordings are now, or the file where there is one; None for where they were.
        kept: pictures of earlier reports: what is there is not read again, and what is read is kept there.
        overwrite: replace a report that stands there.
        on_step: told of the progress of each step.

    Raises:
        InputError: unusable events, a recording that was moved or changed, a package that is missing, or an output that
            cannot be written; nothing was written.
        RunError: a fault midway; an earlier report stays as it was.
    """
    check_page(pdf=pdf)
    procedure = read_procedure(result)
    reviewed = reviewed_findings(judgements_folder(result), procedure.name, reader=reader) if with_review else None
    not_told: list[str] = []
    if reviewed is not None and not fits(procedure, reviewed):
        reviewed = None
        not_told.append("It was reviewed before its recordings changed: the judgements are left out.")
    turn_from = "option"
    if cecum_s is None and reviewed is not None:
        cecum_s, turn_from = reviewed.turning_point_s, "review"
    if cecum_s is None:
        cecum_s, turn_from = _listed_cecum(procedure), "list"
    folder = report_folder(result) if output is None else output
    moments = moments_of(procedure)
    times = times_of(procedure, moments, cecum_s=cecum_s)
    with private_files(), claim_folder(folder):
        if (folder / JSON).exists() and not overwrite:
            raise OutputError(f"{folder / JSON} exists already; name another folder, or allow it with --overwrite")
        places = None if recordings is None else places_in(procedure, recordings)
        if reviewed is None:
            findings = find_findings(procedure, places=places, kept=kept, on_step=on_step)
        else:
            findings = judged_findings(procedure, reviewed, places=places, kept=kept, on_step=on_step)
        contents = redacted_record(
            {
                "format": 1,
                "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                **report_of(
                    procedure,
                    findings,
                    times,
                    turn_from=None if cecum_s is None else turn_from,
                    reviewed=reviewed,
                    not_told=not_told,
                ),
            }
        )
        lists = read_lists(judgements_folder(result))
        page = page_of(contents, procedure, findings, stretches_of(procedure, moments), times, lists=lists)
        files = _pictures(folder, findings)
        files[folder / HTML] = page.encode("utf-8")
        if pdf:
            files[folder / PDF] = pdf_of(page)
        if fhir:
            files[folder / FHIR] = fhir_text(contents, lists).encode("utf-8")
        files[folder / JSON] = (json.dumps(contents, indent=2, allow_nan=False) + "\n").encode("utf-8")
        with write_errors(folder / JSON, what="the report", remedy="free space, or name another folder"):
            make_folder(folder / PICTURES)
            write_together(files)
        _remove_old(folder, files)
    return WrittenReport(tuple(files), contents, procedure)


def _pictures(folder: Path, findings: list[Finding]) -> dict[Path, bytes]:
    files: dict[Path, bytes] = {}
    for finding in findings:
        files[folder / picture_name(finding.number)] = finding.picture.plain
        files[folder / picture_name(finding.number, marked=True)] = finding.picture.marked
    return files


def _remove_old(folder: Path, files: Mapping[Path, bytes]) -> None:
    """Removes what an earlier report had more of: its pictures, and other forms that say something else."""
    old = [path for path in (folder / PICTURES).iterdir() if _OUR_PICTURE.fullmatch(path.name) and path not in files]
    for path in [*old, *(folder / name for name in (PDF, FHIR) if folder / name not in files)]:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _listed_cecum(procedure: Procedure) -> float | None:
    """What a study's list says of the turning point."""
    listed = procedure.record.get("listed")
    text = str(listed.get("cecum_time") or "").strip() if isinstance(listed, dict) else ""
    if not text:
        return None
    try:
        return parse_time(text)
    except InputError as error:
        raise InputError(f"{error}; correct it in the list of the study") from error
