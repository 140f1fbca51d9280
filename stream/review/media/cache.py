"""A folder of files that can be made again: bounded, the ones that nobody used for longest go first."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.checks import require_above
from engine.files import make_folder

_WORK = ".making-"  # begins the names of folders of unfinished files
_LEFT_S = 600.0  # an unfinished file that nobody wrote to for so long was left by a run that was killed


class FileCache:
    """Files by name in one folder. Several processes may share it."""

    def __init__(self, folder: Path, *, most_bytes: float) -> None:
        """Makes the folder, and removes what killed runs left in it.

        Args:
            folder: of the files.
            most_bytes: that they may take together; the newest one stays even where it is larger.

        Raises:
            InputError: the limit is not positive.
            OutputError: the folder cannot be made.
        """
        require_above("the size of a cache", most_bytes)
        self.folder, self._most_bytes = folder, most_bytes
        make_folder(folder)
        for left in folder.glob(f"{_WORK}*"):
            if time.time() - max((_changed_s(path) for path in (left, *left.glob("*"))), default=0.0) > _LEFT_S:
                shutil.rmtree(left, ignore_errors=True)

    def find(self, name: str) -> Path | None:
        """The file of a name, which counts as used now; None where there is none."""
        path = self.folder / name
        try:
            os.utime(path)
        except OSError:
            return path if path.is_file() else None
        return path

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """Gives a path to write to, in a folder of its own; the file gets its name at the end of the `with` block.

        When the block fails nothing is left of it.

        Raises:
            OSError: the folder cannot be written.
        """
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=self.folder))
        try:
            yield work / name
            (work / name).replace(self.folder / name)
            self._make_room(name)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _make_room(self, newest: str) -> None:
        files = [path for path in self.folder.iterdir() if path.is_file() and path.name != newest]
        files.sort(key=_changed_s)
        over = sum(map(_size, files)) + _size(self.folder / newest) - self._most_bytes
        for path in files:
            if over <= 0:
                return
            over -= _size(path)
            with suppress(OSError):
                path.unlink()


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
