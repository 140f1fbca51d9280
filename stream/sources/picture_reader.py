"""Read one picture file as BGR, whatever its format, depth and colour layout."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from engine.arrays import Image
from engine.errors import SourceError
from stream.sources.containers.animated import is_animation
from stream.sources.containers.dicom.frames import open_pictures
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.containers.picture_sizes import largest_size
from stream.sources.containers.size_limit import check_size
from stream.sources.opencv_log import decode_packed
from stream.sources.picture_depth import Values, bits_in_use, lower_bits, to_8_bits
from stream.sources.picture_files import ONCE
from stream.sources.tiff_pages import TIFF_MAGIC, read_tiff_pages, tiff_page_count

JPEG_MAGIC = b"\xff\xd8\xff"
"""First bytes of a JPEG."""

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_OTHERS = "(other pictures of this folder may be so too)"
_PNG_PALETTE = 3  # colour type of a PNG whose pixels are places in a palette
_JPEG_2000_MAGIC = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_JPEG_2000_SIZE, _JPEG_2000_DEPTH = b"\xff\x51\0", 40  # the segment of sizes, and where the depth stands in it
_HEIF_MAGIC = b"ftyp"  # from the fifth byte on: AVIF and HEIC
#: What OpenCV decodes. It refuses what is damaged, where FFmpeg would fill the holes and say nothing.
_OPENCV_MAGIC = (
    *(JPEG_MAGIC, _PNG_MAGIC, b"BM", b"RIFF", b"GIF8", b"\x59\xa6\x6a\x95", b"#?RADIANCE", b"#?RGBE"),
    *(*(f"P{kind}".encode() for kind in "1234567Ff"), *_JPEG_2000_MAGIC),
)
_PNM_HEAD = re.compile(rb"P[2356](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+(\d+)")


def read_picture(path: str | Path) -> Image:
    """Read a picture file. May be called from several threads at once.

    Grey pictures become three equal channels, 16-bit values are cut to the upper 8 of the bits in use, transparency is
    dropped, and a rotation written in the file (EXIF) is applied. Of pages and animations the first picture is read;
    `open_source` reads all of them.

    Args:
        path: a file in one of the formats of `stream.sources.picture_files.PICTURE_SUFFIXES`, or a DICOM object.

    Returns:
        BGR uint8, shape (height, width, 3).

    Raises:
        SourceError: the file is missing, damaged, cut short, or of a format that is not known.

    Example:
        >>> read_picture("frame.png").shape
        (240, 320, 3)
    """
    path = Path(path)
    if is_dicom(path):
        return next(open_pictures(path).read())
    data = _read_bytes(path)
    values = next(_pages(data, path, exact=False))
    bits = bits_in_use(values)
    if values.dtype == np.uint16 and bits < 16:
        ONCE.say(path.parent, "bits", f"{lower_bits(str(path), bits)} {_OTHERS}")
    pages = _page_count(data, path)
    if pages != 1:
        what = "is an animation" if pages == 0 else f"has {pages} pages"
        ONCE.say(
            path.parent,
            "pages",
            f"{path} {what}; the first picture is used, write the others as files of their own {_OTHERS}",
        )
    return to_8_bits(values, bits)


def read_values(path: str | Path, *, palette: bool = True) -> Values:
    """Read a picture file at its own depth; else as `read_picture`.

    Args:
        path: as of `read_picture`.
        palette: whether pixels that are places in a palette become its colours. Otherwise they stay places, as is meant
            where they are numbers of classes. A palette of greys in a PNG is always looked up: programs that make files
            smaller write grey pictures so, in any order.

    Returns:
        BGR uint8 or uint16, shape (height, width, 3).

    Raises:
        SourceError: as of `read_picture`.
    """
    path = Path(path)
    if is_dicom(path):
        return next(open_pictures(path).read())
    return next(_pages(_read_bytes(path), path, palette=palette))


def read_pages(path: Path) -> Iterator[Values]:
    """Read all pages of a picture file that is no animation, at their own depth; else as `read_values`.

    Raises:
        SourceError: as of `read_picture`.
    """
    yield from open_pictures(path).read() if is_dicom(path) else _pages(_read_bytes(path), path, exact=False)


def page_count(path: Path) -> int:
    """How many pages a picture file has that is no animation; 1 when that cannot be told.

    Raises:
        SourceError: it cannot be read.
    """
    if is_dicom(path):
        return open_pictures(path).found.frames
    data = _read_bytes(path)
    return tiff_page_count(data) if data[:4] in TIFF_MAGIC else 1


def _named_bits(data: bytes) -> int:
    """How many bits a channel a PNM or JPEG 2000 names; 16 for a format that names none."""
    head = _PNM_HEAD.match(data)
    if head is not None:
        return min(max(int(head[1]).bit_length(), 8), 16)
    size = data.find(_JPEG_2000_SIZE) if data.startswith(_JPEG_2000_MAGIC) else -1
    if size >= 0 and len(data) > size + _JPEG_2000_DEPTH:
        return min(max((data[size + _JPEG_2000_DEPTH] & 0x7F) + 1, 8), 16)
    return 16


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check the path and its rights") from error
    if not data:
        raise SourceError(f"{path} is empty (0 bytes); copy it again")
    return data


def _page_count(data: bytes, path: Path) -> int:
    """Number of pages; 0 for an animation."""
    if data[:4] in TIFF_MAGIC:
        return tiff_page_count(data)
    try:
        return 0 if is_animation(path) else 1
    except OSError:
        return 1


def _pages(data: bytes, path: Path, *, palette: bool = True, exact: bool = True) -> Iterator[Values]:
    """The pictures of a file at their own depth; unless exact, formats that name their depth come in 8 bits."""
    if data[:4] in TIFF_MAGIC:
        yield from read_tiff_pages(data, path, palette=palette)
        return
    if _is_cut_short(data):
        raise SourceError(f"{path} is cut short: its end is missing; copy it again")
    size_wh = largest_size(data)
    if size_wh is not None:
        check_size(size_wh, str(path))
    in_8_bits = data[4:8] == _HEIF_MAGIC and not exact
    flags = cv2.IMREAD_COLOR if in_8_bits else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    # OpenCV gets what has a size that is known to be bounded; FFmpeg has a limit of its own.
    image = None if size_wh is None else decode_packed(data if palette else _with_grey_palette(data), flags)
    if image is None and not data.startswith(_OPENCV_MAGIC):
        from stream.sources.containers.ffmpeg_pictures import read_by_ffmpeg  # PyAV is loaded where it is needed

        image = read_by_ffmpeg(path)
    if image is None:
        raise SourceError(f"{path} is not a picture that can be read; convert it to PNG or JPEG")
    if image.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"{path} has pixels of type {image.dtype}; convert it to 8 or 16 bits a channel")
    values = cast(Values, image)
    bits = 16 if exact else _named_bits(data)
    yield to_8_bits(values, bits) if bits < 16 else values


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end mark: decoders fill the rest of such a picture with grey and say nothing."""
    if data.startswith(JPEG_MAGIC):
        # The last scan is the picture's own; a thumbnail with an end mark of its own stands before it.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if data.startswith(_PNG_MAGIC):
        return b"IEND" not in data[-4096:]
    return False


def _with_grey_palette(data: bytes) -> bytes:
    """A PNG with a palette of colours, made grey so that the places in it are read; any other stays as it is."""
    if not data.startswith(_PNG_MAGIC) or data[25] != _PNG_PALETTE:
        return data
    chunks, start = [_PNG_MAGIC], len(_PNG_MAGIC)
    while start + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        content, end = data[start + 8 : start + 8 + length], start + 12 + length
        if kind == b"PLTE":
            if content[::3] == content[1::3] == content[2::3]:
                return data
            ramp = kind + bytes(place for place in range(length // 3) for _ in range(3))
            chunks.append(struct.pack(">I", length) + ramp + struct.pack(">I", zlib.crc32(ramp)))
        elif kind != b"tRNS":
            chunks.append(data[start:end])
        start = end
    return b"".join(chunks)
