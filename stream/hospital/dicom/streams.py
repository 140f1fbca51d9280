"""H.264 as DICOM takes it: High Profile at Level 4.1 or 4.2, in an MP4 of its own (DICOM PS3.5, 8.2.7 and 8.2.8)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from engine.errors import InputError, RunError
from engine.interrupts import check
from stream.record.encoders import Encoding
from stream.record.video_sink import VideoSink
from stream.sources.containers.allowed import open_file
from stream.sources.decoded_frame import Orientation, orientation
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.source import SourceInfo

#: Told of the number of frames that were done since it was told last.
ProgressListener = Callable[[int], object]

MOST_BYTES = 0xFFFFFFFE
"""Of a fragment, and so of a video in an object."""

#: The unit that names profile, constraints and level, in a bare stream.
_SEQUENCE = re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67](...)", re.DOTALL)
_HIGH_PROFILE = 100
_PRESET, _CRF = "veryfast", 18
_MOST_KBIT_S, _BUFFER_KBIT = 62_500, 78_125  # of High Profile at both levels
_JITTER = Fraction(1, 2)  # of the usual distance of two frames, up to which they are said to be evenly spread


@dataclass(frozen=True, slots=True)
class Level:
    """A level of H.264 (ITU-T H.264, table A-1).

    Attributes:
        name: as it is written.
        idc: its number in a stream.
        syntax: UID of the transfer syntax.
        most_blocks: macroblocks of a frame.
        most_blocks_s: macroblocks of a second.
    """

    name: str
    idc: int
    syntax: str
    most_blocks: int
    most_blocks_s: int

    @property
    def limits(self) -> tuple[tuple[str, str], ...]:
        """FFmpeg's options that keep x264 within it."""
        return ("level", self.name), ("maxrate", f"{_MOST_KBIT_S}k"), ("bufsize", f"{_BUFFER_KBIT}k")

    def fits(self, size_wh: tuple[int, int], rate: Fraction) -> bool:
        """Whether frames of a size and rate are within it."""
        width, height = (-(-side // 16) for side in size_wh)
        longest = (8 * self.most_blocks) ** 0.5
        blocks = width * height
        return blocks <= self.most_blocks and blocks * rate <= self.most_blocks_s and max(width, height) <= longest


LEVELS = (
    Level("4.1", 41, "1.2.840.10008.1.2.4.102", 8192, 245_760),
    Level("4.2", 42, "1.2.840.10008.1.2.4.104", 8704, 522_240),
)


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that fits.

    Attributes:
        path: of its MP4.
        level: that it keeps to.
        size_wh: width and height in pixels.
        times_s: when each frame is shown, in seconds from the first on.
        step_s: usual distance of two frames, in seconds.
        encoded: whether it was encoded for this, and not only copied.
        aspect: width of a pixel divided by its height.
    """

    path: Path
    level: Level
    size_wh: tuple[int, int]
    times_s: tuple[Fraction, ...]
    step_s: Fraction
    encoded: bool
    aspect: Fraction = Fraction(1)

    @property
    def is_even(self) -> bool:
        """Whether its frames are evenly spread."""
        return all(
            abs(time - number * self.step_s) <= _JITTER * self.step_s for number, time in enumerate(self.times_s)
        )


def make_stream(
    source: Path,
    target: Path,
    *,
    stream: int | None = None,
    deinterlace: Deinterlace = Deinterlace.AUTO,
    on_progress: ProgressListener = lambda frames: None,
) -> Stream:
    """Makes an MP4 of a recording's pictures that DICOM takes: a copy where they fit, else encoded anew. No sound.

    Args:
        source: the recording, frame for frame.
        target: the MP4 to write.
        stream: number of the video stream; None for the one that shows the film.
        deinterlace: what became of interlaced video when it was looked at.
        on_progress: told of frames.

    Raises:
        InputError: the pictures are too large or too many a second for both levels.
        RunError: the recording is damaged.
    """
    with open_source(source, stream=stream, deinterlace=deinterlace) as opened:
        info = opened.info
    plain = deinterlace is not Deinterlace.FIELD and info.stream is not None
    level = _level_of(source, info) if plain else None
    if level is not None:
        times_s = _copy(source, target, info, on_progress)
        encoded = False
    else:
        level = fitting_level(info)
        times_s = _encode(source, target, level, stream=stream, deinterlace=deinterlace, on_progress=on_progress)
        encoded = True
    if target.stat().st_size > MOST_BYTES:
        raise InputError(f"{source} takes more than 4 GiB, the most that one object may hold; cut it into parts")
    step_s = info.step_s or Fraction(1, 25)
    if len(times_s) > 1:
        step_s = (times_s[-1] / (len(times_s) - 1)).limit_denominator(1_000_000)
    size_wh = (info.resolution_wh[0] + info.resolution_wh[0] % 2, info.resolution_wh[1] + info.resolution_wh[1] % 2)
    size_wh = size_wh if encoded else info.resolution_wh
    return Stream(target, level, size_wh, times_s, step_s, encoded, info.sample_aspect_ratio)


def fitting_level(info: SourceInfo) -> Level:
    """The lowest level that takes a recording's frames.

    Raises:
        InputError: they are too large or too many a second for both levels.
    """
    rate = info.average_rate or (1 / info.step_s if info.step_s else Fraction(25))
    for level in LEVELS:
        if level.fits(info.resolution_wh, rate):
            return level
    width, height = info.resolution_wh
    raise InputError(
        f"{info.path} has {width}x{height} pixels at {float(rate):.4g} frames a second, and DICOM takes 1920x1080 at "
        "60 of H.264 at most; make it smaller, for example: ffmpeg -i IN -vf scale=1920:-2 OUT.mp4"
    )


def _level_of(source: Path, info: SourceInfo) -> Level | None:
    """The level that a recording keeps to as it is; None where it has to be encoded."""
    if info.codec != "h264" or info.interlacing:
        return None
    with open_file(source) as container:
        pictures = container.streams[info.stream or 0]
        assert isinstance(pictures, VideoStream)
        context = pictures.codec_context
        if context.pix_fmt not in ("yuv420p", "yuvj420p"):
            return None
        profile, idc = _profile_level(bytes(context.extradata or b""))
        first = next(iter(container.decode(pictures)), None)
        turned = first is None or orientation(first) != Orientation()
    rate = info.average_rate or Fraction(25)
    if profile != _HIGH_PROFILE or turned:
        return None
    return next((one for one in LEVELS if idc <= one.idc and one.fits(info.resolution_wh, rate)), None)


def _profile_level(setup: bytes) -> tuple[int, int]:
    """Profile and level of a stream by its setup data: the box of an MP4 (avcC), or the units of a bare stream."""
    if setup[:1] == b"\x01":
        return (setup[1], setup[3]) if len(setup) > 3 else (0, 0)
    found = _SEQUENCE.search(setup)
    return (found[1][0], found[1][2]) if found is not None else (0, 0)


def _copy(source: Path, target: Path, info: SourceInfo, on_progress: ProgressListener) -> tuple[Fraction, ...]:
    times: list[Fraction] = []
    try:
        with (
            open_file(source) as container,
            av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as output,
        ):
            assert isinstance(container, InputContainer)
            pictures = container.streams[info.stream or 0]
            copy = output.add_stream_from_template(pictures)
            for packet in container.demux(pictures):
                check()
                if packet.dts is None or packet.pts is None or not packet.size:
                    continue
                times.append(packet.pts * packet.time_base)
                packet.stream = copy
                output.mux(packet)
                on_progress(1)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise RunError(
            f"{source} cannot be copied into an object: {getattr(error, 'strerror', None) or error}"
        ) from error
    times.sort()
    return tuple(time - times[0] for time in times)


def _encode(
    source: Path,
    target: Path,
    level: Level,
    *,
    stream: int | None,
    deinterlace: Deinterlace,
    on_progress: ProgressListener,
) -> tuple[Fraction, ...]:
    times: list[Fraction] = []
    encoding = Encoding(preset=_PRESET, crf=_CRF, limits=level.limits)
    with open_source(source, stream=stream, deinterlace=deinterlace) as opened:
        sink = VideoSink(target, info=replace(opened.info, has_audio=False), overwrite=True, encoding=encoding)
        try:
            for frame in opened:
                check()
                sink.write(frame.picture, frame.pts)
                times.append(frame.pts)
                on_progress(1)
            sink.close(end_s=opened.end_s)
        except BaseException:
            sink.abort()
            raise
    return tuple(time - times[0] for time in times)
