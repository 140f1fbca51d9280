"""Where to begin to read a recording that is still being written, so that what is newest is seen at once.

A container that is written as it comes can be read from the beginning of any of its parts, once its head is known:
Matroska from a cluster, MP4 from a fragment, MPEG streams from anywhere, as their heads are repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_EBML, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x1f\x43\xb6\x75"
_FIRST_IN_CLUSTER = (0xE7, 0xBF, 0xEC)  # a time, a checksum, or nothing
_TS_PACKET, _TS_SYNC = 188, 0x47
_MPEG_PACK = b"\x00\x00\x01\xba"
_BASE_IN_FILE = 0x000001  # a fragment that counts its bytes from the beginning of the file
_HEAD_BYTES = 1 << 22  # within which the first part begins
_TAIL_BYTES = (1 << 22, 1 << 26)  # of the end that are searched for a part, one after the other


@dataclass(frozen=True, slots=True)
class LateStart:
    """The two pieces of a file that make a stream of their own.

    Attributes:
        head: bytes from the beginning that come first.
        begin: place of the byte that follows them.
    """

    head: int
    begin: int


def late_start(path: Path) -> LateStart | None:
    """Find where to begin near the end of a file.

    Args:
        path: of the file, which may grow meanwhile.

    Returns:
        None where it has to be read from its beginning.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        size = file.seek(0, 2)
        if head.startswith(_EBML):
            return _by_parts(file, head, size, _is_cluster, _CLUSTER, before=0)
        if head[4:8] == b"ftyp":
            return _by_parts(file, head, size, _is_fragment, b"moof", before=4)
        if head[:1] == bytes([_TS_SYNC]) and head[_TS_PACKET : _TS_PACKET + 1] == bytes([_TS_SYNC]):
            return _by_bytes(size, _TS_PACKET)
        if head.startswith(_MPEG_PACK):
            return _by_bytes(size, 1)
    return None


def _by_bytes(size: int, step: int) -> LateStart | None:
    begin = max(size - _TAIL_BYTES[0], 0) // step * step
    return LateStart(0, begin) if begin else None


def _by_parts(
    file: BinaryIO, head: bytes, size: int, is_part: Callable[[bytes, int], bool], mark: bytes, *, before: int
) -> LateStart | None:
    """The head up to the first part, and a part near the end; a mark stands `before` bytes after a part's start."""
    first = _find(head, mark, is_part)
    if first is None:
        return None
    for length in _TAIL_BYTES:
        begin = max(size - length, 0)
        file.seek(begin)
        # The first part within it, and not the last one, which need not hold a key frame.
        found = _find(file.read(size - begin), mark, is_part)
        if found is not None:
            return LateStart(first - before, begin + found - before) if begin + found > first else None
    return None


def _find(data: bytes, mark: bytes, is_part: Callable[[bytes, int], bool]) -> int | None:
    place = data.find(mark)
    while place >= 0 and not is_part(data, place):
        place = data.find(mark, place + 1)
    return place if place >= 0 else None


def _is_cluster(data: bytes, place: int) -> bool:
    """Whether a cluster begins there: its size, then an element that a cluster begins with."""
    place += len(_CLUSTER)
    if place >= len(data) or not data[place]:
        return False
    place += 9 - data[place].bit_length()
    return place < len(data) and data[place] in _FIRST_IN_CLUSTER


def _is_fragment(data: bytes, place: int) -> bool:
    """Whether a fragment begins there that can be moved: its places are counted from its own beginning."""
    if data[place + 8 : place + 12] != b"mfhd":
        return False
    track = data.find(b"tfhd", place, place + 4096)
    return track >= 0 and len(data) >= track + 8 and not data[track + 7] & _BASE_IN_FILE
