"""A DICOM object: its attributes, read without its pixels, and where its pixels begin."""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from engine.errors import SourceError
from engine.reading.bounded import reason_of, shortened
from stream.sources.containers.dicom.syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT, is_video

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

INSTALL = "pip install 'polypstream[dicom]'"
"""Brings all packages that DICOM takes."""

#: Attributes that are read. All others, private ones too, are passed over whatever their size.
_TAGS = (
    # whose it is, and where it belongs
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "ImageType", "Modality", "Manufacturer"),
    *("InstitutionName", "ReferringPhysicianName", "StudyDescription", "SeriesDescription", "ManufacturerModelName"),
    *("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime", "StudyTime", "SeriesTime"),
    *("AcquisitionTime", "ContentTime", "AccessionNumber", "PatientName", "PatientID", "IssuerOfPatientID"),
    *("PatientBirthDate", "PatientSex", "PatientAge", "StudyInstanceUID", "SeriesInstanceUID", "StudyID"),
    *("SeriesNumber", "InstanceNumber", "PatientIdentityRemoved", "DeidentificationMethod"),
    *("TimezoneOffsetFromUTC", "BodyPartExamined"),
    # how fast its frames follow each other
    *("FrameIncrementPointer", "FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate"),
    # its pixels
    *("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelAspectRatio", "LossyImageCompression"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *(f"{color}PaletteColorLookupTableDescriptor" for color in ("Red", "Green", "Blue")),
    *(f"{color}PaletteColorLookupTableData" for color in ("Red", "Green", "Blue")),
    *(f"Segmented{color}PaletteColorLookupTableData" for color in ("Red", "Green", "Blue")),
    # what else it may be
    *("EncryptedAttributesSequence", "PixelDataProviderURL", "DirectoryRecordSequence"),
)
_MOST_INFLATED = 1 << 29  # bytes that a deflated object may have; it is held in memory
_META_AT, _GROUP_LENGTH_BYTES = 132, 12  # the group of the meta information, and the element of its length
_PIXEL_DATA = (0x7FE0, 0x0010)
_PIXEL_TAGS = {_PIXEL_DATA: "", (0x7FE0, 0x0008): "floating-point", (0x7FE0, 0x0009): "floating-point"}


@dataclass(frozen=True, eq=False)
class DicomObject:
    """What is known of an object before its pixels are read.

    Attributes:
        path: of its file.
        attributes: those that are of use here; see `pydicom.Dataset`.
        syntax: UID of its transfer syntax.
        pixels_at: where the element of its pixel data begins, in bytes of what `open` gives; None without one.
        inflated: the whole object where it is deflated in its file.
    """

    path: Path
    attributes: Dataset
    syntax: str
    pixels_at: int | None
    inflated: bytes | None = None

    def open(self) -> BinaryIO:
        """The bytes that `pixels_at` counts in, open for reading. Raises OSError."""
        return self.path.open("rb") if self.inflated is None else io.BytesIO(self.inflated)

    @property
    def is_big_endian(self) -> bool:
        """Whether its numbers have their high byte first."""
        return self.syntax == BIG_ENDIAN

    @property
    def is_implicit(self) -> bool:
        """Whether its elements do not say what kind of value they have."""
        return self.syntax == IMPLICIT

    @property
    def is_video(self) -> bool:
        """Whether its pixel data is a video stream."""
        return self.pixels_at is not None and is_video(self.syntax)

    @cached_property
    def kind(self) -> str:
        """What it is, by the standard's name, such as "Video Endoscopic Image Storage"."""
        from pydicom.uid import UID

        found = UID(self.text("SOPClassUID"))
        return found.name if found.is_private or found.name != found else f"of class {shortened(str(found))}"

    @cached_property
    def syntax_name(self) -> str:
        """Its transfer syntax by the standard's name."""
        from pydicom.uid import UID

        return UID(self.syntax).name

    @property
    def frames(self) -> int:
        """Number of frames that it names; 1 where it names none."""
        return self.number("NumberOfFrames", default=1)

    def text(self, name: str) -> str:
        """An attribute as printable text of one line; "" where it is missing, empty or cannot be read."""
        value = self._value(name)
        text = "" if value is None else " ".join(str(value).split())
        return "".join(one for one in text if one.isprintable())

    def number(self, name: str, *, default: int | None = None) -> int:
        """An attribute that is a whole number of 0 or more.

        Raises:
            SourceError: it is none, or is missing and has no default.
        """
        value = self._value(name)
        if value is None and default is not None:
            return default
        try:
            found = int(str(value))
        except ValueError:
            found = -1
        if found < 0:
            said = "is missing" if value is None else f"is {shortened(str(value))}"
            raise SourceError(f"{self.path}: {name} {said}, and a whole number is needed; send the object again")
        return found

    def numbers(self, name: str) -> list[str]:
        """The values of an attribute as they are written; none where it is missing or empty."""
        value = self._value(name)
        if value is None:
            return []
        several = not isinstance(value, str) and hasattr(value, "__iter__")
        return [str(getattr(one, "original_string", one)) for one in (value if several else [value])]

    def sequence(self, name: str) -> list[Dataset]:
        """The items of a sequence; none where it is missing."""
        value = self._value(name)
        return [] if value is None else list(value)

    def _value(self, name: str) -> Any:
        """The value of an attribute; None where it is missing, empty or cannot be read."""
        with quiet():
            try:
                value = self.attributes.get(name)
            except Exception:  # a value can be malformed in any way, and what else the object says is still of use
                return None
        return None if value is None or value == "" else value


