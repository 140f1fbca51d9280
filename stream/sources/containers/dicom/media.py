"""The video of an object as a file: a view over its fragments, of which nothing is copied."""

from __future__ import annotations

import bisect
import io
from itertools import accumulate
from pathlib import Path

from engine.errors import SourceError
from stream.sources.containers.dicom.objects import read_object, require_pixels
from stream.sources.containers.dicom.pixel_data import PixelData, find_pixel_data
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.containers.dicom.times import frame_rate


class EncapsulatedVideo(io.RawIOBase):
    """The bytes of a video stream, wherever they lie in the file of its object; read and sought like a file.

    Attributes:
        frame_rate: frames a second that the object names, for streams that have no times; None where it does not.
        missing: what is said of bytes that are named and not there; "" where all are.
    """

    def __init__(self, pixels: PixelData) -> None:
        """Opens the file of the object.

        Raises:
            OSError: it cannot be read.
        """
        super().__init__()
        self.frame_rate = frame_rate(pixels.found)
        self.missing = pixels.missing
        self._fragments = [one for one in pixels.fragments if one.length]
        self._ends = list(accumulate(one.length for one in self._fragments))
        self._size = self._ends[-1] if self._ends else 0
        self._position = 0
        self._file = pixels.found.open()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, up to `size`; all that are left where it is negative."""
        wanted = max(self._size - self._position, 0)
        wanted = wanted if size < 0 else min(size, wanted)
        parts = []
        while wanted > 0:
            number = bisect.bisect_right(self._ends, self._position)
            fragment, end = self._fragments[number], self._ends[number]
            self._file.seek(fragment.start + fragment.length - (end - self._position))
            part = self._file.read(min(wanted, end - self._position))
            if not part:  # the file was cut meanwhile
                break
            parts.append(part)
            self._position += len(part)
            wanted -= len(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place; returns it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def close(self) -> None:
        """Close the file of the object."""
        if not self.closed:
            self._file.close()
        super().close()


def encapsulated_video(path: Path) -> EncapsulatedVideo | None:
    """The video in a DICOM object; None for a file that is no DICOM object.

    Raises:
        SourceError: it is one without video, or damaged.
    """
    if not is_dicom(path):
        return None
    found = read_object(path)
    require_pixels(found)
    if not found.is_video:
        raise SourceError(f"{path} is a DICOM object with pictures and no video ({found.kind})")
    pixels = find_pixel_data(found)
    if not pixels.size:
        raise SourceError(f"{path} holds no video: its pixel data is empty; send the object again")
    try:
        return EncapsulatedVideo(pixels)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check its rights") from error


def missing_of(path: Path) -> str:
    """What is missing of the pixels of a DICOM object; "" for one that is whole, and for any other file."""
    if not is_dicom(path):
        return ""
    try:
        found = read_object(path)
        return "" if found.pixels_at is None else find_pixel_data(found).missing
    except SourceError:
        return ""
