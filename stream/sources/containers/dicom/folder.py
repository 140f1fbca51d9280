"""The objects of a folder, or of a medium with a directory (DICOMDIR), in their order."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from engine.errors import SourceError
from stream.sources.containers.dicom.objects import DicomObject, read_object
from stream.sources.containers.dicom.preamble import is_dicom

logger = logging.getLogger(__name__)

DIRECTORY = "DICOMDIR"
"""Name of the file that lists the objects of a medium."""

_LAST = 1 << 31  # the place of what has no number


def objects_in(folder: Path) -> list[DicomObject]:
    """The objects of a folder that have pixels: those that its DICOMDIR names, else those that lie in it.

    What has no pixels is passed over; what cannot be read is said in the log.

    Returns:
        By study, series and number.

    Raises:
        SourceError: the directory cannot be read.
        OSError: the folder cannot be read.
    """
    directory = folder / DIRECTORY
    paths = _listed(directory) if is_dicom(directory) else sorted(path for path in folder.iterdir() if is_dicom(path))
    found: list[DicomObject] = []
    for path in paths:
        try:
            one = read_object(path)
        except SourceError as error:
            logger.warning("left out: %s", error)
            continue
        if one.pixels_at is not None:
            found.append(one)
    return sorted(found, key=place_of)


def place_of(found: DicomObject) -> tuple[str, str, int, str, int, str]:
    """What objects are ordered by: time and UID of the study, series, number of the object, path."""

    def number(name: str) -> int:
        text = found.text(name)
        return int(text) if text.lstrip("-").isdecimal() else _LAST

    study = found.text("StudyDate") + found.text("StudyTime")
    series = number("SeriesNumber"), found.text("SeriesInstanceUID")
    return study, found.text("StudyInstanceUID"), *series, number("InstanceNumber"), str(found.path)


def _listed(directory: Path) -> Iterator[Path]:
    """The files that a directory names and that are there."""
    records = read_object(directory).sequence("DirectoryRecordSequence")
    folder = directory.parent
    for record in records:
        named = record.get("ReferencedFileID")
        parts = [named] if isinstance(named, str) else [str(part) for part in named or ()]
        if not parts:
            continue
        path = folder.joinpath(*parts)
        if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in parts):
            logger.warning("left out: %s names a file outside its folder", directory)
        elif not path.is_file():
            logger.warning("left out: %s names %s, which is not there", directory, path)
        elif path.name != DIRECTORY:
            yield path
