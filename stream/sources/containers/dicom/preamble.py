"""Which files are DICOM objects: they say so after 128 bytes that may hold anything. pydicom is not needed for it."""

from __future__ import annotations

from pathlib import Path

_PREAMBLE_BYTES, _MARK = 128, b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether a path is a file with the mark of DICOM, whatever its name."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(_PREAMBLE_BYTES + len(_MARK)).endswith(_MARK, _PREAMBLE_BYTES)
    except (OSError, ValueError):
        return False
