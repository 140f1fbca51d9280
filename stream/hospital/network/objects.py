"""DICOM files as they are sent: what their headers say, without their pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from engine.errors import InputError, first_line
from engine.reading.digests import same_bytes
from stream.sources.containers.dicom.media import missing_of
from stream.sources.containers.dicom.objects import quiet
from stream.sources.containers.dicom.preamble import is_dicom

_DIGITS = 12  # of an integer string (PS3.5, VR IS)
_DIRECTORY = "1.2.840.10008.1.3.10"  # a DICOMDIR names objects and is none
_META = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
_TAGS = (
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "AcquisitionDateTime",
    "ContentDate",
    "ContentTime",
    "SeriesNumber",
    "InstanceNumber",
)


@dataclass(frozen=True, slots=True)
class DicomObject:
    """An object in a file.

    Attributes:
        path: of the file.
        sop_class: what it is.
        sop_instance: its own UID, as the file's header gives it.
        own_instance: the same, as the object itself gives it.
        syntax: how it is encoded.
        study: UID of its study; "" where it has none.
        series: UID of its series; "" where it has none.
        order: texts by which objects of a study are put in the order of time.
        size_bytes: of the file.
        modified_ns: when the file was changed last, as the system counts.
    """

    path: Path
    sop_class: UID
    sop_instance: UID
    own_instance: str
    syntax: UID
    study: str
    series: str
    order: tuple[str, ...]
    size_bytes: int
    modified_ns: int


def read_object(path: Path) -> DicomObject:
    """Reads the header of a DICOM file.

    Raises:
        InputError: it cannot be read, or lacks what a peer must be told.
    """
    try:
        status = path.stat()
        with quiet():
            header: Any = dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
        sop_class, sop_instance, syntax = (header.file_meta.get(name) for name in _META)
    except InvalidDicomError as error:
        raise InputError(f"{path} is no DICOM file; give DICOM files, or folders that hold some") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; check the path and its rights") from error
    except Exception as error:  # pydicom raises many kinds for what is damaged
        raise InputError(f"{path} is a damaged DICOM file ({first_line(error)}); leave it out") from error
    for name, value in zip(_META, (sop_class, sop_instance, syntax), strict=True):
        if not value:
            raise InputError(f"{path} is a damaged DICOM file: its header does not name its {name}; leave it out")
    return DicomObject(
        path=path,
        sop_class=UID(sop_class),
        sop_instance=UID(sop_instance),
        own_instance=str(header.get("SOPInstanceUID") or ""),
        syntax=UID(syntax),
        study=str(header.get("StudyInstanceUID") or ""),
        series=str(header.get("SeriesInstanceUID") or ""),
        order=_order(header),
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
    )


def read_whole(path: Path) -> Dataset:
    """All of a DICOM file, its pixels too.

    Raises:
        InputError: it cannot be read, or is cut off.
    """
    try:
        with quiet():
            return dcmread(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; check its rights") from error
    except Exception as error:  # pydicom raises many kinds for what is damaged
        raise InputError(f"{path} is a damaged DICOM file ({first_line(error)}); leave it out") from error


def _order(header: Any) -> tuple[str, ...]:
    """When it was made, as far as it says; then the numbers of its series and its own."""
    made = str(header.get("AcquisitionDateTime") or "") or "".join(
        str(header.get(one) or "") for one in ("ContentDate", "ContentTime")
    )
    numbers = (str(header.get(one) or "0") for one in ("SeriesNumber", "InstanceNumber"))
    return (made, *(one.zfill(_DIGITS) for one in numbers))


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """What files and folders hold.

    Attributes:
        objects: each instance once.
        others: files below folders that are no DICOM objects.
        damaged: why files below folders that are DICOM cannot be sent, by their paths.
    """

    objects: list[DicomObject]
    others: list[Path]
    damaged: dict[str, str]


def find_objects(paths: Iterable[Path]) -> FoundObjects:
    """The objects of files and folders.

    Args:
        paths: files, each a DICOM file, and folders, below which DICOM files are looked for.

    Raises:
        InputError: a file that is named is no DICOM file, damaged or cut off, a path is not there, a folder cannot be
            read, or two files of one UID differ.
    """
    objects: dict[UID, DicomObject] = {}
    others: list[Path] = []
    damaged: dict[str, str] = {}
    for path, is_named in _files(paths, others):
        try:
            one = read_object(path)
            _check_whole(path)
        except InputError as error:
            if is_named:
                raise
            damaged[str(path)] = str(error)
            continue
        if one.sop_class == _DIRECTORY:
            others.append(path)
            continue
        before = objects.setdefault(one.sop_instance, one)
        if before is not one and not same_bytes(before.path, path):
            raise InputError(
                f"{before.path} and {path} differ and have one SOP Instance UID, {one.sop_instance}; send one of them"
            )
    return FoundObjects(list(objects.values()), others, damaged)


def _files(paths: Iterable[Path], others: list[Path]) -> Iterator[tuple[Path, bool]]:
    """Files that are to be read as DICOM, and whether each was named itself."""
    for path in paths:
        if not path.is_dir():
            yield path, True
            continue
        for folder, folders, names in os.walk(path, onerror=_unreadable):
            folders.sort()
            for name in sorted(names):
                file = Path(folder) / name
                if is_dicom(file):
                    yield file, False
                else:
                    others.append(file)


def _check_whole(path: Path) -> None:
    """An archive would keep the part for the whole. Raises InputError where pixels are missing at the end."""
    missing = missing_of(path)
    if missing:
        raise InputError(f"{path} is cut off: {missing}; get the whole object again, or leave it out")


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read: {error.strerror or error}; check its rights") from error
