"""What all objects have in common: patient, study, series, equipment, and the word that they are research."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate_buffer
from pydicom.uid import UID

from engine.files import replacing
from stream.hospital.dicom.identity import REQUIRED, Identity
from stream.hospital.dicom.uids import UidRoot

NAME = "polypstream"
NOTICE = "Research software, not a medical device: not for diagnosis"
"""Stands in each object."""

_UTF_8 = "ISO_IR 192"
_COLON = "71854001", "SCT", "Colon"


@dataclass(frozen=True, slots=True)
class Series:
    """A series of objects.

    Attributes:
        uid: of it.
        number: within the study.
        modality: ES (endoscopy), SR or DOC.
        description: of what is in it.
    """

    uid: str
    number: int
    modality: str
    description: str


@dataclass(frozen=True, slots=True)
class Study:
    """What objects of one procedure share.

    Attributes:
        identity: patient and study.
        uids: where new identifiers come from.
        made: when the objects are made.
    """

    identity: Identity
    uids: UidRoot
    made: datetime

    @staticmethod
    def of(identity: Identity, uids: UidRoot) -> Study:
        """The study of an identity, which gets an identifier where it has none."""
        if not identity.attributes.get("StudyInstanceUID"):
            identity = replace(identity, attributes={**identity.attributes, "StudyInstanceUID": uids.new()})
        return Study(identity, uids, datetime.now())

    def series(self, number: int, modality: str, description: str) -> Series:
        """A new series."""
        return Series(self.uids.new(), number, modality, description)

    def instance(self, kind: str, syntax: str, series: Series, number: int) -> Dataset:
        """A new object of a series, without contents.

        Args:
            kind: UID of its class.
            syntax: UID of its transfer syntax.
            series: that it belongs to.
            number: of the object in the series, from 1.
        """
        made = Dataset()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = UID(syntax)
        made.SpecificCharacterSet = _UTF_8
        made.SOPClassUID, made.SOPInstanceUID = UID(kind), UID(self.uids.new())
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        self._identify(made)
        made.Modality, made.SeriesInstanceUID, made.SeriesNumber = series.modality, UID(series.uid), series.number
        made.SeriesDescription = series.description
        made.InstanceNumber = number
        made.Manufacturer = made.ManufacturerModelName = NAME
        made.SoftwareVersions = program_version()
        made.ContentDate, made.ContentTime = self.made.strftime("%Y%m%d"), self.made.strftime("%H%M%S")
        made.InstanceCreationDate, made.InstanceCreationTime = made.ContentDate, made.ContentTime
        return made

    def header_of(self, kind: str, uid: str, series: str) -> Dataset:
        """What a report says of an object of the study that stands already.

        Args:
            kind: UID of its class.
            uid: of it.
            series: UID of its series.
        """
        made = Dataset()
        made.SpecificCharacterSet = _UTF_8
        made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = UID(kind), UID(uid), UID(series)
        self._identify(made)
        return made

    def _identify(self, made: Dataset) -> None:
        for name in REQUIRED:
            setattr(made, name, "")
        for name, value in self.identity.attributes.items():
            setattr(made, name, value)


def program_version() -> str:
    """Version of polypstream."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "unknown"


def reference(kind: str, uid: str, frame: int | None = None) -> Dataset:
    """A reference to an object, or to one of its frames (from 1)."""
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = UID(kind), UID(uid)
    if frame is not None:
        made.ReferencedFrameNumber = frame
    return made


def add_pixels(made: Dataset, size_wh: tuple[int, int], meaning: str, *, method: str, ratio: float) -> None:
    """Adds how pixels of 8-bit colour that lost something are laid out.

    Args:
        made: the object.
        size_wh: width and height.
        meaning: its Photometric Interpretation.
        method: of the compression, as DICOM names it.
        ratio: how much smaller it made the pixels.
    """
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, meaning, 0
    made.Columns, made.Rows = size_wh
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.LossyImageCompression, made.LossyImageCompressionMethod = "01", method
    made.LossyImageCompressionRatio = f"{max(ratio, 1.0):.4g}"
    made.ImageType = ["DERIVED", "PRIMARY"]
    made.AcquisitionContextSequence = []
    made.PatientOrientation = None
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = _COLON
    made.AnatomicRegionSequence = [region]
    made.ImageComments = NOTICE


def write_instance(made: Dataset, path: Path, *, overwrite: bool, stream: BinaryIO | None = None) -> None:
    """Writes an object.

    Args:
        made: the object.
        path: of its file.
        overwrite: whether a file that stands there may be replaced.
        stream: a file that becomes its pixel data, as one fragment; it is copied piece by piece.

    Raises:
        OSError: it cannot be written.
    """
    if stream is not None:
        made.PixelData = encapsulate_buffer([stream], has_bot=False)  # type: ignore[list-item]
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True
    with replacing(path, private=True, overwrite=overwrite) as partial:
        dcmwrite(partial, made, enforce_file_format=True)
