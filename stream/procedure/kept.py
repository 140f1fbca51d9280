"""Pictures that were read from recordings once, kept so that nobody has to decode the recording for them again."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image
from engine.files import make_folder, write_bytes
from stream.procedure.reading import Recording
from stream.sources.interlaced.deinterlacer import Deinterlace

log = logging.getLogger(__name__)

_REMEDY = "free space, and run the same command again"
_NAME_LETTERS = 40  # of a checksum


@dataclass(frozen=True, slots=True)
class KeptPictures:
    """A folder of pictures by recording and frame: exact ones, as PNG. All or part of it may be removed at any time.

    Recordings are known by their bytes. Of one whose record has no checksum nothing is kept.

    Attributes:
        folder: made where it is missing.
    """

    folder: Path

    def holds(self, recording: Recording, frame: int) -> bool:
        """Whether there is a picture of a frame; `frame` is its index in the recording."""
        path = self._path(recording, frame)
        return path is not None and path.is_file()

    def read(self, recording: Recording, frame: int) -> Image | None:
        """The picture of a frame; a damaged one is said and removed.

        Args:
            recording: that it is of.
            frame: its index in the recording.

        Returns:
            BGR uint8 (height, width, 3); None where there is none, or no more.
        """
        path = self._path(recording, frame)
        if path is None:
            return None
        try:
            image = cv2.imdecode(np.fromfile(str(path), np.uint8), cv2.IMREAD_COLOR)
        except FileNotFoundError:
            return None
        except (OSError, cv2.error):
            image = None
        if image is None:
            log.warning("%s was damaged; it is made again from %s", path, recording.path)
            with suppress(OSError):
                path.unlink()
            return None
        return np.asarray(image, np.uint8)

    def write(self, recording: Recording, frame: int, image: Image) -> None:
        """Keeps the picture of a frame; arguments as of `read`.

        Raises:
            WriteError: it cannot be written.
        """
        path = self._path(recording, frame)
        if path is not None:
            make_folder(path.parent)
            write_bytes(path, cv2.imencode(".png", image)[1].tobytes(), remedy=_REMEDY, private=True)

    def keep_only(self, recording: Recording, frames: Collection[int]) -> None:
        """Removes the pictures of all other frames of a recording; what stays counts as used now."""
        folder = self._folder(recording)
        if folder is None or not folder.is_dir():
            return
        stay = {f"{frame}.png" for frame in frames}
        with suppress(OSError):  # what cannot be removed now goes another time
            for path in folder.iterdir():
                if path.name not in stay:
                    path.unlink()
            if frames:
                os.utime(folder)
            else:
                folder.rmdir()

    def forget_others(self, sha256s: Collection[str]) -> None:
        """Removes the pictures of all recordings but those with these checksums."""
        stay = {sha256[:_NAME_LETTERS] for sha256 in sha256s}
        for folder in self._folders():
            if folder.name[:_NAME_LETTERS] not in stay:
                shutil.rmtree(folder, ignore_errors=True)

    def trim(self, most_bytes: float) -> None:
        """Removes pictures until no more than so many bytes are left, those of the recordings used longest ago first.

        Args:
            most_bytes: of all pictures together.
        """
        total = 0
        for folder in sorted(self._folders(), key=_used_s, reverse=True):
            total += _bytes_in(folder)
            if total > most_bytes:
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_dir()] if self.folder.is_dir() else []

    def _folder(self, recording: Recording) -> Path | None:
        if recording.sha256 is None:
            return None
        stream = "" if recording.stream is None else f"-{recording.stream}"
        way = "" if recording.deinterlace is Deinterlace.AUTO else f"-{recording.deinterlace.value}"
        return self.folder / f"{recording.sha256[:_NAME_LETTERS]}{stream}{way}"

    def _path(self, recording: Recording, frame: int) -> Path | None:
        folder = self._folder(recording)
        return None if folder is None else folder / f"{frame}.png"


def _used_s(folder: Path) -> float:
    with suppress(OSError):  # others removed it
        return folder.stat().st_mtime
    return 0.0


def _bytes_in(folder: Path) -> int:
    with suppress(OSError):
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    return 0
