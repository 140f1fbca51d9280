"""Where the pixels of an object lie in its file: as they are, or in fragments (DICOM PS3.5, annex A.4)."""

from __future__ import annotations

import bisect
import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from engine.errors import SourceError
from stream.sources.containers.dicom.objects import DicomObject
from stream.sources.containers.dicom.syntaxes import is_native

_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_LONG_HEAD, _SHORT_HEAD, _ITEM_HEAD = 12, 8, 8  # bytes before a value
_MOST_FRAGMENTS = 1 << 22  # a day of frames at 48 a second
_BEGINNINGS = (b"\xff\xd8", b"\xff\x4f\xff\x51")  # of a JPEG and JPEG-LS, and of a JPEG 2000


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of pixel data.

    Attributes:
        start: where it begins, in bytes of the file.
        length: how many bytes of it are there.
    """

    start: int
    length: int


@dataclass(frozen=True, eq=False)
class PixelData:
    """The pixels of an object as they are stored.

    Attributes:
        found: the object.
        fragments: pieces in order; one where pixels are stored as they are.
        offsets: of the first fragment of each frame, counted from the first fragment's head on; empty where the object
            does not say.
        missing: what is said of bytes that are named and not there; "" where all are.
    """

    found: DicomObject
    fragments: tuple[Fragment, ...]
    offsets: tuple[int, ...]
    missing: str

    @property
    def size(self) -> int:
        """Bytes of all fragments."""
        return sum(one.length for one in self.fragments)

    @cached_property
    def frames(self) -> Sequence[Sequence[Fragment]]:
        """The fragments of each frame of pictures, in order. Frames that the object names may be missing at the end."""
        if is_native(self.found.syntax):
            return [[one] for one in _native_frames(self)]
        named = self.found.frames
        if named == 1:
            return [self.fragments] if self.fragments else []
        if len(self.offsets) > 1:
            return _by_offsets(self.fragments, self.offsets)
        if len(self.fragments) <= named:
            return [[one] for one in self.fragments]
        return self._by_beginnings()

    def read(self, file: BinaryIO, fragments: Sequence[Fragment]) -> bytes:
        """The bytes of fragments, from what `found.open` gives. Raises OSError."""
        parts = []
        for one in fragments:
            file.seek(one.start)
            parts.append(file.read(one.length))
        return b"".join(parts)

    def _by_beginnings(self) -> list[list[Fragment]]:
        """Frames of several fragments without a table of offsets: each begins as its format does."""
        frames: list[list[Fragment]] = []
        with self.found.open() as file:
            for one in self.fragments:
                file.seek(one.start)
                if file.read(4).startswith(_BEGINNINGS) or not frames:
                    frames.append([])
                frames[-1].append(one)
        return frames


def find_pixel_data(found: DicomObject) -> PixelData:
    """Finds the fragments of an object; their bytes are not read.

    Args:
        found: an object with pixel data.

    Raises:
        SourceError: it cannot be read, or its pixel data is damaged.
    """
    assert found.pixels_at is not None
    order = ">" if found.is_big_endian else "<"
    try:
        with found.open() as file:
            end = file.seek(0, io.SEEK_END)
            file.seek(found.pixels_at)
            if found.is_implicit:
                (length,) = struct.unpack("<4xI", file.read(_SHORT_HEAD))
            else:
                (length,) = struct.unpack(f"{order}8xI", file.read(_LONG_HEAD))
            start = file.tell()
            if length != _UNDEFINED:
                there = min(length, end - start)
                missing = "" if there == length else _said_missing(length, there)
                return PixelData(found, (Fragment(start, there),), (), missing)
            if is_native(found.syntax):
                raise SourceError(f"{found.path} is damaged: its pixel data has no length; send the object again")
            return _encapsulated(found, file, end)
    except struct.error as error:
        raise SourceError(f"{found.path} is cut off in its pixel data; send the object again") from error
    except OSError as error:
        raise SourceError(f"cannot read {found.path}: {error.strerror or error}; check its rights") from error


def _encapsulated(found: DicomObject, file: BinaryIO, end: int) -> PixelData:
    """The fragments of encapsulated pixel data, of which the file stands at the first item: the table of offsets."""
    offsets: tuple[int, ...] = ()
    fragments: list[Fragment] = []
    missing = "its end is not marked"
    for number, (tag, at, length) in enumerate(_items(file)):
        if tag == _END:
            missing = ""
            break
        if tag != _ITEM or length == _UNDEFINED or number > _MOST_FRAGMENTS:
            missing = f"what follows fragment {len(fragments)} is no fragment"
            break
        if number == 0:
            table = file.read(min(length, max(end - at, 0)))
            offsets = struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])
        else:
            there = max(min(length, end - at), 0)
            fragments.append(Fragment(at, there))
            if there < length:
                missing = _said_missing(length, there, what=f"fragment {len(fragments)}")
                break
        file.seek(at + length)
    extended = found.attributes.get("ExtendedOffsetTable")
    if isinstance(extended, bytes) and extended:
        offsets = struct.unpack(f"<{len(extended) // 8}Q", extended[: len(extended) // 8 * 8])
    return PixelData(found, tuple(fragments), offsets, missing)


def _items(file: BinaryIO) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Tag, place of the value and length of each item, until the file ends; whoever asks goes to the next one."""
    while len(head := file.read(_ITEM_HEAD)) == _ITEM_HEAD:
        group, element, length = struct.unpack("<HHI", head)
        yield (group, element), file.tell(), length


def _by_offsets(fragments: Sequence[Fragment], offsets: Sequence[int]) -> list[list[Fragment]]:
    if not fragments:
        return []
    first = fragments[0].start
    starts = [first + offset for offset in offsets]
    frames: list[list[Fragment]] = [[] for _ in offsets]
    for one in fragments:
        number = bisect.bisect_right(starts, one.start) - 1
        if number >= 0:
            frames[number].append(one)
    return [frame for frame in frames if frame]


def _native_frames(pixels: PixelData) -> Iterator[Fragment]:
    """The frames of uncompressed pixels that are there as a whole."""
    found = pixels.found
    (whole,) = pixels.fragments
    each = native_frame_bytes(found)
    for number in range(found.frames):
        if (number + 1) * each > whole.length:
            return
        yield Fragment(whole.start + number * each, each)


def native_frame_bytes(found: DicomObject) -> int:
    """Bytes of one uncompressed frame.

    Raises:
        SourceError: the object does not say how its pixels are laid out.
    """
    values = (found.number(name) for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"))
    rows, columns, samples, bits = values
    size = rows * columns * samples * bits // 8
    return size * 2 // 3 if found.text("PhotometricInterpretation") == "YBR_FULL_422" else size


def _said_missing(length: int, there: int, *, what: str = "its pixel data") -> str:
    return f"{what} names {length:,} bytes, of which {there:,} are there"
