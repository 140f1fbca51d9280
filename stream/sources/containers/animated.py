"""Whether a picture file is an animation, told by its own structure: GIF, APNG, WebP, AVIF."""

from __future__ import annotations

import struct
from pathlib import Path

_PNG, _GIF, _RIFF = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a"), b"RIFF"
_SEQUENCES = (b"avis", b"msf1", b"hevc", b"hevx")  # brands of HEIF files whose pictures are a sequence
_HEAD = 1 << 16  # bytes in which a PNG says that it is animated


def is_animation(path: Path) -> bool:
    """Whether a picture file holds several frames that follow each other in time.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[:6] in _GIF:
            return _gif_frames(head + file.read(), most=2) > 1
        if head.startswith(_RIFF) and head[8:12] == b"WEBP":
            return len(webp_durations_ms(head + file.read())) > 1
    if head.startswith(_PNG):
        place = head.find(b"acTL")
        return 0 <= place < head.find(b"IDAT") and struct.unpack(">I", head[place + 4 : place + 8])[0] > 1
    return head[4:8] == b"ftyp" and head[8:12] in _SEQUENCES


def webp_durations_ms(data: bytes) -> list[int]:
    """How long each frame of a WebP lasts, in milliseconds; nothing for one that is not animated.

    Args:
        data: the whole file.
    """
    durations, place = [], 12
    while place + 8 <= len(data):
        kind, size = struct.unpack("<4sI", data[place : place + 8])
        if kind == b"ANMF":
            durations.append(int.from_bytes(data[place + 20 : place + 23], "little"))
        place += 8 + size + size % 2
    return durations


def _gif_frames(data: bytes, *, most: int) -> int:
    """Frames of a GIF, up to a number."""
    if len(data) < 13:
        return 0
    frames, place = 0, 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while place + 10 <= len(data) and frames < most:
        if data[place] == 0x2C:  # a picture: its descriptor, colours, size of code
            frames += 1
            flags = data[place + 9]
            place += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        elif data[place] == 0x21:
            place += 2
        else:
            break
        while place < len(data) and data[place]:  # its blocks
            place += 1 + data[place]
        place += 1
    return frames
