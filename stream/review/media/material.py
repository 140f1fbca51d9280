"""A recording as the page shows it: which file it is, and when each of its frames is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import SourceError
from engine.reading.digests import quick_digest
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.source import Source

Times = npt.NDArray[np.float64]
"""When frames are shown, in seconds, growing, shape (frames,)."""


@dataclass(frozen=True, eq=False)
class Material:
    """A recording, and what its events say of it.

    Attributes:
        path: of the file.
        stream: number of its video stream that was looked at, as FFmpeg counts; None for the one that shows the film.
        times_s: of its frames, from the first one, which is at 0.
        first_s: when its first frame is shown, as its source counts: above 0 where what comes before cannot be decoded.
        deinterlace: what became of interlaced video.
    """

    path: Path
    stream: int | None
    times_s: Times = field(repr=False)
    first_s: float = 0.0
    deinterlace: Deinterlace = Deinterlace.AUTO

    @classmethod
    def of(
        cls, path: Path, stream: int | None, source_times_s: Times, deinterlace: Deinterlace = Deinterlace.AUTO
    ) -> Material:
        """A recording by the times that its source gives.

        Args:
            path: of the file.
            stream: number of its video stream; None for the one that shows the film.
            source_times_s: of its frames, at least one.
            deinterlace: what became of interlaced video.
        """
        first_s = float(source_times_s[0])
        return cls(path, stream, source_times_s - first_s, first_s, deinterlace)

    def open(self, *, decoder_threads: int = 0) -> Source:
        """Opens it as it was opened when it was looked at.

        Raises:
            SourceError: it cannot be read.
        """
        return open_source(self.path, stream=self.stream, decoder_threads=decoder_threads, deinterlace=self.deinterlace)

    @property
    def source_times_s(self) -> Times:
        """When its frames are shown, as its source counts."""
        return self.times_s + self.first_s

    def digest(self) -> str:
        """Which bytes the file holds now.

        Raises:
            SourceError: it cannot be read.
        """
        try:
            return quick_digest(self.path)
        except OSError as error:
            raise SourceError(
                f"cannot read {self.path}: {error.strerror or error}; bring it back, or name the folder where it is "
                "now with --recordings"
            ) from error
