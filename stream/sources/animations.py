"""Animated pictures (GIF, APNG, WebP, AVIF): frames with times of their own, read like a video."""

from __future__ import annotations

import time
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image
from engine.errors import SourceError
from stream.frame import Frame
from stream.sources.containers.animated import webp_durations_ms
from stream.sources.containers.picture_sizes import largest_size
from stream.sources.containers.size_limit import check_size
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opencv_log import opencv_silent
from stream.sources.source import Source, SourceInfo, SourceKind, check_resolution
from stream.sources.video import VideoSource

_PIXELS_AT_ONCE = 1 << 24  # that OpenCV decodes in one call: 64 MB
_SHORTEST_MS, _USUAL_MS = 10, 100  # browsers show a frame that asks for 10 ms or less for 100 ms


def open_animation(path: Path, *, decoder_threads: int = 0, stream: int | None = None) -> Source:
    """Open an animated picture.

    Raises:
        SourceError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) == b"RIFF":
            return AnimatedWebp(path)
    return VideoSource(path, decoder_threads=decoder_threads, stream=stream, deinterlace=Deinterlace.OFF)


class AnimatedWebp(Source):
    """The frames of an animated WebP, through OpenCV: FFmpeg reads the first one only, or none."""

    def __init__(self, path: Path) -> None:
        """Read the file and decode its first frames.

        Raises:
            SourceError: it cannot be decoded.
        """
        super().__init__()
        self._path = path
        self._data = path.read_bytes()
        check_size(largest_size(self._data) or (0, 0), str(path))
        lasting_ms = [_USUAL_MS if ms <= _SHORTEST_MS else ms for ms in webp_durations_ms(self._data)]
        self._times = [Fraction(int(ms), 1000) for ms in np.cumsum([0, *lasting_ms])]
        self._index = 0
        self._decoded = self._decode()
        self._first: Image | None = next(self._decoded, None)
        if self._first is None:
            raise SourceError(f"{path} is not a WebP that can be read; convert it to a video or to PNG files")
        height, width = self._first.shape[:2]
        check_resolution((width, height), str(path))
        self._info = SourceInfo(
            kind=SourceKind.VIDEO,
            path=path,
            resolution_wh=(width, height),
            average_rate=len(lasting_ms) / self._times[-1],
            frame_count=len(lasting_ms),
            duration_s=float(self._times[-1]),
            time_base=Fraction(1, 1000),
            codec="webp",
            container="webp",
            step_s=Fraction(sorted(lasting_ms)[len(lasting_ms) // 2], 1000),
        )

    @property
    def info(self) -> SourceInfo:
        """What is known of the animation."""
        return self._info

    @property
    def end_s(self) -> Fraction | None:
        """When the last frame's own time is over, in seconds; None before the end."""
        return self._times[self._index] if self._index == len(self._times) - 1 else None

    def _decode(self) -> Generator[Image, None, None]:
        packed, start, count = np.frombuffer(self._data, np.uint8), 0, 1
        while start < len(self._times) - 1:
            with opencv_silent():
                try:
                    done, animation = cv2.imdecodeanimation(packed, start=start, count=count)
                except cv2.error:
                    return
            if not done or not animation.frames:
                return
            for picture in animation.frames:
                yield np.ascontiguousarray(picture[:, :, :3])
            start += len(animation.frames)
            count = max(1, _PIXELS_AT_ONCE // (picture.shape[0] * picture.shape[1]))

    def _next_frame(self) -> Frame | None:
        image, self._first = self._first, None
        if image is None:
            image = next(self._decoded, None)
        if image is None:
            if self._index < len(self._times) - 1 and self._problems.broke_off is None:
                named = len(self._times) - 1
                self._break_off(f"{self._path} is cut short: it names {named} frames and holds {self._index}")
            return None
        frame = Frame(index=self._index, pts=self._times[self._index], image=image, captured_s=time.monotonic())
        self._index += 1
        return frame

    def _release(self) -> None:
        self._decoded.close()
