"""Pictures that were read from recordings once, kept so that nobody has to decode the recording for them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image
from engine.errors import InputError
from engine.files import make_folder, write_bytes
from stream.procedure.reading import Recording
from stream.sources.interlaced.deinterlacer import Deinterlace

_REMEDY = "free space, and run the same command again"
_NAME_LETTERS = 40  # of a checksum


@dataclass(frozen=True, slots=True)
class KeptPictures:
    """A folder of pictures by recording and frame: exact ones, as PNG. It may be removed at any time.

    Recordings are known by their bytes. Of one whose record has no checksum nothing is kept.

    Attributes:
        folder: made where it is missing.
    """

    folder: Path

    def holds(self, recording: Recording, frame: int) -> bool:
        """Whether the picture of a frame is kept; `frame` is its index in the recording."""
        path = self._path(recording, frame)
        return path is not None and path.is_file()

    def read(self, recording: Recording, frame: int) -> Image:
        """The picture of a frame that is kept.

        Args:
            recording: that it is of.
            frame: its index in the recording.

        Returns:
            BGR uint8 (height, width, 3).

        Raises:
            InputError: it is damaged.
        """
        path = self._path(recording, frame)
        try:
            image = cv2.imdecode(np.fromfile(str(path), np.uint8), cv2.IMREAD_COLOR)
        except (OSError, cv2.error):
            image = None
        if image is None:
            raise InputError(f"{str(path)!r} cannot be read; remove it, and run the same command again")
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

    def _path(self, recording: Recording, frame: int) -> Path | None:
        if recording.sha256 is None:
            return None
        stream = "" if recording.stream is None else f"-{recording.stream}"
        way = "" if recording.deinterlace is Deinterlace.AUTO else f"-{recording.deinterlace.value}"
        return self.folder / f"{recording.sha256[:_NAME_LETTERS]}{stream}{way}" / f"{frame}.png"
