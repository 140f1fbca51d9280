"""DICOM objects for tests: videos and pictures of `tests.kit.media` as endoscopes store them. They need pydicom."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

VIDEO_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
VL_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"
MULTI_FRAME_COLOR = "1.2.840.10008.5.1.4.1.1.7.4"


def new_object(kind: str, syntax: str, **attributes: Any) -> Dataset:
    """An object of somebody, without pixels."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = UID(kind)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientName, made.PatientID = "Doe^Jane", "P-17"
    made.PatientBirthDate, made.PatientSex = "19700102", "F"
    made.StudyDate, made.StudyTime, made.AccessionNumber = "20260301", "101500", "A-9"
    made.ReferringPhysicianName, made.StudyID, made.Modality = "Referrer^Rita", "S1", "ES"
    made.SeriesNumber, made.InstanceNumber = "1", "1"
    made.Manufacturer = "Maker"
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def make_video_object(
    path: Path,
    stream: Path,
    syntax: str,
    *,
    size_wh: tuple[int, int] = (128, 96),
    frames: int = 25,
    fragments: int = 1,
    offsets: bool = False,
    **attributes: Any,
) -> Path:
    """Writes a Video Endoscopic object.

    Args:
        path: to write.
        stream: file with the video as it goes into the object.
        syntax: UID.
        size_wh: width and height that the object names.
        frames: that the object names.
        fragments: pieces that the stream is cut into.
        offsets: whether there is a table of offsets.
        attributes: more of the object, by keyword.
    """
    made = new_object(VIDEO_ENDOSCOPIC, syntax)
    made.Columns, made.Rows = size_wh
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "YBR_PARTIAL_420", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.NumberOfFrames = frames
    for name, value in attributes.items():
        setattr(made, name, value)
    made.PixelData = encapsulate([stream.read_bytes()], fragments_per_frame=fragments, has_bot=offsets)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    made.save_as(path, enforce_file_format=True)
    return path


def make_picture_object(
    path: Path,
    frames: Sequence[npt.NDArray[Any]],
    *,
    meaning: str = "RGB",
    syntax: str = ExplicitVRLittleEndian,
    planes: bool = False,
    bits_stored: int | None = None,
    coded: Sequence[bytes] | None = None,
    **attributes: Any,
) -> Path:
    """Writes an object with pictures.

    Args:
        path: to write.
        frames: values in the meaning that is named, of shape (height, width) or (height, width, 3), one type.
        meaning: the Photometric Interpretation.
        syntax: UID; uncompressed unless `coded` is given.
        planes: whether each colour is stored as a plane of its own.
        bits_stored: of a value; all of its bits when not given.
        coded: the frames as they are stored; `frames` then only tell of size and type.
        attributes: more of the object, by keyword.
    """
    first = frames[0]
    made = new_object(VL_ENDOSCOPIC if len(frames) == 1 else MULTI_FRAME_COLOR, syntax)
    made.Rows, made.Columns = first.shape[:2]
    made.SamplesPerPixel = 1 if first.ndim == 2 else 3
    made.PhotometricInterpretation = meaning
    if first.ndim == 3:
        made.PlanarConfiguration = int(planes)
    made.BitsAllocated = first.dtype.itemsize * 8
    made.BitsStored = bits_stored or made.BitsAllocated
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(first.dtype.kind == "i")
    if len(frames) > 1:
        made.NumberOfFrames = len(frames)
    for name, value in attributes.items():
        setattr(made, name, value)
    if coded is not None:
        made.PixelData = encapsulate(list(coded))
    else:
        stored = [one.transpose(2, 0, 1) if planes else one for one in frames]
        made.PixelData = b"".join(_ordered(one, big=syntax == ExplicitVRBigEndian).tobytes() for one in stored)
        if len(made.PixelData) % 2:
            made.PixelData += b"\0"
    made["PixelData"].VR = "OB" if made.BitsAllocated == 8 and syntax != ImplicitVRLittleEndian else "OW"
    made["PixelData"].is_undefined_length = coded is not None
    made.save_as(
        path,
        enforce_file_format=True,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
    )
    return path


def _ordered(values: npt.NDArray[Any], *, big: bool) -> npt.NDArray[Any]:
    return values.astype(values.dtype.newbyteorder(">" if big else "<"))


def run_dcmtk(*command: str | Path) -> str:
    """Runs a program of DCMTK or dicom3tools; returns what it says, and fails where it does."""
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rgb(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A BGR picture as RGB, or the other way round."""
    return np.ascontiguousarray(image[:, :, ::-1])


def read(path: Path) -> Dataset:
    """All of an object."""
    return dcmread(path)


def items(found: Dataset, kind: str) -> Iterator[Dataset]:
    """Content items of a structured report, at any depth.

    Args:
        found: the report, or an item of it.
        kind: value type, as in "NUM".
    """
    for item in found.get("ContentSequence", ()):
        if item.ValueType == kind:
            yield item
        yield from items(item, kind)


def validator_errors(path: Path) -> list[str]:
    """What `dciodvfy` (dicom3tools) finds wrong with an object; warnings are none."""
    # It says its findings on the other channel, and ends with status 0 whatever it finds.
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    lines = (said.stdout + said.stderr).splitlines()
    assert [line for line in lines if not line.startswith("Warning")]  # the name of what it found
    return [line for line in lines if line.startswith(("Error", "Abort"))]