def read_object(path: Path) -> DicomObject:
    """Reads the attributes of an object.

    Raises:
        SourceError: it cannot be read, is cut before its pixels, or pydicom is not installed.
    """
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise SourceError(f"{path} is a DICOM object, and pydicom is not installed; {INSTALL}") from error
    inflated = None
    try:
        with path.open("rb") as file, quiet():
            found = dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
            syntax = str(found.file_meta.get("TransferSyntaxUID", ""))
            if syntax == DEFLATED:
                inflated = _inflated(path)
                whole = io.BytesIO(inflated)
                found = dcmread(whole, stop_before_pixels=True, specific_tags=list(_TAGS))
            end = whole.tell() if inflated is not None else file.tell()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check the path and its rights") from error
    except SourceError:
        raise
    except Exception as error:  # pydicom raises what a malformed object leads to, of any kind
        raise SourceError(f"{path} is damaged or cut off ({reason_of(error)}); send the object again") from error
    if not syntax:
        raise SourceError(f"{path} does not name its transfer syntax; send the object again")
    read = DicomObject(path, found, syntax, None, inflated)
    at, kind = _pixels_at(read, end)
    if kind:
        raise SourceError(f"{path} has {kind} pixel data, which is no picture; give a VL or video object")
    return DicomObject(path, found, syntax, at, inflated)


class NoPixelsError(SourceError):
    """An object that is whole and has no pixels of its own: a report, a directory, a document."""


def require_pixels(found: DicomObject) -> None:
    """Refuses an object without pixel data.

    Raises:
        NoPixelsError: it has none; the message says what it is.
        SourceError: it is encrypted, or cut off.
    """
    if found.pixels_at is not None:
        return
    if found.sequence("EncryptedAttributesSequence"):
        raise SourceError(f"{found.path} is encrypted and shows no pixels; decrypt it first")
    if found.text("PixelDataProviderURL"):
        raise NoPixelsError(f"{found.path} only names a server that has its pixels; get the whole object")
    if found.sequence("DirectoryRecordSequence"):
        raise NoPixelsError(f"{found.path} is the directory of a medium; give the folder that it lies in")
    if found.kind.endswith("Image Storage"):
        raise SourceError(f"{found.path} ({found.kind}) is cut off before its pixel data; send the object again")
    raise NoPixelsError(f"{found.path} holds no pixel data ({found.kind}); give an object with pictures or video")


def _pixels_at(found: DicomObject, end: int) -> tuple[int | None, str]:
    """Where the pixel data begins, and what is wrong with its kind; reading stopped at `end`."""
    with found.open() as file:
        file.seek(end)
        head = file.read(4)
    order = "big" if found.is_big_endian else "little"
    tag = int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
    return (end, _PIXEL_TAGS[tag]) if tag in _PIXEL_TAGS else (None, "")


def _inflated(path: Path) -> bytes:
    """A deflated object as one that is not, within bounds."""
    with path.open("rb") as file:
        file.seek(_META_AT)
        head = file.read(_GROUP_LENGTH_BYTES)  # tag, UL, length of the value, value
        if head[:6] != b"\x02\0\0\0UL":
            raise SourceError(f"{path} does not say where its meta information ends; send the object again")
        meta_end = _META_AT + _GROUP_LENGTH_BYTES + int.from_bytes(head[8:12], "little")
        file.seek(0)
        meta = file.read(meta_end)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflater.decompress(file.read(), _MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise SourceError(
            f"{path} is deflated and has more than {_MOST_INFLATED >> 20} MiB; convert it: dcmconv +te IN.dcm OUT.dcm"
        )
    # Read as one that is not deflated: the UIDs have the same length but for their ends.
    plain = b"1.2.840.10008.1.2.1\0"
    at = meta.rfind(DEFLATED.encode())
    return meta[:at] + plain.ljust(len(DEFLATED.encode()), b"\0") + meta[at + len(DEFLATED) :] + data


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps pydicom from warning of values that break a rule: what is of use is read, all else is passed over."""
    logger = logging.getLogger("pydicom")  # it says each warning there too
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
