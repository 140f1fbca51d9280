"""Attributes of DICOM objects by the basic profile of PS3.15, annex E.

Which attribute is treated how comes from the tables of the package dicom-anonymizer, which are made of the standard.
They are applied at every depth of an object. Beyond the profile, and on the safe side: every person's name, free text
and unknown value is cleaned, also where the table does not list it. Dates and times move together by the shift of the
procedure (the option to keep them with modified dates); dates that belong to the patient are emptied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from stream.hospital.deidentify.keys import Key

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

INSTALL = "pip install 'polypstream[deidentify]'"
"""Brings what de-identification of DICOM objects takes."""

_REMOVED, _EMPTIED, _REPLACED, _RENAMED = "removed", "emptied", "replaced", "new identifier"
#: The tables, and what becomes of their attributes. Where the standard leaves a choice, the attribute stays, without
#: its value: a kind of object may ask for it.
_TABLES = {
    "D_TAGS": _REPLACED,
    "Z_TAGS": _EMPTIED,
    "X_TAGS": _REMOVED,
    "U_TAGS": _RENAMED,
    "Z_D_TAGS": _REPLACED,
    "X_Z_TAGS": _EMPTIED,
    "X_D_TAGS": _REPLACED,
    "X_Z_D_TAGS": _REPLACED,
    "X_Z_U_STAR_TAGS": _RENAMED,
}
_TIMES = ("DA", "DT", "TM")
_FREE_TEXT = ("LT", "ST", "UT", "UN", "OB or OW")
_DUMMIES = {"LO": "removed", "SH": "removed", "CS": "REMOVED", "AE": "REMOVED", "UC": "removed", "AS": "000Y"}
_OF_PATIENT = re.compile(r"Patient.*|.*(Birth|Death|Menstrual|Pregnan).*")
_OVERLAYS_AND_CURVES = (0x5000, 0x6000)
_DT = re.compile(r"(\d{4,14})(?:\.\d{1,6})?([+-]\d{4})?")
_LENGTHS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_METHOD = "polypstream: PS3.15 E basic profile, pixels cleaned, dates moved"
_METHOD_WITHOUT_TEXT = "polypstream: PS3.15 E basic profile, dates moved, text not read"
_PIXELS_CLEANED = "113101"
#: Codes of PS3.16, CID 7050.
_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    (_PIXELS_CLEANED, "Clean Pixel Data Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)


def clean_attributes(dataset: Dataset, key: Key, *, text_is_read: bool = True) -> tuple[str, ...]:
    """De-identifies the attributes of an object in place; its pixels are not touched.

    Args:
        dataset: of the object.
        key: that gives new identifiers and the shift of the procedure.
        text_is_read: whether text in the pixels is looked for; else the object does not say that they are clean.

    Returns:
        Keywords of what was removed, emptied or replaced, each once, with what was done.

    Raises:
        InputError: the package with the tables is not installed.
    """
    from pydicom.dataset import Dataset as NewDataset

    shift = timedelta(seconds=key.shift_s(str(dataset.get("StudyInstanceUID", "") or "unnamed")))
    patient = key.hashed(f"patient {dataset.get('IssuerOfPatientID', '')} {dataset.get('PatientID', '')}")[:16]
    done: dict[str, None] = {}
    _clean(dataset, key, shift, done)
    dataset.PatientName = dataset.PatientID = patient
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = _METHOD if text_is_read else _METHOD_WITHOUT_TEXT
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    if text_is_read:
        dataset.BurnedInAnnotation = "NO"
    codes = []
    for value, meaning in _CODES:
        if value == _PIXELS_CLEANED and not text_is_read:
            continue
        code = NewDataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    dataset.DeidentificationMethodCodeSequence = codes
    return tuple(done)


def _clean(dataset: Dataset, key: Key, shift: timedelta, done: dict[str, None]) -> None:
    actions = _actions()
    times = {element.keyword: _plain(element.value) for element in dataset if element.VR == "TM"}
    for element in list(dataset):
        tag = element.tag
        action = actions.get((tag.group, tag.element))
        if tag.is_private or tag.group & 0xFF00 in _OVERLAYS_AND_CURVES:
            _note(done, "private attributes" if tag.is_private else "overlays", _REMOVED)
            del dataset[tag]
        elif element.VR in _TIMES and not _OF_PATIENT.fullmatch(element.keyword):
            element.value = _moved(element, times, shift)
        elif element.VR == "SQ" and action in (None, _RENAMED):
            for item in element.value:
                _clean(item, key, shift, done)
        elif element.VR == "SQ" or action is _REMOVED or (action is None and element.VR in _FREE_TEXT):
            _note(done, element.keyword, _REMOVED)
            del dataset[tag]
        elif action is _RENAMED and element.VR == "UI":
            element.value = [key.uid(str(one)) for one in _values(element.value)]
        elif action is not None or element.VR == "PN":
            _note(done, element.keyword, action or _EMPTIED)
            element.value = _DUMMIES.get(element.VR, "") if action is _REPLACED else None


def _note(done: dict[str, None], keyword: str, action: str) -> None:
    done[f"{keyword or 'unnamed attribute'}: {action}"] = None


@lru_cache(maxsize=1)
def _actions() -> dict[tuple[int, int], str]:
    """What becomes of each attribute of the profile."""
    try:
        from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as tables
    except ImportError as error:
        raise InputError(f"DICOM objects take the package dicom-anonymizer; {INSTALL}") from error
    return {
        (tag[0], tag[1]): action
        for name, action in _TABLES.items()
        for tag in getattr(tables, name)
        if len(tag) == 2  # the others are groups of overlays and curves
    }


def _moved(element: DataElement, times: dict[str, str], shift: timedelta) -> list[str] | str | None:
    """The values of a date or time, moved; what cannot be read is emptied."""
    values = _values(element.value)
    if element.VR == "DA":
        time = times.get(re.sub(r"Date$", "Time", element.keyword), "")
        moved: list[str | None] = [_moved_date(_plain(one), time, shift) for one in values]
    elif element.VR == "TM":
        moved = [_moved_time(_plain(one), shift) for one in values]
    else:
        moved = [_moved_moment(_plain(one), shift) for one in values]
    if None in moved:
        return None
    told = [one for one in moved if one is not None]
    return told[0] if len(told) == 1 else told or None


def _moved_date(date: str, time: str, shift: timedelta) -> str | None:
    """A date, as YYYYMMDD, whose time stands in an attribute of its own: that decides whether midnight is passed."""
    moved = _moved_moment(f"{date}{re.sub(r'[^0-9].*', '', time)[:6].ljust(6, '0')}", shift)
    return None if moved is None or len(date) != 8 else moved[:8]


def _moved_time(time: str, shift: timedelta) -> str | None:
    moved = _moved_moment(f"20000601{re.sub(r'[^0-9].*', '', time)[:6].ljust(6, '0')}", shift)
    return None if moved is None else moved[8:14]


def _moved_moment(text: str, shift: timedelta) -> str | None:
    """A moment (DT) moved, to the second and with its zone; None when it cannot be read."""
    found = _DT.fullmatch(text)
    pattern = _LENGTHS.get(len(found[1])) if found else None
    if found is None or pattern is None:
        return None
    try:
        moved = datetime.strptime(found[1], pattern) + shift
    except (ValueError, OverflowError):
        return None
    return f"{moved:%Y%m%d%H%M%S}{found[2] or ''}"


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value]


def _plain(value: Any) -> str:
    """A value as it was written."""
    return "" if value is None else str(getattr(value, "original_string", value)).strip()
