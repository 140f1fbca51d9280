"""Outputs on disk: checks before work begins, and names of files that are being written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from engine.errors import OutputError
from engine.files import partial_path


def joining_path(target: Path) -> Path:
    """The name under which a finished output is put together, for a moment: out.mp4 -> out.joining.mp4."""
    return target.with_name(f"{target.stem}.joining{target.suffix}")


def check_output(
    target: Path,
    *,
    suffixes: Collection[str],
    overwrite: bool,
    inputs: Iterable[Path] = (),
) -> None:
    """Find out whether an output can be written, before any work is done for it.

    Args:
        target: the file to be written.
        suffixes: endings that are allowed, lower case with their dot.
        overwrite: whether an existing file may be replaced.
        inputs: files that are read in the same run.

    Raises:
        OutputError: wrong ending, missing or read-only folder, an existing file, or one of the inputs.
    """
    if target.suffix.lower() not in suffixes:
        raise OutputError(f"cannot write {target}: its name must end in {' or '.join(sorted(suffixes))}")
    folder = target.parent
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"cannot write {target}: {folder} is not a folder; name another folder")
    if not folder.exists():
        raise OutputError(f"cannot write {target}: the folder {folder} does not exist; make it first")
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder; name a file")
    for path in inputs:
        for written in (target, partial_path(target), joining_path(target)):
            if _same_file(written, path):
                raise OutputError(f"cannot write {target}: it would replace the input {path}; name another file")
    if target.exists() and not target.is_file():
        raise OutputError(f"cannot write {target}: it is not a regular file; name another file")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already; name another file, or allow it with --overwrite")
    try:
        # Rights do not tell all (an administrator, a read-only disk): only writing does.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or error} in {folder}; name a folder that can be written"
        ) from error


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
