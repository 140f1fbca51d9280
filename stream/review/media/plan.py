"""How a recording comes to a browser: as it is, copied into an MP4, or encoded anew. Decided by looking at the file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import SourceError
from stream.review.media.clock import follows
from stream.review.media.material import Material, Times
from stream.sources.containers.allowed import open_file
from stream.sources.containers.tracks import choose_video, tracks_of
from stream.sources.decoded_frame import Orientation, orientation

_PLAYED = {"h264": ("yuv420p", "yuvj420p"), "vp8": ("yuv420p",), "vp9": ("yuv420p",), "av1": ("yuv420p",)}
_NAMES = {"libdav1d": "av1", "libaom-av1": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9"}
_IN_MP4 = ("h264", "vp9", "av1")
_HELD = {"mp4": _IN_MP4, "webm": ("vp8", "vp9", "av1")}
_UNEVEN = 0.5  # of the usual distance of two frames: above the rounding of times to milliseconds
_HEAD_BYTES = 64  # of a Matroska file, which name its kind


class How(str, Enum):
    """What is played."""

    DIRECT = "direct"
    COPIED = "copied"
    ENCODED = "encoded"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a recording comes to a browser.

    Attributes:
        how: what is played.
        reason: why it is not the file itself, for people; "" where it is.
        content_type: of the file itself.
    """

    how: How
    reason: str = ""
    content_type: str = "video/mp4"


def plan_for(material: Material) -> Plan:
    """Looks at a recording.

    Raises:
        SourceError: it cannot be read.
    """
    if material.pictures is not None:
        return Plan(How.ENCODED, "they are pictures, and the player shows recordings")
    with material.open(decoder_threads=1) as source:
        interlaced = bool(source.info.interlacing)
    try:
        with open_file(material.path) as container:
            stream = choose_video(container, str(material.path), wanted=material.stream).stream
            seen = _Seen(
                index=stream.index,
                codec=_NAMES.get(stream.codec_context.name, stream.codec_context.name),
                pixels=stream.codec_context.pix_fmt or "unknown",
                kind=_kind(container, material.path),
                videos=sum(track.kind == "video" and not track.is_cover for track in tracks_of(container)),
                interlaced=interlaced,
                turn=_turn_of(container, stream),
            )
        return _plan(material, seen)
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"cannot read {material.path}: {error.strerror or error}; copy it again") from error


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at the file shows."""

    index: int
    codec: str
    pixels: str
    kind: str
    videos: int
    interlaced: bool
    turn: Orientation


def _plan(material: Material, seen: _Seen) -> Plan:
    if seen.codec not in _PLAYED:
        return Plan(How.ENCODED, f"browsers do not play {seen.codec}")
    if seen.pixels not in _PLAYED[seen.codec]:
        return Plan(How.ENCODED, f"browsers do not play {seen.codec} with pixels of {seen.pixels}")
    if seen.interlaced:
        return Plan(How.ENCODED, "it is interlaced")
    why = _why_not_direct(material, seen)
    if not why:
        return Plan(How.DIRECT, content_type=f"video/{seen.kind}")
    copies = seen.codec in _IN_MP4 and seen.turn == Orientation()
    if copies and follows(material.path, seen.index, material.times_s, shifted=True):
        return Plan(How.COPIED, why)
    return Plan(How.ENCODED, why)


def _why_not_direct(material: Material, seen: _Seen) -> str:
    if seen.codec not in _HELD.get(seen.kind, ()):
        return f"browsers do not play {seen.codec} in {seen.kind}"
    if seen.videos > 1:
        return "it holds several video streams"
    if seen.turn.mirrored_x != seen.turn.mirrored_y and not seen.turn.transposed:
        return "its pictures are mirrored"
    if seen.kind == "webm" and not _is_even(material.times_s):
        # WebM does not say how long a frame is shown: Chromium guesses, and jumps past short ones.
        return "its rate changes, which browsers do not follow in WebM"
    if not follows(material.path, seen.index, material.times_s):
        return "its own times are not those of its frames"
    return ""


def _is_even(times_s: Times) -> bool:
    steps = np.diff(times_s)
    return not len(steps) or bool(steps.max() - steps.min() <= _UNEVEN * np.median(steps))


def _kind(container: InputContainer, path: Path) -> str:
    name = container.format.name
    if "mp4" in name:
        return "mov" if container.metadata.get("major_brand", "").startswith("qt") else "mp4"
    if "webm" in name:
        with path.open("rb") as file:
            return "webm" if b"webm" in file.read(_HEAD_BYTES) else "mkv"
    return name.partition(",")[0]


def _turn_of(container: InputContainer, stream: VideoStream) -> Orientation:
    """How the first frame is brought upright; the container is read from its beginning."""
    for frame in container.decode(stream):
        assert isinstance(frame, VideoFrame)
        return orientation(frame)
    return Orientation()
