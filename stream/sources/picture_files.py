"""Which files are taken for pictures: one list of endings for sources, data sets and class folders."""

from __future__ import annotations

from pathlib import Path

PICTURE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
"""File name endings (lower case) that are taken for pictures."""


def has_picture_suffix(path: Path) -> bool:
    """Whether a name ends as a picture's does, without regard to capitals."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that lie in a folder (not in folders below it), sorted by name; hidden files are left out.

    Raises:
        OSError: the folder is missing or cannot be read.
    """
    return sorted(
        path
        for path in folder.iterdir()
        if has_picture_suffix(path) and not path.name.startswith(".") and path.is_file()
    )
