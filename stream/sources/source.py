"""Where frames come from: what every source is, says and counts."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.closing import Closing
from engine.errors import SourceError
from engine.pictures.color import ColorTags
from stream.frame import Frame
from stream.sources.containers.size_limit import check_size
from stream.sources.picture_files import LeftOut

logger = logging.getLogger(__name__)

MINIMUM_WH = (16, 16)
"""Smallest frame in pixels that is accepted."""

_WARNINGS_SHOWN = 3  # of each kind; the rest is only counted


class SourceKind(Enum):
    """What a source is."""

    VIDEO = "video"
    PICTURE = "picture"
    PAGES = "pages"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its frames are read.

    Attributes:
        kind: video (an animation is one too), picture, picture of several pages, or folder.
        path: the file or folder.
        resolution_wh: width and height of the first frame in pixels, after its rotation was applied.
        average_rate: frames a second over the whole source; None when it does not say.
        frame_count: number of frames, estimated where the file does not say; None when it cannot be known.
        duration_s: length in seconds, None when it cannot be known.
        has_audio: whether there is sound.
        color: what the stream says about its colours.
        time_base: unit of the source's own presentation times in seconds; None for pictures.
        start_s: the moment of the file's own clock, in seconds, that is time 0 of the frames.
        sample_aspect_ratio: width of a pixel divided by its height.
        codec: name of the codec, "" for pictures.
        container: name of the file format, "" for pictures.
        step_s: usual distance of two frames in seconds; None when it cannot be known. A gap in the times does not
            change it, as it changes `average_rate`.
        stream: number of the stream that is read, as FFmpeg counts the streams of a file; None for pictures.
        audio_stream: number of the stream of the sound that belongs to it; None without sound.
        stream_choice: says which video stream was taken where there was a choice, and why; "" where there was none.
        audio_choice: likewise of the sound.
        left_out: what lies in a folder and is not looked at.
        interlacing: says how an interlaced video is made and what becomes of it; "" where frames stay as they are.
    """

    kind: SourceKind
    path: Path
    resolution_wh: tuple[int, int]
    average_rate: Fraction | None = None
    frame_count: int | None = None
    duration_s: float | None = None
    has_audio: bool = False
    color: ColorTags = field(default_factory=ColorTags)
    time_base: Fraction | None = None
    start_s: Fraction = Fraction(0)
    sample_aspect_ratio: Fraction = Fraction(1)
    codec: str = ""
    container: str = ""
    step_s: Fraction | None = None
    stream: int | None = None
    audio_stream: int | None = None
    stream_choice: str = ""
    audio_choice: str = ""
    left_out: tuple[LeftOut, ...] = ()
    interlacing: str = ""


@dataclass(frozen=True, slots=True)
class SourceProblems:
    """What was wrong with a source and did not end the work.

    Attributes:
        corrupt_packets: pieces of a video that could not be decoded.
        corrupt_frames: frames that were delivered although the decoder had to make up parts of them.
        mended_times: presentation times that were repeated or went back.
        unreadable_pictures: pictures of a folder that were left out.
        unreadable: the first of them, and why.
        still_growing: how the file changed while it was read, None when it did not: there may be more in it by now.
        broke_off: why the source ended before its end, None when it did not.
    """

    corrupt_packets: int = 0
    corrupt_frames: int = 0
    mended_times: int = 0
    unreadable_pictures: int = 0
    unreadable: tuple[str, ...] = ()
    still_growing: str | None = None
    broke_off: str | None = None

    def __bool__(self) -> bool:
        """Whether there was any problem."""
        return self != SourceProblems()


class Source(Closing):
    """Frames in order of presentation, read once, from one thread; a context manager.

    `close` may be called from any thread: the iteration then ends after the frame in work.
    """

    def __init__(self) -> None:
        """Start without problems."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._started = False
        self._problems = SourceProblems()

    @property
    @abstractmethod
    def info(self) -> SourceInfo:
        """What is known of the source."""

    @property
    def problems(self) -> SourceProblems:
        """What was wrong with the source so far; complete once the iteration has ended."""
        return self._problems

    @property
    def end_s(self) -> Fraction | None:
        """When the last frame's own time is over, in seconds; known once the iteration has ended, else None."""
        return None

    @property
    def deinterlacing(self) -> Mapping[str, Any] | None:
        """What a run record says of interlaced video so far; None for pictures."""
        return None

    @abstractmethod
    def _next_frame(self) -> Frame | None:
        """The next frame, or None at the end; called with the lock held."""

    @abstractmethod
    def _release(self) -> None:
        """Free what the source holds; called once, with the lock held."""

    def __iter__(self) -> Iterator[Frame]:
        """Iterate the frames.

        Raises:
            RuntimeError: the source is closed, or was iterated before.
        """
        if self._closed.is_set():
            raise RuntimeError(f"{self.info.path} is closed")
        if self._started:
            raise RuntimeError(f"{self.info.path} can be read once only; open it again")
        self._started = True
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        while True:
            # The lock is free while the frame is in use elsewhere: close() waits for one frame at most.
            with self._lock:
                if self._closed.is_set():
                    return
                frame = self._next_frame()
            if frame is None:
                return
            yield frame

    def interrupt(self) -> None:
        """Let a read end that waits for something to come; called from any thread. Files are never waited for."""

    def close(self) -> None:
        """End the iteration and free the source; more than one call does no harm."""
        with self._lock:
            if not self._closed.is_set():
                self._closed.set()
                self._release()

    def _count(self, kind: str, message: str) -> None:
        """Count one problem of a kind (a counter of SourceProblems) and warn of the first few."""
        count = getattr(self._problems, kind) + 1
        self._problems = replace(self._problems, **{kind: count})
        if count <= _WARNINGS_SHOWN:
            more = "; further ones are only counted" if count == _WARNINGS_SHOWN else ""
            logger.warning("%s%s", message, more)

    def _note_growth(self, reason: str) -> None:
        """Note that the file grew while it was read."""
        self._problems = replace(self._problems, still_growing=reason)
        logger.warning("%s", reason)

    def _break_off(self, reason: str) -> None:
        """Note that the source ended before its end."""
        self._problems = replace(self._problems, broke_off=reason)
        logger.warning("%s", reason)


def check_resolution(resolution_wh: tuple[int, int], name: str) -> None:
    """Refuse frames that are too small to show anything, or too large to be worked on.

    Raises:
        SourceError: width or height is under `MINIMUM_WH`, or there are more pixels than may be.
    """
    check_size(resolution_wh, name)
    width, height = resolution_wh
    if width < MINIMUM_WH[0] or height < MINIMUM_WH[1]:
        raise SourceError(
            f"{name} is too small: {width}x{height} pixels; give a source of {MINIMUM_WH[0]}x{MINIMUM_WH[1]} or more"
        )
