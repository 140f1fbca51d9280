"""Where a file ends by its own structure: whether it was cut, and how many pictures it names."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_LISTS = (b"RIFF", b"LIST")
_MOVIE_LISTS = (b"AVI ", b"AVIX", b"movi", b"rec ")


def avi_chunks(path: Path, stream: int) -> int:
    """Chunks of a video stream of an AVI, the empty ones with them: each stands for one frame's time.

    Args:
        path: the AVI.
        stream: number of the stream.

    Returns:
        How many whole chunks the file holds, up to where its structure breaks off.
    """
    try:
        with path.open("rb") as file:
            return _count_chunks(file, f"{stream:02d}".encode(), os.fstat(file.fileno()).st_size)
    except OSError:
        return 0


def _count_chunks(file: BinaryIO, stream: bytes, end: int) -> int:
    count = place = 0
    while place + 8 <= end:
        file.seek(place)
        kind, size, inside = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if kind in _LISTS and inside in _MOVIE_LISTS:
            place += 12  # its chunks follow
            continue
        if place + 8 + size > end:
            break
        count += kind[:2] == stream and kind[2:] in (b"dc", b"db")
        place += 8 + size + size % 2
    return count


def matroska_is_cut(path: Path) -> bool | None:
    """Whether a Matroska or WebM file ends before the end that it names; None when it names none."""
    try:
        with path.open("rb") as file:
            head, size = file.read(64), os.fstat(file.fileno()).st_size
        if not head.startswith(_EBML):
            return None
        length, begin = _ebml_size(head, len(_EBML))
        begin += length or 0
        if length is None or head[begin : begin + 4] != _SEGMENT:
            return None
        length, begin = _ebml_size(head, begin + len(_SEGMENT))
        return None if length is None else begin + length > size
    except (OSError, IndexError):
        return None


def _ebml_size(data: bytes, place: int) -> tuple[int | None, int]:
    """A size of EBML (RFC 8794) and the place after it; None for the size that stands for "unknown"."""
    width = 9 - data[place].bit_length()
    bits = 7 * width
    value = int.from_bytes(data[place : place + width], "big") & ((1 << bits) - 1)
    return (None if value == (1 << bits) - 1 else value), place + width
