"""Folders to write to: refused where they hold something already."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.errors import InputError, OutputError, WriteError
from engine.files.claims import held_in

_KEPT = ("cache", "features")
_OF_RUNS = ("recipe.json", "last.pt", "best.pt", "settings.json")


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


def clean_run(folder: Path) -> list[Path]:
    """Removes the frames that a training run keeps, and what was computed of them.

    Returns:
        The folders that were removed; a link in the place of one is left alone, as it is shared with other runs.

    Raises:
        InputError: it is no folder of a run.
        WriteError: a folder cannot be removed.
    """
    if not any((folder / name).is_file() for name in _OF_RUNS):
        raise InputError(f"{str(folder)!r} is no folder of a training run; give what was its --output")
    removed = [path for path in (folder / name for name in _KEPT) if path.is_dir() and not path.is_symlink()]
    for path in removed:
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise WriteError(f"{str(path)!r} cannot be removed ({error.strerror}); remove it by hand") from error
    return removed
