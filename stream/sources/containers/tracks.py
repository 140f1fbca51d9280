"""The streams of a file: what each one is, and which one is taken.

FFmpeg's own choice (`av_find_best_stream`) goes by the default flag and the bit rate, and does not say why. A thumbnail
that somebody stored as the first stream, and that has the flag, is no film.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Generic, TypeVar, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from engine.errors import SourceError
from stream.sources.containers.allowed import open_file
from stream.sources.containers.size_limit import check_size, limit_decoder

_NO_MARKS = Disposition(0)
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
_STILLS = Disposition.still_image | Disposition.dependent
_SIDE_SOUND = (
    Disposition.comment | Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.descriptions
)
_SLIDES = 20  # a stream with so many times fewer frames than another shows slides or a thumbnail
_SHORT = 2  # a stream that is so many times shorter than another is an extra
_PROBED_PACKETS = 300  # looked at to count frames where the file names no number

_AnyStream = TypeVar("_AnyStream", AudioStream, VideoStream)


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of one stream of a file.

    Attributes:
        index: number of the stream, as FFmpeg counts: from 0, over all streams of the file.
        kind: "video", "audio", "subtitle", "data", "attachment" or "unknown".
        codec: its name, "" when FFmpeg does not know it.
        resolution_wh: width and height in pixels; None but for video.
        frames: number of frames as the file names it, or as they were counted at its beginning; None when unknown.
        duration_s: length in seconds, None when unknown.
        channels: of sound, else 0.
        disposition: what the file marks it as.
    """

    index: int
    kind: str
    codec: str
    resolution_wh: tuple[int, int] | None = None
    frames: int | None = None
    duration_s: float | None = None
    channels: int = 0
    disposition: Disposition = _NO_MARKS

    @property
    def is_cover(self) -> bool:
        """Whether it is marked as the cover or the thumbnails of something else."""
        return bool(self.disposition & _COVERS)

    @property
    def marks(self) -> tuple[str, ...]:
        """Names of what it is marked as."""
        return tuple(one.name.replace("_", " ") for one in Disposition if one in self.disposition and one.name)

    def __str__(self) -> str:
        """In a few words: `h264, 1280x720, 60.0 s, default`."""
        parts = [self.codec or "unknown codec"]
        if self.resolution_wh is not None:
            parts.append(f"{self.resolution_wh[0]}x{self.resolution_wh[1]}")
        if self.channels:
            parts.append("1 channel" if self.channels == 1 else f"{self.channels} channels")
        if self.duration_s is not None:
            parts.append(f"{self.duration_s:.2f} s")
        return ", ".join([*parts, *self.marks])


# A rule by which streams are told apart: how well one does, what speaks against another, what speaks for the best.
_Rule = tuple[Callable[[Track], float], Callable[[Track], str], str]
_DECODABLE: _Rule = (lambda t: bool(t.codec), lambda t: "is of a codec that is not known", "it can be decoded")
_DEFAULT: _Rule = (
    lambda t: Disposition.default in t.disposition,
    lambda t: "is not the default",
    "it is the default",
)


def _no_short_extra(longest_s: float) -> _Rule:
    return (
        lambda t: t.duration_s is None or t.duration_s * _SHORT >= longest_s,
        lambda t: f"lasts {t.duration_s:.2f} s only",
        "it is longer",
    )


@dataclass(frozen=True, slots=True)
class Choice(Generic[_AnyStream]):
    """The stream that is taken.

    Attributes:
        stream: of the opened file.
        track: what is known of it.
        said: a sentence that says which one was taken and why; "" where there was no choice.
    """

    stream: _AnyStream
    track: Track
    said: str


def tracks_of(container: InputContainer) -> tuple[Track, ...]:
    """What streams an opened file holds, in the order of their numbers."""
    return tuple(_track(stream) for stream in container.streams)


def choose_video(
    container: InputContainer, name: str, *, wanted: int | None = None, path: Path | None = None
) -> Choice[VideoStream]:
    """The video stream that is taken: a film before slides and thumbnails, then the default, then the largest.

    Args:
        container: an opened file or network stream.
        name: of it, for messages.
        wanted: number of the stream to take instead; a cover may be named too.
        path: the file, read once more to count frames where it names no number; None where that cannot be.

    Raises:
        SourceError: there is no such stream, none that can be decoded, or its pictures are too large.
    """
    videos = container.streams.video
    tracks = {stream.index: _track(stream) for stream in videos}
    if wanted is not None:
        _refuse_unknown(container, name, tracks, wanted)
        return _within_limit(container, tracks[wanted], "", name)
    candidates = [track for track in tracks.values() if not track.is_cover]
    if not candidates:
        raise SourceError(f"{name} holds no video, {_other_content(container)}; give a file with pictures")
    if len(candidates) > 1 and path is not None and any(track.frames is None for track in candidates):
        candidates = _counted(candidates, path)
    most = max(track.frames or 0 for track in candidates)
    longest = max(track.duration_s or 0.0 for track in candidates)
    rules: list[_Rule] = [
        _DECODABLE,
        (lambda t: not t.disposition & _STILLS, lambda t: f"is marked as {' and '.join(t.marks)}", "it is a film"),
        (lambda t: t.frames != 1 or most == 1, lambda t: "has 1 frame only", "it has more frames"),
        (
            lambda t: t.frames is None or t.frames * _SLIDES >= most,
            lambda t: f"has {t.frames} frames only",
            "it has more frames",
        ),
        _no_short_extra(longest),
        _DEFAULT,
        (_pixels, lambda t: "is smaller", "it is the largest"),
        (lambda t: t.frames or 0, lambda t: "has fewer frames", "it has the most frames"),
    ]
    taken, said = _best(candidates, rules, name, what="video")
    if not taken.codec:
        raise SourceError(f"{name} holds video of a codec that is not known; convert it to H.264")
    return _within_limit(container, taken, said, name)


