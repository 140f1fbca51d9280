"""Read one picture file as BGR, whatever its format, depth and colour layout."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from engine.arrays import Image
from engine.errors import SourceError
from stream.sources.opencv_log import opencv_silent

Values: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
"""Pixels at the depth in which they are stored: uint8 or uint16."""

JPEG_MAGIC = b"\xff\xd8\xff"
"""First bytes of a JPEG."""

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_PALETTE = 3  # colour type of a PNG whose pixels are places in a palette
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_PHOTOMETRIC = frozenset(  # others (CMYK, YCbCr, Lab) are left to OpenCV
    {
        tifffile.PHOTOMETRIC.MINISWHITE,
        tifffile.PHOTOMETRIC.MINISBLACK,
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.PALETTE,
    }
)
_ORIENTATION_TAG = 274

# tifffile tells of oddities of a file through logging; what matters is raised or reported by this module.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_picture(path: str | Path) -> Image:
    """Read a picture file. May be called from several threads at once.

    Grey pictures become three equal channels, 16-bit values are cut to their upper 8 bits, transparency is dropped,
    and a rotation written in the file (EXIF) is applied.

    Args:
        path: a JPEG, PNG, BMP, TIFF, WebP, JPEG 2000 or PNM file.

    Returns:
        BGR uint8, shape (height, width, 3).

    Raises:
        SourceError: the file is missing, damaged, cut short, or of a format that is not known.

    Example:
        >>> read_picture("frame.png").shape
        (240, 320, 3)
    """
    values = read_values(path)
    return np.asarray(values >> 8 if values.dtype == np.uint16 else values, np.uint8)


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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check the path and its rights") from error
    if not data:
        raise SourceError(f"{path} is empty (0 bytes); copy it again")
    if data[:4] in _TIFF_MAGIC:
        return _read_tiff(data, path, palette)
    if _is_cut_short(data):
        raise SourceError(f"{path} is cut short: its end is missing; copy it again")
    return _decode(data if palette else _with_grey_palette(data), path)


def _decode(data: bytes, path: Path) -> Values:
    """Everything that OpenCV reads; the bytes are handed over so that names outside ASCII work on every system."""
    # OpenCV writes about bad files to the terminal by itself; the error below says it once.
    packed = np.frombuffer(data, np.uint8)
    with opencv_silent():
        try:
            image = cv2.imdecode(packed, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
            if image is not None and image.dtype not in (np.uint8, np.uint16):
                image = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        except cv2.error:
            image = None
    if image is None:
        raise SourceError(f"{path} is not a picture that can be read; convert it to PNG or JPEG")
    return cast(Values, image)


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end mark: decoders fill the rest of such a picture with grey and say nothing."""
    if data.startswith(JPEG_MAGIC):
        # The last scan is the picture's own; a thumbnail with an end mark of its own stands before it.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if data.startswith(_PNG_MAGIC):
        return b"IEND" not in data[-4096:]
    return False


def _read_tiff(data: bytes, path: Path, palette: bool) -> Values:
    """The first page of a TIFF, read by tifffile.

    The files of CVC-ClinicDB are tagged as grey with three values a pixel. OpenCV then returns the first value as a
    grey picture and Pillow refuses; tifffile hands out what is stored, and three values a pixel are colour.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page = tiff.pages.first
            if page.photometric not in _TIFF_PHOTOMETRIC:
                return _decode(data, path)
            try:
                pixels = page.asarray()
            except (ValueError, ImportError):
                # LZW, JPEG and rarer compressions need tifffile's optional codecs; OpenCV has its own.
                if page.compression == tifffile.COMPRESSION.NONE:
                    raise
                return _decode(data, path)
            image = _to_bgr(pixels, page, path, palette)
            orientation = page.tags.valueof(_ORIENTATION_TAG, default=1)
    except SourceError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in the parser
        raise SourceError(f"{path} is not a TIFF that can be read ({error}); convert it to PNG") from error
    return _upright(image, int(orientation))


def _to_bgr(pixels: npt.NDArray[np.generic], page: tifffile.TiffPage, path: Path, palette: bool) -> Values:
    axes = page.axes
    for axis in axes:
        if axis not in "YXS":  # depth or similar: the first slice
            pixels = np.take(pixels, 0, axis=axes.index(axis))
            axes = axes.replace(axis, "")
    if axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    if palette and page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        pixels = np.moveaxis(page.colormap, 0, -1)[pixels]
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"{path} has pixels of type {pixels.dtype}; convert it to 8 or 16 bits a channel")
    values = cast(Values, pixels)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        values = np.iinfo(values.dtype).max - values
    if values.ndim == 2 or values.shape[2] < 3:  # grey, without or with transparency
        grey = values if values.ndim == 2 else values[:, :, 0]
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.ascontiguousarray(values[:, :, 2::-1])


def _upright(image: Values, orientation: int) -> Values:
    """Apply TIFF's orientation tag (1 to 8)."""
    if orientation in (2, 4, 5, 7):
        image = image[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(image, turns))


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
