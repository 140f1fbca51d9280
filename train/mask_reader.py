"""Read masks: of polyps, and of classes whose numbers are the values of the pixels."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import tifffile

from engine.errors import InputError
from stream.picture_reader import read_picture
from train.near_duplicates import Picture

_HALF = 128  # where the soft edges of masks of 0 to 255 are cut
_NOISE = 16  # JPEG can leave so much in a mask that is empty
_JPEG_MAGIC, _PNG_MAGIC = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_PALETTE = 3  # colour type of a PNG whose pixels are places in a palette


def read_mask(path: Path) -> Picture:
    """Reads a polyp mask, of any format, depth and colour layout: the brightest channel counts.

    Args:
        path: a picture file.

    Returns:
        uint8 (height, width), 1 = polyp. Masks with soft edges (JPEG) are cut at one half; masks of 0 and 1 are taken
        as they are, and in masks of 16 bits 255 and 1 are polyp as well as 65535.

    Raises:
        InputError: the file cannot be read, or its highest value says neither polyp nor background.
    """
    level: Picture = read_picture(path).max(axis=2)
    data = b""
    if level.max() < _HALF:  # empty, of 0 and 1, or of 16 bits, whose lower ones `read_picture` leaves out
        data = path.read_bytes()
        stored = _as_stored(data)
        if stored is not None and stored.dtype == np.uint16:
            level = stored.max(axis=2)
    highest = int(level.max())
    if highest <= 1:
        return level.astype(np.uint8)
    if highest <= _NOISE and data.startswith(_JPEG_MAGIC):
        return np.zeros(level.shape, np.uint8)
    if not _HALF <= highest <= 255:
        raise InputError(
            f"the highest value of mask {str(path)!r} is {highest}, which says neither polyp nor background; "
            "write 255 (or 1) for polyp and 0 for background"
        )
    return np.asarray(level >= _HALF, np.uint8)


def read_classes(path: Path) -> Picture:
    """Reads a mask whose numbers are classes.

    Args:
        path: a grey picture of 8 or 16 bits, or one with a palette of colours: the places in the palette are the
            classes then.

    Returns:
        uint8 or uint16 (height, width), 0 = background.

    Raises:
        InputError: the file cannot be read, or holds colours and no numbers.
    """
    values = read_picture(path)
    stored = _as_stored(_with_grey_palette(path.read_bytes()))
    if stored is not None and stored.dtype in (np.uint8, np.uint16):
        values = stored
    if (values != values[:, :, :1]).any():
        raise InputError(
            f"class mask {str(path)!r} is in colour; write a grey PNG of numbers: 0 background, 1, 2, ... the classes"
        )
    return values[:, :, 0]


def _as_stored(data: bytes) -> Picture | None:
    """A picture at its own depth, (height, width, channels); None where only `read_picture` can read it."""
    values = _plain_tiff(data) if data[:4] in _TIFF_MAGIC else None
    if values is not None:
        return values
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        return None


def _plain_tiff(data: bytes) -> Picture | None:
    """The numbers of a TIFF's first page, without transparency; None for one that is packed or turned.

    OpenCV reads those; of the plain ones it misreads some (channels one after the other, white as 0).
    """
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        turned = page.tags.valueof("Orientation", default=1) != 1
        if turned or page.compression != tifffile.COMPRESSION.NONE or page.axes not in ("YX", "YXS", "SYX"):
            return None
        values: Picture = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and values.dtype in (np.uint8, np.uint16):
            values = np.iinfo(values.dtype).max - values
    if values.ndim == 2:
        return values[:, :, None]
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    return values[:, :, :3] if values.shape[2] >= 3 else values[:, :, :1]


def _with_grey_palette(data: bytes) -> bytes:
    """A PNG with a palette of colours, made grey so that the places in the palette are what is read.

    Every other picture stays as it is, a palette of greys too: programs that make files smaller write grey masks so,
    in any order.
    """
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
