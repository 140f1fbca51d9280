"""Makes the file that a browser plays in the place of a recording: the same frames at the same times, in an MP4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from engine.errors import RunError, SourceError
from stream.record.encoders import Encoding
from stream.record.video_sink import VideoSink
from stream.review.media.clock import SAME_S, follows
from stream.review.media.material import Material, Pictures
from stream.review.media.plan import How
from stream.sources.containers.allowed import open_file
from stream.sources.containers.tracks import choose_video
from stream.sources.source import SourceInfo, SourceKind

_KEYFRAME_FRAMES = 12  # a jump decodes so many frames at most
_USUAL_STEP_S = Fraction(1, 25)
_PICTURE_RATE = Fraction(1)
_MOST_REORDERED = 16  # frames that H.264 and HEVC hold back at most, before one is shown

OnFrame = Callable[[int], None]
"""Told how many frames are done."""


def make_file(material: Material, target: Path, how: How, on_frame: OnFrame) -> How:
    """Writes an MP4 with the frames of a recording, and looks whether it holds them at their times.

    Args:
        material: the recording.
        target: the file to write, ending in .mp4, in a folder of its own.
        how: `COPIED` or `ENCODED`; what cannot be copied after all is encoded.
        on_frame: told of the progress; what it raises ends the work.

    Returns:
        How it was made.

    Raises:
        SourceError: the recording cannot be read, or does not hold the frames that its events tell of.
        WriteError: the file cannot be written.
        RunError: it does not hold the frames at their times; it is left for a look.
    """
    if how is How.COPIED:
        try:
            _copy(material, target, on_frame)
            if follows(target, 0, material.times_s):
                return How.COPIED
        except (av.error.InvalidDataError, av.error.ArgumentError, ValueError):
            pass  # an MP4 cannot hold it as it is
        target.unlink(missing_ok=True)
    if material.pictures is None:
        _encode(material, target, on_frame)
    else:
        _join(material, material.pictures, target, on_frame)
    if not follows(target, 0, material.times_s):
        raise RunError(f"the copy of {material.path} for browsers does not hold its frames at their times")
    return How.ENCODED


def _copy(material: Material, target: Path, on_frame: OnFrame) -> None:
    with (
        open_file(material.path) as source,
        av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as output,
    ):
        stream = choose_video(source, str(material.path), wanted=material.stream).stream
        copied = output.add_stream_from_template(stream)
        start = stream.start_time or 0
        for done, packet in enumerate(_with_decoding_times(source.demux(stream)), start=1):
            assert packet.pts is not None and packet.dts is not None
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            packet.stream = copied
            output.mux(packet)
            on_frame(done)


def _with_decoding_times(packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    """Packets of which each says when it is decoded: Matroska does not, and FFmpeg cannot tell it of the first ones.

    Raises:
        ValueError: others say nothing of it either.
    """
    waiting: list[Packet[VideoStream]] = []
    for packet in packets:
        if packet.pts is None:  # the end of the stream
            continue
        waiting.append(packet)
        if packet.dts is None and len(waiting) <= _MOST_REORDERED:
            continue
        following = packet.dts
        if following is None:
            raise ValueError("packets do not say when they are decoded")
        for one in reversed(waiting[:-1]):
            following -= max(one.duration or 0, 1)
            one.dts = following
        yield from waiting
        waiting.clear()
    if waiting:
        raise ValueError("packets do not say when they are decoded")


def _encode(material: Material, target: Path, on_frame: OnFrame) -> None:
    times_s = material.source_times_s
    first: Fraction | None = None
    with material.open() as source:
        info = replace(source.info, has_audio=False)
        encoding = Encoding(keyframe_s=float(_KEYFRAME_FRAMES * (info.step_s or _USUAL_STEP_S)))
        with VideoSink(target, info=info, encoding=encoding) as sink:
            for frame in source:
                if frame.index >= len(times_s) or abs(frame.time_s - times_s[frame.index]) > SAME_S:
                    raise _other_frames(material, frame.index)
                first = frame.pts if first is None else first
                sink.write(frame.picture, frame.pts - first)
                on_frame(sink.frames)
            if first is None or sink.frames != len(times_s):
                raise _other_frames(material, sink.frames)
            sink.close(end_s=None if source.end_s is None else source.end_s - first)


def _join(material: Material, pictures: Pictures, target: Path, on_frame: OnFrame) -> None:
    """Pictures one after the other, a second each."""
    info = SourceInfo(SourceKind.VIDEO, material.path, pictures.canvas_wh, average_rate=_PICTURE_RATE)
    with VideoSink(target, info=info, encoding=Encoding(keyframe_s=1.0)) as sink:
        for index in range(len(pictures.names)):
            sink.write(material.picture(index), Fraction(index) / _PICTURE_RATE)
            on_frame(sink.frames)
        sink.close(end_s=Fraction(sink.frames) / _PICTURE_RATE)


def _other_frames(material: Material, index: int) -> SourceError:
    return SourceError(
        f"{material.path} does not hold the frames that its events tell of (frame {index} is missing, or at another "
        "time); run the study again"
    )
