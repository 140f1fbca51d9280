"""Width and height of a picture by its header, for the formats that OpenCV decodes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Final

Size = tuple[int, int]

_PNM = re.compile(rb"P[1-6Ff](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_PAM = re.compile(rb"P7\s(?:[^\n]*\n){0,20}?WIDTH\s+(\d{1,9})\s", re.ASCII)
_PAM_HEIGHT = re.compile(rb"\nHEIGHT\s+(\d{1,9})\s", re.ASCII)
_RADIANCE = re.compile(rb"\n[-+]([XY]) (\d{1,9}) [-+][XY] (\d{1,9})\s")
_NO_SIZE_MARKERS: Final = frozenset({0xC4, 0xC8, 0xCC})  # between the frame markers of JPEG, and none of them
_HEAD = 1 << 16


def largest_size(data: bytes) -> Size | None:
    """Width and height of the largest picture that a file's headers name; None where none can be told.

    Args:
        data: the whole file.
    """
    sizes_of = next((reader for begins, reader in _FORMATS if data.startswith(begins)), None)
    if sizes_of is None and data[4:8] == b"ftyp":
        sizes_of = _heif
    if sizes_of is None:
        return None
    try:
        return max(sizes_of(data), key=lambda size: size[0] * size[1], default=None)
    except (struct.error, IndexError):
        return None


def _png(data: bytes) -> Iterator[Size]:
    yield struct.unpack(">II", data[16:24])


def _jpeg(data: bytes) -> Iterator[Size]:
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:  # compressed values: the next marker that is no filling
            place = data.find(b"\xff", place)
            if place < 0:
                return
            continue
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            place += 2
        elif marker == 0xD9:
            return
        else:
            if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE_MARKERS:
                height, width = struct.unpack(">HH", data[place + 5 : place + 9])
                yield width, height
                return  # a second one belongs to no picture that decoders accept
            place += 2 + struct.unpack(">H", data[place + 2 : place + 4])[0]


def _gif(data: bytes) -> Iterator[Size]:
    yield struct.unpack("<HH", data[6:10])


def _bmp(data: bytes) -> Iterator[Size]:
    if struct.unpack("<I", data[14:18])[0] == 12:
        yield struct.unpack("<HH", data[18:22])
    else:
        width, height = struct.unpack("<ii", data[18:26])
        yield abs(width), abs(height)


def _webp(data: bytes) -> Iterator[Size]:
    place = 12
    while place + 18 <= len(data):
        kind, size = struct.unpack("<4sI", data[place : place + 8])
        inside = data[place + 8 : place + 24]
        if kind == b"VP8X":
            yield int.from_bytes(inside[4:7], "little") + 1, int.from_bytes(inside[7:10], "little") + 1
        elif kind == b"VP8L":
            bits = struct.unpack("<I", inside[1:5])[0]
            yield (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"VP8 ":
            width, height = struct.unpack("<HH", inside[6:10])
            yield width & 0x3FFF, height & 0x3FFF
        elif kind == b"ANMF":
            yield int.from_bytes(inside[6:9], "little") + 1, int.from_bytes(inside[9:12], "little") + 1
        place += 8 + size + size % 2


def _sun(data: bytes) -> Iterator[Size]:
    yield struct.unpack(">II", data[4:12])


def _pnm(data: bytes) -> Iterator[Size]:
    head = _PNM.match(data[:_HEAD])
    if head is not None:
        yield int(head[1]), int(head[2])


def _pam(data: bytes) -> Iterator[Size]:
    width, height = _PAM.match(data[:_HEAD]), _PAM_HEIGHT.search(data[:_HEAD])
    if width is not None and height is not None:
        yield int(width[1]), int(height[1])


def _radiance(data: bytes) -> Iterator[Size]:
    head = _RADIANCE.search(data[:_HEAD])
    if head is not None:
        yield (int(head[3]), int(head[2])) if head[1] == b"Y" else (int(head[2]), int(head[3]))


def _jpeg_2000(data: bytes) -> Iterator[Size]:
    place = data.find(b"\xff\x4f\xff\x51")
    if place >= 0:  # the code stream decides, whatever the boxes around it say
        right, bottom, left, top = struct.unpack(">IIII", data[place + 8 : place + 24])
        yield max(right - left, 0), max(bottom - top, 0)


def _heif(data: bytes) -> Iterator[Size]:
    """Sizes of all items; a grid's own size is among them."""
    place = data.find(b"ispe")
    while place >= 0:
        if place + 16 <= len(data):
            yield struct.unpack(">II", data[place + 8 : place + 16])
        place = data.find(b"ispe", place + 4)


_FORMATS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], Iterator[Size]]], ...] = (
    ((b"\x89PNG\r\n\x1a\n",), _png),
    ((b"\xff\xd8\xff",), _jpeg),
    ((b"GIF8",), _gif),
    ((b"BM",), _bmp),
    ((b"RIFF",), _webp),
    ((b"\x59\xa6\x6a\x95",), _sun),
    ((b"P7",), _pam),
    ((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"PF", b"Pf"), _pnm),
    ((b"#?RADIANCE", b"#?RGBE"), _radiance),
    ((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), _jpeg_2000),
)