def _within_limit(container: InputContainer, track: Track, said: str, name: str) -> Choice[VideoStream]:
    """The choice, whose decoder refuses pictures that are too large."""
    check_size(track.resolution_wh or (0, 0), name)
    stream = cast(VideoStream, container.streams[track.index])
    limit_decoder(stream)
    return Choice(stream, track, said)


def choose_audio(container: InputContainer, name: str, *, video: VideoStream) -> Choice[AudioStream] | None:
    """The sound that belongs to a video: the default one, no comment, then the one with more channels.

    Args:
        container: an opened file.
        name: of it, for messages.
        video: the stream whose sound is asked for: of a transport stream with several programs, its own program's.

    Returns:
        The stream, or None when there is no sound.
    """
    tracks = [_track(stream) for stream in container.streams.audio]
    if not tracks:
        return None
    longest = max(track.duration_s or 0.0 for track in tracks)
    own = container.streams.best("audio", related=video) if container.format.name == "mpegts" else None
    rules: list[_Rule] = [
        _DECODABLE,
        (
            lambda t: own is None or t.index == own.index,
            lambda t: "is of another program, or worse",
            "it is the best one of the program of the pictures",
        ),
        (
            lambda t: not t.disposition & _SIDE_SOUND,
            lambda t: f"is marked as {' and '.join(t.marks)}",
            "it is no comment",
        ),
        _no_short_extra(longest),
        _DEFAULT,
        (lambda t: t.channels, lambda t: "has fewer channels", "it has the most channels"),
    ]
    taken, said = _best(tracks, rules, name, what="sound")
    return Choice(container.streams[taken.index], taken, said)  # type: ignore[arg-type]


def _best(
    tracks: Sequence[Track],
    rules: Sequence[_Rule],
    name: str,
    *,
    what: str,
) -> tuple[Track, str]:
    """The best of several streams by rules in their order, and the sentence that says so."""
    keyed = sorted(tracks, key=lambda track: ([-float(rule(track)) for rule, _, _ in rules], track.index))
    best = keyed[0]
    if len(keyed) == 1:
        return best, ""
    second = keyed[1]
    why = "it is the first"
    for rule, fault, merit in rules:
        if float(rule(best)) != float(rule(second)):
            why = f"stream {second.index} ({second}) {fault(second)}" if len(keyed) == 2 else merit
            break
    override = "; --stream N takes another one" if what == "video" else ""
    said = f"{name} holds {len(keyed)} {what} streams: {best.index} ({best}) is taken, as {why}{override}"
    return best, said


def _track(stream: Stream) -> Track:
    context = getattr(stream, "codec_context", None)
    video, audio = isinstance(stream, VideoStream), isinstance(stream, AudioStream)
    return Track(
        index=stream.index,
        kind=stream.type or "unknown",
        codec=context.name if context is not None else "",
        resolution_wh=(context.width, context.height) if video and context is not None else None,
        frames=stream_frames(stream) if video else None,
        duration_s=stream_duration_s(stream),
        channels=context.channels if audio and context is not None else 0,
        disposition=Disposition(stream.disposition),
    )


def stream_frames(stream: Stream) -> int | None:
    """Number of frames that a file names for a stream; None when it names none."""
    named = stream.metadata.get("NUMBER_OF_FRAMES", "")
    return stream.frames or (int(named) if named.isdecimal() and int(named) else None)


def stream_duration_s(stream: Stream) -> float | None:
    """Length of a stream in seconds, as the file names it for this stream; None when it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    named = matroska_length_s(stream)
    return None if named is None else float(named)


def matroska_length_s(stream: Stream) -> Fraction | None:
    """Length in seconds that Matroska's tags name for a stream; None when they do not."""
    parts = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "").strip("\0 "))
    return None if parts is None else int(parts[1]) * 3600 + int(parts[2]) * 60 + Fraction(parts[3])


def _counted(tracks: Sequence[Track], path: Path) -> list[Track]:
    """The tracks with frames counted over the same beginning of their file."""
    counts = dict.fromkeys((track.index for track in tracks), 0)
    try:
        with open_file(path) as container:
            for number, packet in enumerate(container.demux(list(counts))):
                counts[packet.stream.index] += packet.size > 0
                if number >= _PROBED_PACKETS:
                    break
    except (av.error.FFmpegError, OSError):
        pass  # what was counted so far is compared
    return [replace(track, frames=counts[track.index]) for track in tracks]


def _pixels(track: Track) -> int:
    width, height = track.resolution_wh or (0, 0)
    return width * height


def _refuse_unknown(container: InputContainer, name: str, videos: dict[int, Track], wanted: int) -> None:
    track = videos.get(wanted)
    if track is not None and track.codec:
        return
    held = "; ".join(f"{one.index}: {one.kind} ({one})" for one in tracks_of(container))
    raise SourceError(f"--stream {wanted}: {name} has no such video stream; it holds {held}")


def _other_content(container: InputContainer) -> str:
    kinds: dict[str, int] = {}
    for track in tracks_of(container):
        kind = "cover" if track.is_cover else "sound" if track.kind == "audio" else track.kind
        kinds[kind] = kinds.get(kind, 0) + 1
    held = ", ".join(f"{number} x {kind}" for kind, number in kinds.items()) or "nothing"
    return f"only other data ({held})"
