"""A disk without space, for single files."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from engine.files import UnfinishedFile


def no_space(*_: object) -> NoReturn:
    """Raises what a full disk raises."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_disk(patch: pytest.MonkeyPatch, path: Path) -> None:
    """Leaves no space for one file, however it is called while it is written."""
    write = UnfinishedFile.write

    def fails(file: UnfinishedFile, data: bytes) -> int:
        if file.path == path:
            no_space()
        return write(file, data)

    patch.setattr(UnfinishedFile, "write", fails)
