"""A recording as the page shows it: which file it is, and when each of its frames is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import SourceError
from engine.reading.digests import quick_digest
from stream.procedure.reading import Recording

Times = npt.NDArray[np.float64]
"""When frames are shown, seconds from the start of their recording, growing, shape (frames,)."""


@dataclass(frozen=True, eq=False)
class Material:
    """A recording, and what its events say of it.

    Attributes:
        path: of the file.
        stream: number of its video stream that was looked at, as FFmpeg counts; None for the one that shows the film.
        times_s: of its frames.
        sha256: of the file when it was looked at (`quick_digest`); None where that is not known.
    """

    path: Path
    stream: int | None
    times_s: Times = field(repr=False)
    sha256: str | None = None

    @classmethod
    def of(cls, recording: Recording, times_s: Sequence[float] | Times) -> Material:
        """A recording of a procedure.

        Args:
            recording: of the procedure.
            times_s: of all frames of the procedure, in its seconds.
        """
        first = recording.first_frame
        own = np.asarray(times_s, np.float64)[first : first + recording.frames] - recording.start_s
        return cls(recording.path, recording.stream, np.round(own, 6), recording.sha256)

    def digest(self) -> str:
        """The digest of the file as it is now.

        Raises:
            SourceError: it cannot be read, or is another file than the one that was looked at.
        """
        try:
            digest = quick_digest(self.path)
        except OSError as error:
            raise SourceError(
                f"cannot read {self.path}: {error.strerror or error}; bring it back to its place, or run the study "
                "again where it is now"
            ) from error
        if self.sha256 is not None and digest != self.sha256:
            raise SourceError(f"{self.path} has changed since it was looked at; run the study again")
        return digest
