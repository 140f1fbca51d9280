"""A recording as the page shows it: which file it is, and when each of its frames is shown.

Pictures are a recording as well: each is shown for a second, on a canvas that holds the largest of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.errors import SourceError
from engine.reading.digests import quick_digest
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.source import Source

Times = npt.NDArray[np.float64]
"""When frames are shown, in seconds, growing, shape (frames,)."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures that are shown one after the other.

    Attributes:
        names: of their files.
        pages: of these files, from 1.
        canvas_wh: width and height in pixels of what they are shown on; each lies in its left upper corner.
    """

    names: Sequence[str]
    pages: Sequence[int]
    canvas_wh: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Material:
    """A recording, and what its events say of it.

    Attributes:
        path: of the file; the folder of pictures.
        stream: number of its video stream that was looked at, as FFmpeg counts; None for the one that shows the film.
        times_s: of its frames, from the first one, which is at 0.
        first_s: when its first frame is shown, as its source counts: above 0 where what comes before cannot be decoded.
        deinterlace: what became of interlaced video.
        pictures: its frames, where it is no video.
    """

    path: Path
    stream: int | None
    times_s: Times = field(repr=False)
    first_s: float = 0.0
    deinterlace: Deinterlace = Deinterlace.AUTO
    pictures: Pictures | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        path: Path,
        stream: int | None,
        source_times_s: Times,
        deinterlace: Deinterlace = Deinterlace.AUTO,
        pictures: Pictures | None = None,
    ) -> Material:
        """A recording by the times that its source gives.

        Args:
            path: of the file; the folder of pictures.
            stream: number of its video stream; None for the one that shows the film.
            source_times_s: of its frames, at least one.
            deinterlace: what became of interlaced video.
            pictures: its frames, where it is no video.
        """
        first_s = float(source_times_s[0])
        return cls(path, stream, source_times_s - first_s, first_s, deinterlace, pictures)

    @classmethod
    def of_message(cls, fields: Mapping[str, Any], body: bytes) -> Material:
        """A recording as `message` told of it to another process."""
        told = fields["pictures"]
        pictures = None if told is None else Pictures(told["names"], told["pages"], tuple(told["canvas_wh"]))
        times_s = np.frombuffer(body, "<f8")
        return cls.of(Path(fields["path"]), fields["stream"], times_s, Deinterlace(fields["deinterlace"]), pictures)

    def message(self) -> tuple[dict[str, Any], bytes]:
        """Fields and body of a message that tells another process of it."""
        fields = {
            "path": str(self.path),
            "stream": self.stream,
            "deinterlace": self.deinterlace.value,
            "pictures": None if self.pictures is None else asdict(self.pictures),
        }
        return fields, self.source_times_s.astype("<f8").tobytes()

    def open(self, *, decoder_threads: int = 0) -> Source:
        """Opens a video as it was opened when it was looked at.

        Raises:
            SourceError: it cannot be read.
        """
        return open_source(self.path, stream=self.stream, decoder_threads=decoder_threads, deinterlace=self.deinterlace)

    def picture(self, index: int) -> Image:
        """One of the pictures on its canvas, BGR uint8 (height, width, 3).

        Raises:
            SourceError: it cannot be read, or has changed.
        """
        assert self.pictures is not None
        file, page, (width, height) = self._file_of(index), self.pictures.pages[index], self.pictures.canvas_wh
        with open_source(file) as source:
            frame = next(islice(source, page - 1, None), None)
        if frame is None:
            raise SourceError(f"{file} no longer has a page {page}; look at it again")
        high, wide = frame.image.shape[:2]
        if wide > width or high > height:
            raise SourceError(
                f"{file} has {wide}x{high} pixels, more than the {width}x{height} that its events tell "
                "of; detect it again with --candidates"
            )
        return np.pad(frame.image, ((0, height - high), (0, width - wide), (0, 0)))

    @property
    def source_times_s(self) -> Times:
        """When its frames are shown, as its source counts."""
        return self.times_s + self.first_s

    def digest(self) -> str:
        """Which bytes the file holds now; of pictures, their names, sizes and times.

        Raises:
            SourceError: it cannot be read.
        """
        try:
            if self.pictures is None:
                return quick_digest(self.path)
            own = self.path.is_dir()
            files = [self.path / name for name in dict.fromkeys(self.pictures.names)] if own else [self.path]
            told = [(file.name, (status := file.stat()).st_size, status.st_mtime_ns) for file in files]
            return hashlib.sha256(repr((told, self.pictures)).encode()).hexdigest()
        except OSError as error:
            raise SourceError(
                f"cannot read {self.path}: {error.strerror or error}; bring it back, or name the folder where it is "
                "now with --recordings"
            ) from error

    def _file_of(self, index: int) -> Path:
        assert self.pictures is not None
        return self.path / self.pictures.names[index] if self.path.is_dir() else self.path
