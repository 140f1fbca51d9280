"""The pages of a TIFF, read by tifffile.

The files of CVC-ClinicDB are tagged as grey with three values a pixel. OpenCV then returns the first value as a grey
picture and Pillow refuses; tifffile hands out what is stored, and three values a pixel are colour.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from engine.errors import SourceError
from stream.sources.containers.size_limit import beyond_limit, check_size, most_pixels
from stream.sources.opencv_log import decode_packed
from stream.sources.picture_depth import Values

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of a TIFF."""

_PHOTOMETRIC = frozenset(  # others (CMYK, YCbCr, Lab) are left to OpenCV
    {
        tifffile.PHOTOMETRIC.MINISWHITE,
        tifffile.PHOTOMETRIC.MINISBLACK,
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.PALETTE,
    }
)
_ORIENTATION_TAG = 274
_VALUES_A_PIXEL = 5  # colours with transparency, and one to spare
_COPY_OR_MASK = 1 | 4  # of a page: a smaller copy of another one, or its transparency

# tifffile tells of oddities of a file through logging; what matters is raised or reported by this module.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff_pages(data: bytes, path: Path, *, palette: bool = True) -> Iterator[Values]:
    """The pages of a TIFF one after the other. Smaller copies of pages and their transparency are no pages.

    Args:
        data: the whole file.
        path: of it, for messages.
        palette: whether pixels that are places in a palette become its colours.

    Yields:
        BGR uint8 or uint16, shape (height, width, 3).

    Raises:
        SourceError: it cannot be read.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            pages = _full_pages(tiff)
            if not pages:
                raise ValueError("it has no page")
            for _, page in pages:
                _check_size(page, path)
            stack = _stack(tiff, len(data)) if len(pages) == 1 else None
            if stack is not None:
                for pixels in stack:
                    yield _to_bgr(pixels, pages[0][1], path, palette)
                return
            for number, page in pages:
                yield _read_page(page, number, data, path, palette)
    except SourceError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in the parser
        raise SourceError(f"{path} is not a TIFF that can be read ({error}); convert it to PNG") from error


def tiff_page_count(data: bytes) -> int:
    """How many pages a TIFF has; 1 when that cannot be told."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            pages = len(_full_pages(tiff))
            stack = _stack(tiff, len(data)) if pages == 1 else None
            return pages if stack is None else len(stack)
    except Exception:  # reading it will say what is wrong
        return 1


def _full_pages(tiff: tifffile.TiffFile) -> list[tuple[int, tifffile.TiffPage]]:
    """The pages with their place in the file; the first page is one whatever it says of itself."""
    pages = [(number, page) for number, page in enumerate(tiff.pages) if isinstance(page, tifffile.TiffPage)]
    return [(number, page) for number, page in pages if number == 0 or not int(page.subfiletype) & _COPY_OR_MASK]


def _stack(tiff: tifffile.TiffFile, size: int) -> npt.NDArray[Any] | None:
    """All pictures of a file that describes its first one only (large stacks of ImageJ); None for any other file."""
    page, series = tiff.pages.first, tiff.series[0]
    if (
        series.dtype is None
        or not isinstance(page, tifffile.TiffPage)
        or math.prod(series.shape) <= math.prod(page.shape)
    ):
        return None
    if series.size * series.dtype.itemsize > size:
        return None  # it names more than it holds
    return np.asarray(series.asarray()).reshape(-1, *page.shape)


def _check_size(page: tifffile.TiffPage, path: Path) -> None:
    """Refuses a page that is too large: also one with many values a pixel, or many planes behind each other."""
    check_size((page.imagewidth, page.imagelength), str(path))
    values = page.imagewidth * page.imagelength * page.imagedepth * page.samplesperpixel
    if values > _VALUES_A_PIXEL * most_pixels():
        raise SourceError(f"{path} is too large: {values} values{beyond_limit()}")


def _read_page(page: tifffile.TiffPage, number: int, data: bytes, path: Path, palette: bool) -> Values:
    if page.photometric not in _PHOTOMETRIC:
        return _by_opencv(data, number, path)
    try:
        pixels = page.asarray()
    except (ValueError, ImportError):
        # LZW, JPEG and rarer compressions need tifffile's optional codecs; OpenCV has its own.
        if page.compression == tifffile.COMPRESSION.NONE:
            raise
        return _by_opencv(data, number, path)
    image = _to_bgr(pixels, page, path, palette)
    return upright(image, int(page.tags.valueof(_ORIENTATION_TAG, default=1)))


def _by_opencv(data: bytes, number: int, path: Path) -> Values:
    image = decode_packed(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, page=number)
    if image is None:
        raise SourceError(f"{path} is not a TIFF that can be read; convert it to PNG")
    if image.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"{path} has pixels of type {image.dtype}; convert it to 8 or 16 bits a channel")
    return cast(Values, image)


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


def upright(image: Values, orientation: int) -> Values:
    """Apply TIFF's orientation tag (1 to 8)."""
    if orientation in (2, 4, 5, 7):
        image = image[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(image, turns))
