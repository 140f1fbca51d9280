"""Folders to write to: refused where they hold something already."""

from __future__ import annotations

from pathlib import Path

from engine.errors import OutputError
from engine.files.claims import held_in


def refuse_run(folder: Path) -> None:
    """Lets a folder pass that holds no training run.

    Raises:
        OutputError: it holds one.
    """
    if (folder / "last.pt").is_file():
        raise OutputError(f"{str(folder)!r} holds a run already; go on with --resume, or give another folder")


def refuse_used(folder: Path) -> None:
    """Lets a folder pass that is new or empty.

    Raises:
        OutputError: it holds something already, or is a file.
    """
    try:
        used = folder.exists() and (not folder.is_dir() or any(held_in(folder)))
    except OSError as error:
        raise OutputError(f"{str(folder)!r} cannot be read ({error.strerror}); give a new folder") from error
    if used:
        raise OutputError(f"{str(folder)!r} holds something already; give a new folder")
