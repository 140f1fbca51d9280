"""Objects that come over the network, written to a folder as they come, so that memory stays flat.

pynetdicom can write an object that is being received to a temporary file, chunk by chunk. That lies where `tempfile`
says, and the thread dies when the disk is full. So this module gives it files of its own.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pynetdicom import _config, dimse_messages

from engine.files import UnfinishedFile, file_mode, make_folder, take_name

ENDING = ".part"
"""Of the names of objects that are being received."""

RESERVE_BYTES = 256 * 1024**2
"""Room on the disk that no object may take: the ledger and the results need some."""

_LOOK_BYTES = 16 * 1024**2  # between two looks at the room
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_MOST_LETTERS = 64


class SpooledObject:
    """A file that is being received; as much of a temporary file as pynetdicom needs.

    After a fault nothing more is written, and what follows of the object is let go: the peer is answered at its end.

    Attributes:
        path: of the file.
        fault: what went wrong; None for nothing.
    """

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        """Makes it. A folder that cannot be written counts as a fault."""
        self.path, self.name, self.file = path, str(path), self
        self.fault: OSError | None = None
        self._reserve_bytes, self._since_look = reserve_bytes, _LOOK_BYTES
        self._file: UnfinishedFile | None = None
        try:
            self._file = UnfinishedFile(path, file_mode())
        except OSError as error:
            self.fault = error

    def write(self, data: bytes) -> int:
        """Takes bytes."""
        if self._file is not None and self.fault is None:
            try:
                self._check_room(len(data))
                self._file.write(data)
            except OSError as error:
                self.fault = error
                self.discard()
        return len(data)

    def flush(self) -> None:
        """Nothing: each `write` reaches the system."""

    def close(self) -> None:
        """Closes it; more than one call does no harm."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def sync(self) -> None:
        """Brings what was received to the disk. Raises OSError when it could not be written."""
        if self._file is None or self.fault is not None:
            raise self.fault or OSError(errno.EBADF, "it was never opened")
        os.fsync(self._file.fileno())

    def finish(self, target: Path) -> None:
        """Gives the object its name, on the disk.

        Raises:
            OSError: it could not be written.
        """
        self.sync()
        self.close()
        make_folder(target.parent)
        take_name(self.path, target, overwrite=True)
        sync_folder(target.parent)

    def discard(self) -> None:
        """Removes what was received, where it has no name yet."""
        self.close()
        with suppress(OSError):
            self.path.unlink()

    def _check_room(self, size: int) -> None:
        self._since_look += size
        if self._since_look >= _LOOK_BYTES:
            self._since_look = 0
            if shutil.disk_usage(self.path.parent).free < self._reserve_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)


class Spool:
    """The folder of what is being received, and what each connection is receiving."""

    def __init__(self, folder: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        """Makes the folder, and removes what a killed process left in it."""
        make_folder(folder)
        self._folder, self._reserve_bytes = folder, reserve_bytes
        self._lock = threading.Lock()
        self._open: dict[str, tuple[threading.Thread, SpooledObject]] = {}
        for left in folder.glob(f"*{ENDING}"):
            left.unlink(missing_ok=True)

    def begin(self, *_: Any, **__: Any) -> SpooledObject:
        """A new file, for the connection whose thread calls."""
        spooled = SpooledObject(self._folder / f"{secrets.token_hex(8)}{ENDING}", self._reserve_bytes)
        with self._lock:
            self._open[spooled.name] = (threading.current_thread(), spooled)
        return spooled

    def take(self, path: object) -> SpooledObject:
        """The whole object that was received to a path. Raises KeyError when its connection was closed meanwhile."""
        with self._lock:
            return self._open.pop(str(path))[1]

    def is_receiving(self) -> bool:
        """Whether an object is on its way."""
        with self._lock:
            return bool(self._open)

    def discard_of(self, thread: threading.Thread) -> None:
        """Removes what a connection that has ended was receiving."""
        with self._lock:
            names = [name for name, (owner, _) in self._open.items() if owner is thread]
            gone = [self._open.pop(name)[1] for name in names]
        for one in gone:
            one.discard()


@contextmanager
def spooled_into(folder: Path, *, reserve_bytes: int = RESERVE_BYTES) -> Iterator[Spool]:
    """Receives objects into files of a folder for the `with` block; for the whole process, so for one block at a time.

    Args:
        folder: that this run alone writes to.
        reserve_bytes: room on the disk that no object may take.

    Raises:
        OutputError: the folder cannot be made.
    """
    spool = Spool(folder, reserve_bytes=reserve_bytes)
    module: Any = dimse_messages
    before = module.NamedTemporaryFile, _config.STORE_RECV_CHUNKED_DATASET
    module.NamedTemporaryFile, _config.STORE_RECV_CHUNKED_DATASET = spool.begin, True
    try:
        yield spool
    finally:
        module.NamedTemporaryFile, _config.STORE_RECV_CHUNKED_DATASET = before
        for left in folder.glob(f"*{ENDING}"):
            left.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def is_uid(text: str) -> bool:
    """Whether a text is a UID; such a text is also safe as the name of a file."""
    return len(text) <= _MOST_LETTERS and _UID.fullmatch(text) is not None


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, on systems where that is asked for."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
