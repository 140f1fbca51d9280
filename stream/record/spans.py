"""A piece of a video, read from its middle, with the frames before it by which a memory can form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from engine.checks import require_above, require_at_least
from engine.errors import SourceError
from stream.frame import Frame
from stream.sources.source import Source, SourceInfo, SourceProblems
from stream.sources.video import VideoSource

WARMING_UP = -1
"""Index of frames before a span: their field of view is looked for, and nothing else becomes of them."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a video.

    Attributes:
        start_s: time of its first frame at the earliest, in seconds of the recording.
        end_s: time before which its last frame lies; None for the end of the recording.
        warm_up_s: how long before `start_s` frames are looked at, so that the memory of the field of view can form.
    """

    start_s: float
    end_s: float | None = None
    warm_up_s: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: a negative start or warm-up, or an end that is not after the start.
        """
        require_at_least("start of a span", self.start_s, 0)
        require_at_least("warm-up of a span", self.warm_up_s, 0)
        if self.end_s is not None:
            require_above("end of a span", self.end_s, self.start_s)


class SpanSource(Source):
    """The frames of a span. Their times are those of the recording, and they are counted from 0 from its start on.

    Frames that warm up come before them, with the index `WARMING_UP`.
    """

    def __init__(self, source: Source, span: Span) -> None:
        """Takes a source that was just opened; whoever opened it closes it.

        Raises:
            SourceError: it is no video, or can be read from its beginning only.
        """
        super().__init__()
        if not isinstance(source, VideoSource):
            raise SourceError(f"{source.info.path} is no video; only videos can be read from their middle")
        self._source = source
        self._from = Fraction(max(span.start_s - span.warm_up_s, 0))
        self._start, self._end = Fraction(span.start_s), None if span.end_s is None else Fraction(span.end_s)
        if self._from > 0:
            source.start_at(float(self._from))
        self._frames_of_source: Iterator[Frame] = iter(source)
        self._count_of_frames = 0

    @property
    def info(self) -> SourceInfo:
        """Of the whole recording."""
        return self._source.info

    @property
    def problems(self) -> SourceProblems:
        """What was wrong so far with what was read."""
        return self._source.problems

    @property
    def end_s(self) -> Fraction | None:
        """When the recording ends; None where the span ends before it."""
        return self._source.end_s

    @property
    def deinterlacing(self) -> Mapping[str, Any]:
        """Of what was read."""
        return self._source.deinterlacing

    def _next_frame(self) -> Frame | None:
        for frame in self._frames_of_source:
            if self._end is not None and frame.pts >= self._end:
                return None
            if frame.pts >= self._start:
                index = self._count_of_frames
                self._count_of_frames += 1
                return replace(frame, index=index)
            if frame.pts >= self._from:
                return replace(frame, index=WARMING_UP)
        return None

    def _release(self) -> None:
        pass
