"""Whose results they are: patient and study of the source object, or of a work list; nothing is made up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError, SourceError
from engine.reading.bounded import shortened
from engine.reading.tables import read_table
from stream.hospital.dicom.uids import is_uid
from stream.sources.containers.dicom.objects import read_object
from stream.sources.containers.dicom.preamble import is_dicom

REQUIRED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"),
    *("StudyID", "ReferringPhysicianName"),
)
"""Attributes that each object has, empty where their value is not known (type 2)."""

CARRIED = (*REQUIRED, "IssuerOfPatientID", "StudyDescription", "StudyInstanceUID")
"""Attributes that are taken from a source object or a work list."""

_OF_DEIDENTIFIED = ("PatientIdentityRemoved", "DeidentificationMethod")
_PATH, _PROCEDURE = "path", "procedure"
_STUDY, _PATIENT = "StudyInstanceUID", "PatientID"  # by these it is told whose a recording is, whatever their form
_NAMES = ("PatientName", "ReferringPhysicianName")
_LONGEST_GROUP = 64  # of a name: as it is spelt, in ideographs, and as it is spoken
_LONGEST = {"AccessionNumber": 16, "StudyID": 16} | dict.fromkeys(_NAMES, 3 * _LONGEST_GROUP + 2)
_DATE, _TIME = re.compile(r"\d{8}"), re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
_FORMS = {
    "PatientBirthDate": (_DATE, "a date as YYYYMMDD"),
    "StudyDate": (_DATE, "a date as YYYYMMDD"),
    "StudyTime": (_TIME, "a time as HHMMSS"),
    "PatientSex": (re.compile("[MFO]"), "M, F or O"),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Patient and study of a procedure.

    Attributes:
        attributes: values by keyword; what is not known is missing.
    """

    attributes: Mapping[str, str]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Attributes that stay empty as nobody said them."""
        return tuple(name for name in REQUIRED if not self.attributes.get(name))


@dataclass(frozen=True, slots=True)
class Worklist:
    """What a table says of procedures.

    Attributes:
        path: of the table.
        by_procedure: values by the name of a procedure.
        by_file: values by the real path of a recording.
    """

    path: Path
    by_procedure: Mapping[str, Mapping[str, str]]
    by_file: Mapping[Path, Mapping[str, str]]

    def values_for(self, procedure: str, recordings: Sequence[Path]) -> Mapping[str, str]:
        """What it says of a procedure.

        Raises:
            InputError: it says two things, or nothing.
        """
        rows = [self.by_file[path.resolve()] for path in recordings if path.resolve() in self.by_file]
        if procedure in self.by_procedure:
            rows.append(self.by_procedure[procedure])
        if not rows:
            raise InputError(
                f"work list {str(self.path)!r} names neither {procedure!r} nor its recordings; add a line with its "
                "path or procedure"
            )
        if any(row != rows[0] for row in rows):
            raise InputError(f"work list {str(self.path)!r} says two things of {procedure!r}; say one")
        return rows[0]


def read_worklist(path: Path) -> Worklist:
    """Reads a table (CSV, UTF-8) with a column `path` or `procedure`, and columns named like DICOM's attributes.

    Raises:
        InputError: it cannot be read, has a column that is not known, or a value that DICOM does not allow.
    """
    try:
        rows = read_table(path, [])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"work list {str(path)!r} cannot be read: {reason}") from error
    if not rows:
        raise InputError(f"work list {str(path)!r} names no procedure; write one in each line below the first")
    unknown = [name for name in rows[0] if name not in (*CARRIED, _PATH, _PROCEDURE)]
    if unknown or not {_PATH, _PROCEDURE} & set(rows[0]):
        wrong = f"does not know the column {shortened(unknown[0])}" if unknown else "has no column path or procedure"
        raise InputError(f"work list {str(path)!r} {wrong}; it takes path, procedure, {', '.join(CARRIED)}")
    by_procedure: dict[str, Mapping[str, str]] = {}
    by_file: dict[Path, Mapping[str, str]] = {}
    for number, row in enumerate(rows, 2):
        values = {name: row[name].strip() for name in CARRIED if (row.get(name) or "").strip()}
        where = f"line {number} of {str(path)!r}"
        for name, value in values.items():
            form = _form_of(name, value)
            if form:
                raise InputError(f"{where}: {name} must be {form}; correct it")
        file, procedure = (row.get(_PATH) or "").strip(), (row.get(_PROCEDURE) or "").strip()
        if not file and not procedure:
            raise InputError(f"{where} names neither path nor procedure; write one, or remove the line")
        if procedure and by_procedure.setdefault(procedure, values) != values:
            raise InputError(f"{where}: procedure {procedure!r} stands above with other values; say one thing")
        if file and by_file.setdefault((path.parent / file).resolve(), values) != values:
            raise InputError(f"{where}: {file!r} stands above with other values; say one thing")
    return Worklist(path, by_procedure, by_file)


def identity_for(procedure: str, recordings: Sequence[Path], worklist: Worklist | None) -> Identity:
    """Whose a procedure is, by its recordings and a work list.

    Args:
        procedure: its name.
        recordings: where its recordings are now.
        worklist: None for what the recordings say.

    Raises:
        InputError: as of `identity_of`, or the work list says nothing of it, or two things.
    """
    return identity_of(recordings, {} if worklist is None else worklist.values_for(procedure, recordings))


def identity_of(recordings: Sequence[Path], listed: Mapping[str, str]) -> Identity:
    """Patient and study of a procedure.

    Args:
        recordings: of the procedure; those that are DICOM objects say whose they are.
        listed: what a work list says; it fills in what the objects leave open.

    Raises:
        InputError: recordings are of two patients or studies, or the work list names another one than they do.
    """
    said: dict[str, str] = {}
    for path in recordings:
        if not is_dicom(path):
            continue
        try:
            found = read_object(path)
        except SourceError as error:
            raise InputError(str(error)) from error
        for name in (*CARRIED, *_OF_DEIDENTIFIED):
            value = found.text(name)
            if not value or (name not in (_STUDY, _PATIENT) and _form_of(name, value)):
                continue
            if said.setdefault(name, value) != value and name in (_PATIENT, _STUDY):
                raise InputError(f"the recordings differ in {name}: {path} is of another one; report them apart")
    for name, value in listed.items():
        if name in (_PATIENT, _STUDY) and said.get(name, value) != value:
            raise InputError(f"the work list names another {name} than {recordings[0]}; correct its line")
    return Identity({**listed, **said})


def _form_of(name: str, value: str) -> str:
    """What a value would have to be, where DICOM does not allow it as it is; "" where it does."""
    form, meant = _FORMS.get(name, (None, ""))
    if name == _STUDY and not is_uid(value):
        return "a UID"
    if form is not None and not form.fullmatch(value):
        return meant
    most = _LONGEST.get(name, 64)
    if name in _NAMES and any(len(group) > _LONGEST_GROUP for group in value.split("=")):
        return f"a name of {_LONGEST_GROUP} characters at most in each group"
    if len(value) > most or not value.isprintable() or "\\" in value:
        return f"a text of {most} printable characters at most, without a backslash"
    return ""
