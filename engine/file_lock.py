"""A lock between processes, held on a file; the system lets go of it when its holder dies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds the lock of a file, which is made when missing and stays; waits while another process holds it.

    Raises:
        OSError: the file cannot be made or locked.
    """
    with path.open("a+b") as file:
        if sys.platform == "win32":
            while True:
                try:
                    file.seek(0)
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError as error:  # Windows gives up after ten seconds
                    if error.errno not in (11, 13, 36):
                        raise
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if sys.platform == "win32":
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_UN)
