"""Which bytes a file holds: all of them, or enough to see that a recording has changed without reading hours."""

from __future__ import annotations

import filecmp
import hashlib
from pathlib import Path

_PIECE = 1 << 20  # bytes that are read at once, and at each end of a file that tell it from others


def quick_digest(path: Path) -> str:
    """Hexadecimal sha256 of a file's first and last MiB and its size.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_PIECE))
        size = file.seek(0, 2)
        file.seek(max(size - _PIECE, 0))
        digest.update(file.read(_PIECE))
    digest.update(str(size).encode())
    return digest.hexdigest()


def full_digest(path: Path) -> str:
    """Hexadecimal sha256 of a whole file. Raises OSError when it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes. Raises OSError when one cannot be read."""
    return filecmp.cmp(one, other, shallow=False)
