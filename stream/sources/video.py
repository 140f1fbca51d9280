"""Frames of a video file, through FFmpeg."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.codec.context import ThreadType
from av.container import Flags, InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import SourceError
from stream.frame import Frame
from stream.sources.containers import open_file, refers_to_others
from stream.sources.decoded_frame import PictureMaker, color_tags, orientation
from stream.sources.packets import decode_packet, read_packets
from stream.sources.presentation_times import PresentationTimes
from stream.sources.source import Source, SourceInfo, SourceKind, check_resolution

_DEFAULT_RATE = Fraction(25)
_CUT_S = Fraction(1, 5)  # a picture that ends this much before the length in the header was cut
_OTHER_CLOCK_S = 10  # a first frame that is so far from the start that the stream names goes by another clock


class VideoSource(Source):
    """The frames of the first usable video stream of a file."""

    def __init__(self, path: Path, *, decoder_threads: int = 0) -> None:
        """Open the file and decode its first frame.

        Args:
            path: a video file of any format that FFmpeg reads.
            decoder_threads: 0 for as many as there are processors.

        Raises:
            SourceError: the file is no video, or no frame of it can be decoded.
        """
        super().__init__()
        self._path = path
        self._container = _open_container(path)
        try:
            self._stream = _video_stream(self._container, path)
            self._stream.thread_type = ThreadType.AUTO
            self._stream.thread_count = decoder_threads
            self._time_base = self._stream.time_base or Fraction(1, 90000)
            self._rate = _frame_rate(self._stream)
            self._step_s = 1 / (self._rate or _DEFAULT_RATE)
            self._times = PresentationTimes(step_s=self._step_s)
            self._pictures = PictureMaker()
            self._packets_read = 0
            self._frames_read = 0
            self._last_pts = Fraction(0)
            self._last_duration_s = Fraction(0)
            self._decoded = self._decode()
            first = next(self._decoded, None)
            if first is None:
                raise SourceError(f"{path} holds no frame that can be decoded; check that it plays, or convert it")
            self._first: VideoFrame | None = first
            # AVI has decoding times only. They count the frames as they come out of the decoder, from its delay on.
            self._uses_dts = first.pts is None and first.dts is not None
            start, shown = self._start_and_first(first)
            self._zero = shown if self._uses_dts else min(start, shown)
            self._info = self._describe(first, start_s=min(start, shown) * self._time_base)
            check_resolution(self._info.resolution_wh, str(path))
        except BaseException:
            self._container.close()
            raise

    @property
    def info(self) -> SourceInfo:
        """What is known of the video."""
        return self._info

    def _start_and_first(self, first: VideoFrame) -> tuple[int, int]:
        """When the stream says that it starts, and when its first frame that can be decoded is shown, in its ticks."""
        start = self._stream.start_time
        shown = first.dts if self._uses_dts else first.pts
        if shown is None:
            return start or 0, start or 0
        if start is None or abs(shown - start) * self._time_base > _OTHER_CLOCK_S:
            return shown, shown
        return start, shown

    def _describe(self, first: VideoFrame, *, start_s: Fraction) -> SourceInfo:
        stream, container = self._stream, self._container
        turned = orientation(first).transposed
        aspect = stream.sample_aspect_ratio or Fraction(1)
        duration_s = _duration_s(stream, container)
        count = stream.frames or None
        if count is None and duration_s is not None and self._rate is not None:
            count = max(1, round(duration_s * self._rate))
        return SourceInfo(
            kind=SourceKind.VIDEO,
            path=self._path,
            resolution_wh=(first.height, first.width) if turned else (first.width, first.height),
            average_rate=self._rate,
            frame_count=count,
            duration_s=None if duration_s is None else float(duration_s),
            has_audio=bool(container.streams.audio),
            color=color_tags(first),
            time_base=self._time_base,
            start_s=start_s,
            sample_aspect_ratio=1 / aspect if turned else aspect,
            codec=stream.codec_context.name,
            container=container.format.name,
        )

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets of the video, going on over places that cannot be parsed."""

        def count(_: str) -> None:
            self._count("corrupt_packets", f"{self._path}: damaged after packet {self._packets_read}")

        try:
            for packet in read_packets(self._container, self._stream, on_damage=count):
                self._packets_read += packet.size > 0
                if packet.is_corrupt:
                    self._count("corrupt_packets", f"{self._path}: packet {self._packets_read} is damaged")
                yield packet
        except av.error.InvalidDataError:
            self._break_off(f"{self._path} cannot be read past packet {self._packets_read}")
        except (av.error.FFmpegError, OSError) as error:
            self._break_off(f"{self._path} broke off after packet {self._packets_read}: {error.strerror}")

    def _decode(self) -> Generator[VideoFrame, None, None]:
        flushed = False
        damaged: Packet[VideoStream] | None = None
        for packet in self._packets():
            flushed = packet.size == 0
            # A damaged packet goes to the decoder with the next one only: at the end of a file it is a cut one, shows
            # nothing, and would cost the frames that the decoder's threads still hold.
            if damaged is not None and not flushed:
                yield from self._decode_packet(damaged)
            damaged = packet if packet.is_corrupt else None
            if damaged is None:
                yield from self._decode_packet(packet)
        if not flushed:
            yield from self._decode_packet(None)

    def _decode_packet(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        def count(why: str) -> None:
            if packet is None or not packet.is_corrupt:  # else it is counted already
                self._count("corrupt_packets", f"{self._path}: packet {self._packets_read} fails: {why}")

        return decode_packet(self._stream, packet, on_damage=count)

    def _next_frame(self) -> Frame | None:
        decoded, self._first = self._first, None
        if decoded is None:
            decoded = next(self._decoded, None)
        if decoded is None:
            self._note_missing_end()
            return None
        index = self._frames_read
        if decoded.is_corrupt:
            self._count("corrupt_frames", f"{self._path}: frame {index} is damaged")
        stamp = decoded.dts if self._uses_dts else decoded.pts
        mended = self._times.mended
        self._last_pts = self._times.next(None if stamp is None else (stamp - self._zero) * self._time_base)
        if self._times.mended > mended:
            self._count("mended_times", f"{self._path}: the time of frame {index} is not after the one before")
        self._last_duration_s = decoded.duration * self._time_base
        self._frames_read += 1
        return Frame(
            index=index, pts=self._last_pts, image=self._pictures.picture(decoded), captured_s=time.monotonic()
        )

    def _note_missing_end(self) -> None:
        """Find out whether the file was cut: its header names more frames, or a longer time, than it holds."""
        if self._problems.broke_off is not None:
            return
        if "mp4" in self._info.container:
            named = len(self._stream.index_entries)
            if self._packets_read < named:
                self._break_off(f"{self._path} is cut short: it names {named} frames and holds {self._frames_read}")
            return
        length_s = _named_length_s(self._stream, self._container)
        end_s = self._last_pts + max(self._step_s, self._last_duration_s)
        if length_s is not None and end_s < length_s - max(_CUT_S, 3 * self._step_s):
            self._break_off(f"{self._path} is cut short: it ends at {float(end_s):.1f} s of {float(length_s):.1f} s")

    def _release(self) -> None:
        self._decoded.close()
        self._container.close()


def _open_container(path: Path) -> InputContainer:
    try:
        container = open_file(path)
    except PermissionError as error:
        raise SourceError(f"cannot read {path}: permission denied; check its rights") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if _begins_as_mp4(path):
            raise SourceError(
                f"{path} is an MP4 without its index (moov): it was cut, or never finished; copy or repair it"
            ) from error
        if refers_to_others(path):
            raise SourceError(
                f"{path} is a playlist or a description that names other files or hosts, and these are not opened; "
                "give the video itself"
            ) from error
        raise SourceError(f"{path} is not a video that can be read; give an MP4, MKV, MPEG, AVI, ... file") from error
    # PyAV has FFmpeg make up presentation times where there are none; for AVI with packed B-frames they are wrong.
    container.flags &= ~cast(int, Flags.gen_pts.value)
    return container


def _begins_as_mp4(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == b"ftyp"
    except OSError:
        return False


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        # The cover of a sound file counts as video in FFmpeg.
        if Disposition.attached_pic not in Disposition(stream.disposition):
            if stream.codec_context is None:
                raise SourceError(f"{path} holds video of a codec that is not known; convert it to H.264")
            return stream
    raise SourceError(f"{path} holds no video, only other data; give a file with pictures")


def _frame_rate(stream: VideoStream) -> Fraction | None:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= 1000:
            return rate
    return None


def _duration_s(stream: VideoStream, container: InputContainer) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    if container.duration and container.duration > 0:
        return Fraction(container.duration, av.time_base)
    return None


def _named_length_s(stream: VideoStream, container: InputContainer) -> Fraction | None:
    """Length of the picture that the file's header names; None for formats where FFmpeg measures it from the end."""
    if container.format.name == "avi" and stream.time_base is not None:
        return stream.frames * stream.time_base  # the duration is FFmpeg's guess when the end is missing
    if "matroska" in container.format.name:
        parts = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "").strip("\0 "))
        if parts is not None:
            return int(parts[1]) * 3600 + int(parts[2]) * 60 + Fraction(parts[3])
        if len(container.streams) == 1:  # else the sound may be longer
            return _duration_s(stream, container)
    return None
