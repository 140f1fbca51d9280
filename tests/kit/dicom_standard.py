"""What the DICOM standard demands of objects: by the tables that highdicom brings, and by dicom-validator."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from highdicom import _standard_utils as tables
from pydicom.dataset import Dataset

_FOLDER = "DICOM_STANDARD"
_HOW = (
    f"{_FOLDER} names no folder with the text of the standard, which no package brings: with access to the internet "
    "`python -m tests.kit.dicom_standard FOLDER` fetches it"
)
_EDITION = "2026b"
_BY_VALUE_TYPE = "sr-document-content"


def missing_attributes(found: Dataset) -> list[str]:
    """Attributes of the mandatory modules that an object lacks: type 1 without value, type 2 that are not there.

    Of conditions (types 1C and 2C) the tables know nothing, so contents of structured reports are left out: what an
    item holds follows from its value type.
    """
    kind = tables.get_sop_class_iod_map()[found.SOPClassUID]
    modules = [one["key"] for one in tables.get_iod_module_map()[kind] if one["usage"] == "M"]
    modules = [one for one in modules if one != _BY_VALUE_TYPE]
    assert modules
    return [
        f"{module}: {name}"
        for module in modules
        for name in _missing(found, tables.construct_module_tree(module)["attributes"])
    ]


def _missing(found: Dataset, attributes: Mapping[str, Mapping[str, Any]], within: str = "") -> Iterator[str]:
    for keyword, one in attributes.items():
        kind = one["type"].value
        if keyword not in found:
            if kind in ("1", "2"):
                yield within + keyword
            continue
        element = found[keyword]
        if kind == "1" and element.is_empty:
            yield f"{within}{keyword} without value"
        if element.VR == "SQ":
            for item in element.value:
                yield from _missing(item, one.get("attributes", {}), f"{within}{keyword}/")


def standard_errors(paths: Sequence[Path]) -> dict[str, list[str]]:
    """What dicom-validator finds wrong with objects, by file name; the test is left out without the standard."""
    folder = os.environ.get(_FOLDER)
    if not folder:
        pytest.skip(_HOW)
    from dicom_validator.spec_reader.edition_reader import EditionReader
    from dicom_validator.validator.dicom_file_validator import DicomFileValidator
    from dicom_validator.validator.validation_result import Status

    edition = _edition_in(Path(folder))
    reader = EditionReader(folder)
    if not (reader.json_files_exist(edition) and reader.is_current_version(edition)):
        reader.create_json_files(edition)
    validator = DicomFileValidator(reader.load_dicom_info(edition))
    found: dict[str, list[str]] = {}
    for path in paths:
        (result,) = validator.validate(path).values()
        assert result.status in (Status.Passed, Status.Failed), result
        found[path.name] = [
            f"{module}: {tag} {error.code.name}"
            for module, errors in result.module_errors.items()
            for tag, error in errors.items()
        ]
    return found


def _edition_in(folder: Path) -> str:
    """The newest edition there; dicom-validator itself would look on the internet for one that is newer."""
    editions = sorted(one.name for one in folder.iterdir() if (one / "docbook").is_dir())
    assert editions, f"{folder} holds no edition of the standard"
    return editions[-1]


def fetch(folder: Path) -> None:
    """Fetches an edition of the standard from the internet."""
    from dicom_validator.spec_reader.edition_reader import EditionReader

    folder.mkdir(parents=True, exist_ok=True)
    EditionReader(folder).dicom_info_for_edition(_EDITION)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
