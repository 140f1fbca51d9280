"""Memory that two processes see: where pictures go from the process that made them to the one that runs the network.

It is a file without a name for long, mapped by both; on Linux it lies in memory. `multiprocessing.shared_memory` is not
used: on most systems it starts a further process that watches over it, from wherever the user happens to stand.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.closing import Closing
from engine.errors import RunError

_PREFIX = "slot-"
_BYTES = np.dtype(np.float32).itemsize
_IN_MEMORY = Path("/dev/shm")  # nosec B108


def shared_folder() -> Path:
    """Makes a folder for slots and for the server's address, which this user alone can enter.

    Raises:
        RunError: it cannot be made.
    """
    for place in (_IN_MEMORY, None):
        if place is None or (place.is_dir() and os.access(place, os.W_OK)):
            try:
                return Path(tempfile.mkdtemp(prefix="polypstream-", dir=place))
            except OSError as error:
                failure = error
    raise RunError(f"no folder can be made in {tempfile.gettempdir()}: {failure.strerror or failure}; set TMPDIR")


class Slot(Closing):
    """Room for one batch of pictures, float32."""

    def __init__(self, file: int, path: Path) -> None:
        """Maps a file.

        Args:
            file: its descriptor; closed here.
            path: of the file.
        """
        try:
            self.bytes = os.fstat(file).st_size
            self._memory = mmap.mmap(file, self.bytes)
        finally:
            os.close(file)
        self.path = path

    @classmethod
    def make(cls, folder: Path, size: int) -> Slot:
        """Makes a slot of so many bytes.

        Args:
            folder: from `shared_folder`.
            size: bytes, above 0.

        Raises:
            RunError: there is no memory for it.
        """
        try:
            file, name = tempfile.mkstemp(prefix=_PREFIX, dir=folder)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file, 0, size)  # memory that is promised only kills the process that uses it
                else:
                    os.ftruncate(file, size)
            except OSError:
                os.close(file)
                os.unlink(name)
                raise
            return cls(file, Path(name))
        except OSError as error:
            raise RunError(f"no {size} bytes for pictures in {folder}: {error.strerror or error}") from error

    @classmethod
    def open(cls, folder: Path, name: str) -> Slot:
        """Opens the slot that another process made, and takes its name away where the system lets it.

        Args:
            folder: where it was made.
            name: of its file.

        Raises:
            RunError: there is none of this name.
        """
        path = folder / Path(name).name
        try:
            file = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0))
        except OSError as error:
            raise RunError(f"no pictures can be taken from {path}: {error.strerror or error}") from error
        slot = cls(file, path)
        slot._unlink()  # so that nothing is left of it, however the processes end
        return slot

    def write(self, pictures: npt.NDArray[np.float32]) -> None:
        """Copies pictures into it: the one copy on their way to the other process."""
        np.frombuffer(self._memory, np.float32, pictures.size).reshape(pictures.shape)[...] = pictures

    def pictures(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """The pictures that lie in it, without a copy.

        Raises:
            RunError: it is too small for this shape.
        """
        if min(shape, default=0) < 1 or prod(shape) * _BYTES > self.bytes:
            raise RunError(f"pictures of the shape {shape} do not fit into {self.bytes} bytes")
        return np.frombuffer(self._memory, np.float32, prod(shape)).reshape(shape)

    def close(self) -> None:
        """Lets go of it."""
        self._unlink()
        with suppress(BufferError):  # an array of it is still in use; it goes with that
            self._memory.close()

    def _unlink(self) -> None:
        with suppress(OSError):
            self.path.unlink()
