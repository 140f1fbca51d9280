"""Small files that name huge pictures."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np


def png_bomb(path: Path, side: int) -> Path:
    """Writes a whole grey PNG of side x side black pixels; 30,000 of them take 875 kB, and 900 MB when decoded."""
    row = b"\0" * (side + 1)
    rows = 100
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(row * rows) + squeeze.flush(zlib.Z_FULL_FLUSH)
    count, left = divmod(side, rows)
    rest = zlib.compressobj(9, zlib.DEFLATED, -15)
    tail = rest.compress(row * left) + rest.flush()
    checksum = struct.pack(">HH", len(row) * side % 65521, 1)
    content = b"\x78\xda" + block * count + tail + checksum
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", content), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
    return path


def jpeg(size_wh: tuple[int, int], *, named_wh: tuple[int, int] | None = None) -> bytes:
    """A JPEG whose header may name another size than it has; then it is long enough for FFmpeg to believe it."""
    width, height = size_wh
    done, packed = cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8))
    assert done
    data = bytearray(packed.tobytes())
    if named_wh is not None:
        place = data.find(b"\xff\xc0")
        data[place + 5 : place + 9] = struct.pack(">HH", named_wh[1], named_wh[0])
        data[-2:-2] = bytes(named_wh[0] * named_wh[1] // 200)
    return bytes(data)


def avi_of(path: Path, pictures: list[bytes], size_wh: tuple[int, int]) -> Path:
    """Writes a Motion JPEG of pictures, whose header names a size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height = size_wh
        stream.pix_fmt, stream.time_base = "yuvj420p", Fraction(1, 10)
        for number, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
            packet.time_base = Fraction(1, 10)
            container.mux(packet)
    return path
