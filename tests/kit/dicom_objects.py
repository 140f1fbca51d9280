"""DICOM objects of every kind that goes over the network, made by pydicom from made pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid as uids
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, MPEG4HP41, UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

STUDY = "1.2.826.0.1.3680043.8.498.1"


def uid(*parts: str) -> str:
    """A UID that is the same in each run."""
    return str(generate_uid(prefix="1.2.826.0.1.3680043.8.498.", entropy_srcs=list(parts)))


def blank_object(sop_class_uid: UID, syntax: UID, name: str, *, study: str = STUDY) -> Any:
    """An object without content; patient and study are made up."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class_uid, UID(uid(study, name))
    meta.TransferSyntaxUID = syntax
    made: Any = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = sop_class_uid, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = study, uid(study, name, "series")
    made.PatientID, made.PatientName = "TEST-1", "Test^Made"
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20260102", "101500", "1", "A1"
    made.StudyDescription, made.Modality, made.SeriesNumber, made.InstanceNumber = "colonoscopy", "ES", 1, 1
    made.PatientBirthDate = made.PatientSex = made.ReferringPhysicianName = ""
    return made


def with_video(path: Path, film: Path, *, syntax: UID = MPEG4HP41, frames: int = 50, study: str = STUDY) -> Path:
    """Video Endoscopic Image Storage of a film's own bytes."""
    made = blank_object(uids.VideoEndoscopicImageStorage, syntax, path.stem, study=study)
    _pixels(made, 160, 128, "YBR_PARTIAL_420")
    made.NumberOfFrames, made.CineRate, made.FrameTime = frames, 25, 40.0
    made.PixelData = encapsulate([film.read_bytes()], has_bot=False)
    made["PixelData"].is_undefined_length = True
    return _saved(made, path)


def with_picture(path: Path, *, jpeg: bytes | None = None, study: str = STUDY, number: int = 0) -> Path:
    """VL Endoscopic Image Storage: noise, or a JPEG."""
    syntax = ExplicitVRLittleEndian if jpeg is None else JPEGBaseline8Bit
    made = blank_object(uids.VLEndoscopicImageStorage, syntax, path.stem, study=study)
    _pixels(made, 160, 128, "RGB" if jpeg is None else "YBR_FULL_422")
    if jpeg is None:
        made.PixelData = np.random.default_rng(number).integers(0, 256, (128, 160, 3), dtype=np.uint8).tobytes()
    else:
        made.PixelData = encapsulate([jpeg])
        made["PixelData"].is_undefined_length = True
    return _saved(made, path)


def with_report(path: Path, *, study: str = STUDY) -> Path:
    """A small Comprehensive SR."""
    made = blank_object(uids.ComprehensiveSRStorage, ExplicitVRLittleEndian, path.stem, study=study)
    made.Modality, made.CompletionFlag, made.VerificationFlag = "SR", "COMPLETE", "UNVERIFIED"
    made.ContentDate, made.ContentTime, made.ValueType, made.ContinuityOfContent = (
        "20260102",
        "101500",
        "CONTAINER",
        "SEPARATE",
    )
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "18748-4", "LN", "Diagnostic imaging report"
    made.ConceptNameCodeSequence = [code]
    return _saved(made, path)


def with_pdf(path: Path, *, study: str = STUDY) -> Path:
    """An Encapsulated PDF."""
    made = blank_object(uids.EncapsulatedPDFStorage, ExplicitVRLittleEndian, path.stem, study=study)
    made.Modality, made.MIMETypeOfEncapsulatedDocument, made.DocumentTitle = "DOC", "application/pdf", "report"
    made.EncapsulatedDocument = b"%PDF-1.4\n%%EOF\n"
    made.BurnedInAnnotation = "NO"
    return _saved(made, path)


def every_kind(folder: Path, h264: Path, mpeg2: Path, jpeg: bytes) -> dict[str, Path]:
    """An object of each kind, by name, in one study."""
    return {
        "h264": with_video(folder / "h264.dcm", h264),
        "mpeg2": with_video(folder / "mpeg2.dcm", mpeg2, syntax=MPEG2MPML),
        "plain": with_picture(folder / "plain.dcm"),
        "jpeg": with_picture(folder / "jpeg.dcm", jpeg=jpeg),
        "report": with_report(folder / "report.dcm"),
        "pdf": with_pdf(folder / "pdf.dcm"),
    }


def _pixels(made: Any, width: int, height: int, photometric: str) -> None:
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, photometric, 0
    made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = height, width, 8, 8, 7
    made.PixelRepresentation = 0


def _saved(made: Any, path: Path) -> Path:
    made.save_as(path, enforce_file_format=True)
    return path
