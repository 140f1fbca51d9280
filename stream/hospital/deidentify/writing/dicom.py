"""DICOM objects written again: attributes by the profile, pictures or video covered as those of any other file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import SourceError, WriteError
from engine.files import claim, replacing
from engine.reading.bounded import reason_of
from stream.hospital.deidentify.keys import Key
from stream.hospital.deidentify.looking.recogniser import Recogniser
from stream.hospital.deidentify.looking.recording import Look
from stream.hospital.deidentify.sheet import Sheet
from stream.hospital.deidentify.writing.picture import CleanPicture, clean_picture
from stream.hospital.deidentify.writing.profile import clean_attributes
from stream.hospital.deidentify.writing.recording import write_recording
from stream.hospital.dicom.streams import MOST_BYTES, fitting_level
from stream.sources.containers.dicom.objects import quiet
from stream.sources.source import Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_OF_OBJECT = ("SOPClassUID", "SOPInstanceUID")
_EXPLICIT = "1.2.840.10008.1.2.1"
#: Attributes that say how pixels were stored, or what pixels they were made of.
_OF_OLD_PIXELS = (
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelPaddingValue", "ICCProfile", "ColorSpace"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "PixelDataProviderURL", "WindowCenter", "WindowWidth"),
    *("RescaleIntercept", "RescaleSlope", "RescaleType", "VOILUTSequence", "ModalityLUTSequence", "PixelData"),
    *(f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
)


def write_pictures_object(
    path: Path, source: Source, output: Path, recogniser: Recogniser | None, key: Key, *, overwrite: bool
) -> tuple[list[CleanPicture], Sheet, tuple[str, ...]]:
    """Writes an object of pictures, uncompressed.

    Args:
        path: of the object.
        source: the same, opened.
        output: to write.
        recogniser: that reads words; None to cover margins only.
        key: for identifiers and dates.
        overwrite: whether an existing file may be replaced.

    Returns:
        What was done to each picture, the contact sheet, and what was done to the attributes.

    Raises:
        InputError: it cannot be read.
        WriteError: it cannot be written; nothing is left of it.
    """
    dataset = _read(path)
    done = [clean_picture(frame.image, recogniser) for frame in source]
    if source.problems.broke_off:
        raise SourceError(source.problems.broke_off)
    pixels = np.stack([page.picture.image[:, :, ::-1] for page in done])
    dropped = clean_attributes(dataset, key, text_is_read=recogniser is not None)
    if len(done) > 1 or "NumberOfFrames" in dataset:
        dataset.NumberOfFrames = len(done)
    data = pixels.tobytes()
    _set_pixels(dataset, pixels.shape[2::-1][:2], "RGB", data + b"\0" * (len(data) % 2), _EXPLICIT)
    _save(dataset, output, overwrite=overwrite)
    sheet = Sheet(len(done), [])
    for number, page in enumerate(done):
        sheet.add(number, 0.0, page.picture, page.regions, is_black=not page.is_inside)
    return done, sheet, dropped


def write_video_object(
    path: Path,
    source: Source,
    look: Look,
    output: Path,
    sheet: Sheet,
    key: Key,
    *,
    overwrite: bool,
    text_is_read: bool,
    on_frame: Callable[[], object] | None = None,
) -> tuple[str, ...]:
    """Writes an object of a video, as H.264 in an MP4.

    Args:
        path: of the object.
        source: the same, opened anew.
        look: at it.
        output: to write.
        sheet: that gets some of the frames.
        key: for identifiers and dates.
        overwrite: whether an existing file may be replaced.
        text_is_read: whether text in the pixels was looked for.
        on_frame: told of each frame.

    Returns:
        What was done to the attributes.

    Raises:
        InputError: it cannot be read, or its frames are too large or too many a second for H.264 in DICOM.
        RunError: it cannot be written; nothing is left of it.
    """
    from pydicom.encaps import encapsulate_buffer

    dataset, level = _read(path), fitting_level(source.info)
    dropped = clean_attributes(dataset, key, text_is_read=text_is_read)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".polypstream-") as folder:
        video = Path(folder) / "video.mp4"
        with claim(video) as held:
            write_recording(source, look, video, sheet, claim=held, limits=level.limits, on_frame=on_frame)
        dataset.NumberOfFrames = look.frames
        if video.stat().st_size > MOST_BYTES:
            raise WriteError(
                f"{output} was not written: its video has more than 4 GiB, the most of an object; cut {path}"
            )
        size_wh = tuple(side + side % 2 for side in source.info.resolution_wh)
        dataset.LossyImageCompression = "01"
        with video.open("rb") as stream:  # copied piece by piece
            pixels = encapsulate_buffer([stream], has_bot=False)
            _set_pixels(dataset, size_wh, "YBR_PARTIAL_420", pixels, level.syntax)
            _save(dataset, output, overwrite=overwrite)
    return dropped


def _read(path: Path) -> Dataset:
    from pydicom import dcmread

    try:
        with quiet():
            dataset = dcmread(path, stop_before_pixels=True)  # a video may have more bytes than there is memory
            dataset.decode()  # all texts, by the character set that is named now
        names = {name: dataset.get(name) or dataset.file_meta.get(f"MediaStorage{name}") for name in _OF_OBJECT}
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check its rights") from error
    except Exception as error:  # pydicom raises what a malformed object leads to, of any kind
        raise SourceError(f"{path} is damaged or cut off ({reason_of(error)}); send the object again") from error
    for name, value in names.items():
        if not value:
            raise SourceError(f"{path} does not name its {name}; send the object again")
        setattr(dataset, name, value)
    return dataset


def _set_pixels(dataset: Dataset, size_wh: tuple[int, ...], meaning: str, data: Any, syntax: str) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    for name in _OF_OLD_PIXELS:
        if name in dataset:
            delattr(dataset, name)
    dataset.Columns, dataset.Rows = size_wh
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, meaning, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = data
    element: Any = dataset["PixelData"]
    element.VR, element.is_undefined_length = "OB", syntax != _EXPLICIT
    # A new head: the old one names the sender, and its preamble may hold anything.
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.file_meta, dataset.preamble = meta, b"\0" * 128


def _save(dataset: Dataset, output: Path, *, overwrite: bool) -> None:
    try:
        with quiet(), replacing(output, keep_ending=True, private=True, overwrite=overwrite) as partial:
            dataset.save_as(partial, enforce_file_format=True, overwrite=True, implicit_vr=False, little_endian=True)
    except OSError as error:
        raise WriteError(f"cannot write {output}: {error.strerror or error}; free space and run again") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise WriteError(f"{output} was not written: an attribute cannot be stored ({reason_of(error)})") from error
