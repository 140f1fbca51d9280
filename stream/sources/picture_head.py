"""Size and orientation of a picture file, from its header where that tells them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.errors import SourceError
from stream.sources.opencv_log import opencv_silent
from stream.sources.picture_reader import JPEG_MAGIC, read_picture
from stream.sources.tiff_pages import upright

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_ORIENTATION_TAG = 274
#: Marks under which formats hold EXIF.
_EXIF_MARKS = (b"Exif", b"eXIf", b"EXIF")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class PictureHead:
    """What a picture file says of its size.

    Attributes:
        stored_wh: width and height of the pixels as they are stored.
        orientation: that `read_picture` applies to them, 1 (none) to 8, as EXIF counts.
    """

    stored_wh: tuple[int, int]
    orientation: int = 1

    @property
    def shown_wh(self) -> tuple[int, int]:
        """Width and height as the picture is read."""
        width, height = self.stored_wh
        return (height, width) if self.orientation in _SIDEWAYS else (width, height)


def read_head(path: Path) -> PictureHead:
    """Size and orientation of a picture. JPEG and PNG need not be decoded for it.

    Raises:
        SourceError: the file is missing or no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check the path and its rights") from error
    exif = any(mark in data for mark in _EXIF_MARKS)
    if data.startswith(_PNG_MAGIC) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        orientation = _orientation(data, data.find(b"eXIf") + 4) if exif and b"eXIf" in data else 1
        return PictureHead((width, height), orientation)
    if data.startswith(JPEG_MAGIC) and (head := _jpeg_head(data)) is not None:
        return head
    return _decoded_head(data, path, exif=exif)


def _jpeg_head(data: bytes) -> PictureHead | None:
    """From the segments of a JPEG; None where they end before its size."""
    orientation, start = 1, 2
    while start + 9 < len(data) and data[start] == 0xFF:
        marker = data[start + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 1:  # fillers, and markers without a length
            start += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", data[start + 2 : start + 4])
        if marker == 0xE1 and data[start + 4 : start + 10] == b"Exif\0\0":
            orientation = _orientation(data[: start + 2 + length], start + 10)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[start + 5 : start + 9])
            return PictureHead((width, height), orientation)
        start += 2 + length
    return None


def _orientation(data: bytes, start: int) -> int:
    """The orientation tag of the EXIF block (a small TIFF) that begins at `start`; 1 where there is none."""
    order = {b"II": "<", b"MM": ">"}.get(data[start : start + 2])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(f"{order}I", data, start + 4)
        (count,) = struct.unpack_from(f"{order}H", data, start + offset)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, start + offset + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _decoded_head(data: bytes, path: Path, *, exif: bool) -> PictureHead:
    """By decoding: with and without the turn where there is one, and which turn leads from one to the other."""
    shown = read_picture(path)
    height, width = shown.shape[:2]
    if data[:4] in _TIFF_MAGIC:
        orientation = _orientation(data, 0) if data[2:4] in (b"*\0", b"\0*") else 1
        return PictureHead((height, width) if orientation in _SIDEWAYS else (width, height), orientation)
    if not exif:
        return PictureHead((width, height))
    with opencv_silent():
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None:
        return PictureHead((width, height))
    pixels = np.asarray(stored, np.uint8)
    turns = (turn for turn in range(1, 9) if np.array_equal(upright(pixels, turn), shown))
    return PictureHead((pixels.shape[1], pixels.shape[0]), next(turns, 1))
