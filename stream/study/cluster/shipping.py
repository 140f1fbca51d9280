"""Recordings for machines that cannot see them: sent through Ray in pieces, kept there while the study runs."""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from engine.errors import RunError

PIECE_BYTES = 8 * 2**20
"""Bytes that are sent at once."""

_AHEAD = 2  # pieces under way to one machine: so much memory a machine takes of Ray's object store
_SPARE_BYTES = 2 * 2**30  # of disk that are left to others
_PREFIX = "shipped-"


class Courier:
    """Reads recordings of the machine that runs the study; an actor there."""

    def describe(self, path: Path) -> tuple[int, int]:
        """Bytes of a recording, and when it was changed. Raises OSError when it cannot be read."""
        status = path.stat()
        return status.st_size, status.st_mtime_ns

    def piece(self, path: Path, start: int) -> bytes:
        """The next bytes of a recording from a place on. Raises OSError when it cannot be read."""
        with path.open("rb") as file:
            file.seek(start)
            return file.read(PIECE_BYTES)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Brings recordings to the machine that it is called on, each once.

    Attributes:
        courier: handle of the actor.
    """

    courier: Any

    def __call__(self, recording: Path, folder: Path) -> Path:
        """The path of a recording here.

        Args:
            recording: its path on the machine that runs the study.
            folder: where files of this user are kept here.

        Raises:
            OSError: it cannot be read there, or kept here.
            RunError: it changed meanwhile.
        """
        import ray

        size, changed_ns = ray.get(self.courier.describe.remote(recording))
        named = hashlib.sha256(f"{recording}\0{size}\0{changed_ns}".encode()).hexdigest()[:24]
        # FFmpeg tells some formats by the ending.
        target = folder / f"{_PREFIX}{named}{recording.suffix}"
        with FileLock(folder / f"{_PREFIX}{named}.lock"):
            if target.is_file():
                target.touch()  # which others to remove is told by it
                return target
            _make_room(folder, size)
            partial = target.with_name(f"{target.name}.partial")
            try:
                self._receive(recording, size, partial)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        return target

    def _receive(self, recording: Path, size: int, partial: Path) -> None:
        import ray

        starts = deque(range(0, size, PIECE_BYTES))
        coming: deque[Any] = deque()
        with partial.open("wb") as file:
            partial.chmod(0o600)
            while starts or coming:
                while starts and len(coming) < _AHEAD:
                    coming.append(self.courier.piece.remote(recording, starts.popleft()))
                file.write(ray.get(coming.popleft()))
            if file.tell() != size:
                raise RunError(f"{recording} changed while it was sent; run the same command again")


def clear(folder: Path) -> None:
    """Removes what was sent to this machine."""
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            path.unlink()


def _make_room(folder: Path, size: int) -> None:
    """Removes what was used longest ago until there is room; who has it open can read it to its end."""
    old = sorted((path for path in folder.glob(f"{_PREFIX}*") if path.suffix != ".lock"), key=_changed_ns)
    while old and shutil.disk_usage(folder).free < size + _SPARE_BYTES:
        old.pop(0).unlink(missing_ok=True)


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
