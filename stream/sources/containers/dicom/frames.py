"""The pictures of an object, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.errors import SourceError
from engine.reading.bounded import reason_of, shortened
from stream.sources.containers.dicom.objects import INSTALL, DicomObject, quiet, read_object, require_pixels
from stream.sources.containers.dicom.pixel_data import PixelData, find_pixel_data
from stream.sources.containers.dicom.syntaxes import JPEG_LS, JPEG_OF_8_BITS, is_native, package_for
from stream.sources.containers.picture_sizes import largest_size
from stream.sources.containers.size_limit import check_size
from stream.sources.opencv_log import decode_packed

_GREY = ("MONOCHROME1", "MONOCHROME2")
_YBR = ("YBR_FULL", "YBR_FULL_422")
_COLOR = ("RGB", *_YBR, "YBR_RCT", "YBR_ICT")
_PALETTE = "PALETTE COLOR"
_JPEG_LS_FRAME = b"\xff\xf7"
_START, _END, _JFIF, _ADOBE = b"\xff\xd8", b"\xff\xd9", b"\xff\xe0", b"\xff\xee"
_HEAD = 4096  # bytes in which a JPEG has its marks
#: The segment by which a JPEG says whether it holds RGB (0) or luma and chroma (1).
_ADOBE_SEGMENT = _ADOBE + b"\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"


class DicomPictures:
    """The pictures of an object that holds no video."""

    def __init__(self, found: DicomObject) -> None:
        """Checks what the object says of them; nothing is decoded.

        Raises:
            SourceError: there are none, they are laid out in a way that is not known, or their decoder is missing.
        """
        self.found = found
        require_pixels(found)
        path = found.path
        if found.frames == 0:
            raise SourceError(f"{path} names 0 frames; send the object again")
        if found.is_video:
            raise SourceError(f"{path} holds a video and no pictures")
        self.size_wh = found.number("Columns"), found.number("Rows")
        if 0 in self.size_wh:
            raise SourceError(f"{path} names pictures of {self.size_wh[0]}x{self.size_wh[1]} pixels; send it again")
        check_size(self.size_wh, str(path))
        self._meaning = found.text("PhotometricInterpretation")
        self._samples = found.number("SamplesPerPixel", default=1)
        self._allocated, self._stored = found.number("BitsAllocated"), found.number("BitsStored")
        self._signed = found.number("PixelRepresentation", default=0) == 1
        self._check_layout()
        self._decoder = self._find_decoder()
        self._pixels: PixelData = find_pixel_data(found)
        if found.frames > max(self._pixels.size, 1):  # a time is made for each before the first one is read
            raise SourceError(
                f"{path} is cut short: it names {found.frames:,} frames and holds {self._pixels.size:,} bytes of "
                "pixels; send it again"
            )

    def read(self) -> Iterator[Image]:
        """Decodes the pictures in order.

        Yields:
            BGR uint8, shape (height, width, 3).

        Raises:
            SourceError: one of them is missing or damaged.
        """
        path, frames = self.found.path, self._pixels.frames
        number = 0
        try:
            with self.found.open() as file:
                for number, fragments in enumerate(frames[: self.found.frames], 1):
                    yield self._decode(self._pixels.read(file, fragments), number)
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror or error}; check its rights") from error
        if number < self.found.frames:
            why = f" ({self._pixels.missing})" if self._pixels.missing else ""
            raise SourceError(
                f"{path} is cut short: it names {self.found.frames} frames and holds {number}{why}; send it again"
            )

    def _check_layout(self) -> None:
        path, meaning, samples = self.found.path, self._meaning, self._samples
        if meaning in _GREY or meaning == _PALETTE:
            fits = samples == 1
        elif meaning in _COLOR:
            fits = samples == 3
        else:
            raise SourceError(
                f"{path}: pixels that mean {shortened(meaning) if meaning else 'nothing that is named'} (Photometric "
                "Interpretation) are not read; convert it to RGB or MONOCHROME2"
            )
        if not fits:
            values = "value" if samples == 1 else "values"
            raise SourceError(f"{path} is {meaning} and has {samples} {values} a pixel; convert or send it again")
        if self._allocated not in (8, 16) or not 1 <= self._stored <= self._allocated:
            raise SourceError(
                f"{path} has {self._stored} of {self._allocated} bits a value; only 8 and 16 bits are read"
            )
        if meaning in _YBR and self._stored > 8:
            raise SourceError(f"{path} is {meaning} of {self._stored} bits, which is not read; convert it to RGB")

    def _find_decoder(self) -> Any:
        """pydicom's decoder; None where OpenCV decodes."""
        if self.found.syntax in JPEG_OF_8_BITS and self._stored == 8:
            return None
        from pydicom.pixels.decoders.base import get_decoder

        path, name = self.found.path, self.found.syntax_name
        try:
            decoder = get_decoder(self.found.syntax)
        except (NotImplementedError, ValueError) as error:
            raise SourceError(f"{path} is of {shortened(name)}, which is not read; convert it: dcmconv +te") from error
        if not is_native(self.found.syntax) and not decoder.is_available:
            package = package_for(self.found.syntax)
            remedy = f"{package} brings it: {INSTALL}" if package else INSTALL
            raise SourceError(f"{path}: the decoder of {name} is not installed; {remedy}")
        return decoder

    def _decode(self, data: bytes, number: int) -> Image:
        name = f"frame {number} of {self.found.path}" if self.found.frames > 1 else str(self.found.path)
        size_wh = self._coded_size(data)
        if size_wh is not None and size_wh != self.size_wh:
            raise SourceError(
                f"{name} has {size_wh[0]}x{size_wh[1]} pixels, and the object names {self.size_wh[0]}x"
                f"{self.size_wh[1]}; send it again"
            )
        return self._by_opencv(data, name) if self._decoder is None else self._by_pydicom(data, name)

    def _coded_size(self, data: bytes) -> tuple[int, int] | None:
        """Width and height that a compressed frame names; it is not decoded where the object names others."""
        if is_native(self.found.syntax):
            return None
        if self.found.syntax in JPEG_LS:
            at = data.find(_JPEG_LS_FRAME)
            return (int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big"))
        return largest_size(data)

    def _by_opencv(self, data: bytes, name: str) -> Image:
        """A JPEG of 8 bits. What it says of its own colours counts; the object is asked where it says nothing."""
        start = data.find(_START)
        if start < 0 or _END not in data[-16:]:
            raise SourceError(f"{name} is no JPEG, or cut short; send the object again")
        data = data[start:]
        marked = data.startswith((_START + _JFIF, _START + _ADOBE)) or b"Adobe" in data[:_HEAD]
        if self._samples == 3 and not marked:
            is_ybr = self._meaning != "RGB"
            data = _START + _ADOBE_SEGMENT + bytes([is_ybr]) + data[2:]
        image = decode_packed(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            raise SourceError(f"{name} is a damaged JPEG; send the object again")
        pixels = np.asarray(image, np.uint8)
        return 255 - pixels if self._meaning == "MONOCHROME1" else pixels

    def _by_pydicom(self, data: bytes, name: str) -> Image:
        from pydicom.encaps import encapsulate

        native = is_native(self.found.syntax)
        try:
            with quiet():
                pixels, _ = self._decoder.as_array(
                    data if native else encapsulate([data], has_bot=False),
                    index=0,
                    rows=self.size_wh[1],
                    columns=self.size_wh[0],
                    number_of_frames=1,
                    samples_per_pixel=self._samples,
                    planar_configuration=self.found.number("PlanarConfiguration", default=0),
                    photometric_interpretation=self._meaning,
                    bits_allocated=self._allocated,
                    bits_stored=self._stored,
                    pixel_representation=int(self._signed),
                    pixel_keyword="PixelData",
                    pixel_vr="OB" if self._allocated == 8 else "OW",
                )
                return self._to_bgr(pixels)
        except SourceError:
            raise
        except Exception as error:  # decoders raise what damaged data leads to, of any kind
            raise SourceError(f"{name} cannot be decoded ({reason_of(error)[:120]}); send the object again") from error

    def _to_bgr(self, pixels: npt.NDArray[Any]) -> Image:
        """Decoded values as BGR: the upper 8 of the bits that are stored."""
        stored = self._stored
        if self._meaning == _PALETTE:
            from pydicom.pixels.processing import apply_color_lut

            pixels = apply_color_lut(pixels, self.found.attributes)
            stored = pixels.dtype.itemsize * 8
        elif self._signed:
            pixels = pixels.astype(np.int32) + (1 << stored - 1)
        values = pixels >> stored - 8 if stored > 8 else pixels << 8 - stored
        if self._meaning == "MONOCHROME1":
            values = 255 - values
        if values.ndim == 2:
            values = np.repeat(values[:, :, None], 3, axis=2)
        return np.ascontiguousarray(values[:, :, ::-1], np.uint8)


def open_pictures(path: Path) -> DicomPictures:
    """The pictures of a DICOM object.

    Raises:
        SourceError: as of `DicomPictures`, or it is damaged.
    """
    return DicomPictures(read_object(path))
