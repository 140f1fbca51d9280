"""HEIF and AVIF pictures that are stored as a grid of tiles (ISO/IEC 23008-12), which FFmpeg hands out one by one."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.errors import SourceError

_MOST_BYTES = 1 << 24  # of a `meta` box; real ones have some thousand


@dataclass(frozen=True, slots=True)
class Grid:
    """A picture of tiles.

    Attributes:
        tiles: how many tiles it has.
    """

    tiles: int


def primary_grid(path: Path) -> Grid | None:
    """The grid that a file's main picture is stored as; None when it is stored whole, or is no HEIF file.

    Args:
        path: any file.
    """
    try:
        with path.open("rb") as file:
            if file.read(8)[4:] != b"ftyp":
                return None
            meta = _meta_box(file)
        return None if meta is None else _grid(dict(_boxes(meta[4:])))
    except (OSError, struct.error, IndexError):
        return None


def refuse_grid(path: Path) -> None:
    """Refuses a picture that FFmpeg would hand out as one of its tiles.

    Raises:
        SourceError: the file's main picture is a grid.
    """
    grid = primary_grid(path)
    if grid is not None:
        raise SourceError(
            f"{path} is a picture of {grid.tiles} tiles (a HEIF grid), of which one alone would be read; convert it to "
            "PNG or JPEG"
        )


def _meta_box(file: BinaryIO) -> bytes | None:
    """The content of the top-level `meta` box."""
    end, place = os.fstat(file.fileno()).st_size, 0
    while place + 8 <= end:
        file.seek(place)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", file.read(8))[0], 16
        if kind == b"meta":
            return file.read(size - header) if header < size <= _MOST_BYTES else None
        if size < header:
            return None
        place += size
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        if size < 8:
            return
        yield kind, data[place + 8 : place + size]
        place += size


def _grid(meta: dict[bytes, bytes]) -> Grid | None:
    primary = _number(meta.get(b"pitm", b""), 4, wide=meta[b"pitm"][0] > 0) if b"pitm" in meta else None
    if primary is None or _item_types(meta.get(b"iinf", b"")).get(primary) != b"grid":
        return None
    return Grid(_references(meta.get(b"iref", b""), primary))


def _item_types(iinf: bytes) -> dict[int, bytes]:
    types: dict[int, bytes] = {}
    entries = iinf[6:] if iinf[:1] == b"\0" else iinf[8:]
    for kind, entry in _boxes(entries):
        if kind == b"infe" and entry[0] in (2, 3):
            wide = entry[0] == 3
            start = 4 + (4 if wide else 2) + 2
            types[_number(entry, 4, wide=wide)] = entry[start : start + 4]
    return types


def _references(iref: bytes, item: int) -> int:
    """Tiles that a grid refers to."""
    wide = iref[:1] != b"\0"
    side = 4 if wide else 2
    for kind, entry in _boxes(iref[4:]):
        if kind == b"dimg" and _number(entry, 0, wide=wide) == item:
            return int(struct.unpack(">H", entry[side : side + 2])[0])
    return 0


def _number(data: bytes, place: int, *, wide: bool) -> int:
    return int(struct.unpack(">I" if wide else ">H", data[place : place + (4 if wide else 2)])[0])
