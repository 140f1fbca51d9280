"""Frames of a video file, through FFmpeg."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import DecodeError, SourceError
from stream.frame import Frame
from stream.sources.containers.dicom.media import missing_of
from stream.sources.containers.endings import avi_chunks, matroska_is_cut
from stream.sources.containers.heif import refuse_grid
from stream.sources.containers.opening import open_container
from stream.sources.containers.tracks import choose_audio, choose_video, matroska_length_s, stream_frames
from stream.sources.decoded_frame import PictureMaker, color_tags, orientation
from stream.sources.interlaced.deinterlacer import Deinterlace, Deinterlacer
from stream.sources.packets import decode_packet, read_packets
from stream.sources.presentation_times import PresentationTimes
from stream.sources.source import Source, SourceInfo, SourceKind, check_resolution

logger = logging.getLogger(__name__)

_DEFAULT_RATE = Fraction(25)
_CUT_S = Fraction(1, 5)  # a picture that ends this much before the length in the header was cut
_GAPS = 4  # a rate that is so many times above the average shows gaps; twice is that of fields
_MOST_USUAL_RATE = 240  # a rate above it is the unit of the times rather than that of the frames
_OTHER_CLOCK_S = 10  # a first frame that is so far from the start that the stream names goes by another clock


class VideoSource(Source):
    """The frames of one video stream of a file."""

    def __init__(
        self,
        path: Path,
        *,
        decoder_threads: int = 0,
        stream: int | None = None,
        deinterlace: Deinterlace = Deinterlace.AUTO,
        container: InputContainer | None = None,
    ) -> None:
        """Open the file and decode its first frame.

        Args:
            path: a video file of any format that FFmpeg reads.
            decoder_threads: 0 for as many as there are processors.
            stream: number of the stream to read, as FFmpeg counts; None for the one that shows the film.
            deinterlace: what becomes of interlaced frames.
            container: what is read in the place of the file, from here to its end, without sound; closed with this.

        Raises:
            SourceError: the file is no video, or no frame of it can be decoded.
        """
        super().__init__()
        self._path = path
        self._size_at_start = _size(path)
        self._end_s: Fraction | None = None
        self._container = container or open_container(path)
        try:
            if stream is None and container is None:
                refuse_grid(path)
            again = path if container is None else None
            choice = choose_video(self._container, str(path), wanted=stream, path=again)
            self._stream = choice.stream
            self._audio = None
            if container is None:
                self._audio = choose_audio(self._container, str(path), video=self._stream)
            self._stream_choice = choice.said
            if choice.said:
                logger.warning("%s", choice.said)
            self._stream.thread_type = ThreadType.AUTO
            self._stream.thread_count = decoder_threads
            self._time_base = self._stream.time_base or Fraction(1, 90000)
            self._rate = _frame_rate(self._stream)
            self._deinterlace = deinterlace
            self._deinterlacer = self._new_deinterlacer()
            self._pictures_a_frame = deinterlace.pictures_a_frame
            self._step_s = 1 / (_usual_rate(self._stream) or _DEFAULT_RATE) / self._pictures_a_frame
            self._times = PresentationTimes(step_s=self._step_s)
            self._pictures = PictureMaker()
            self._packets_read = 0
            self._from_dts: int | None = None  # where reading began anew
            self._frames_decoded = self._frames_read = 0
            self._last_pts = Fraction(0)
            self._last_duration_s = Fraction(0)
            # AVI has decoding times only. They count the frames as they come out of the decoder, from its delay on.
            self._uses_dts: bool | None = None
            self._decoded = self._whole(self._packets())
            first = next(self._decoded, None)
            if first is None:
                raise SourceError(f"{path} holds no frame that can be decoded; check that it plays, or convert it")
            self._first: VideoFrame | None = first
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

    @property
    def end_s(self) -> Fraction | None:
        """When the last frame's own time is over, in seconds; None before the end."""
        return self._end_s

    @property
    def deinterlacing(self) -> Mapping[str, Any]:
        """See `Source`."""
        return self._deinterlacer.as_record()

    def start_at(self, start_s: float) -> None:
        """Goes to the key frame at or before a time, to be called before the iteration.

        Times stay those of the whole recording, as far as the file has them; frames are counted from 0 on. Whether the
        video is interlaced is found out anew from there.

        Args:
            start_s: in seconds of the recording.

        Raises:
            SourceError: the file can be read from its beginning only.
        """
        place = int(self._zero + Fraction(start_s) / self._time_base)
        self._decoded.close()
        try:
            self._container.seek(place, stream=self._stream, backward=True)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"{self._path} can be read from its beginning only: {error.strerror}") from error
        self._first, self._packets_read = None, 0
        self._deinterlacer = self._new_deinterlacer()
        self._decoded = self._whole_from_here()

    def _new_deinterlacer(self) -> Deinterlacer:
        return Deinterlacer(self._deinterlace, name=str(self._path), time_base=self._time_base)

    def _start_and_first(self, first: VideoFrame) -> tuple[Fraction, Fraction]:
        """When the stream says that it starts, and when its first frame that can be decoded is shown, in its ticks."""
        named = self._stream.start_time
        start = None if named is None else Fraction(named)
        shown = self._ticks(first.pts, first)
        if shown is None:
            return start or Fraction(0), start or Fraction(0)
        if start is None or abs(shown - start) * self._time_base > _OTHER_CLOCK_S:
            return shown, shown
        return start, shown

    def _ticks(self, time: int | None, frame: VideoFrame) -> Fraction | None:
        """A time of a frame in ticks of the stream, which may be halves of them."""
        return None if time is None else time * (frame.time_base or self._time_base) / self._time_base

    def _describe(self, first: VideoFrame, *, start_s: Fraction) -> SourceInfo:
        stream, container = self._stream, self._container
        turned = orientation(first).transposed
        aspect = stream.sample_aspect_ratio or Fraction(1)
        duration_s = _duration_s(stream, container)
        count, pictures = stream_frames(stream), self._pictures_a_frame
        if count is None and duration_s is not None and self._rate is not None:
            count = max(1, round(duration_s * self._rate))
        return SourceInfo(
            kind=SourceKind.VIDEO,
            path=self._path,
            resolution_wh=(first.height, first.width) if turned else (first.width, first.height),
            average_rate=None if self._rate is None else self._rate * pictures,
            frame_count=None if count is None else count * pictures,
            duration_s=None if duration_s is None else float(duration_s),
            has_audio=self._audio is not None,
            color=color_tags(first),
            time_base=self._time_base / pictures,
            start_s=start_s,
            sample_aspect_ratio=1 / aspect if turned else aspect,
            codec=stream.codec_context.name,
            container=container.format.name,
            step_s=self._step_s,
            stream=stream.index,
            audio_stream=None if self._audio is None else self._audio.track.index,
            stream_choice=self._stream_choice,
            audio_choice="" if self._audio is None else self._audio.said,
            interlacing=self._deinterlacer.describe(),
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

    def _whole_from_here(self) -> Generator[VideoFrame, None, None]:
        """As `_whole`, after a jump; notes where it led to."""
        packets = self._packets()
        first = next(packets, None)
        if first is not None:
            self._from_dts = first.dts
            yield from self._whole(chain([first], packets))

    def _whole(self, packets: Iterator[Packet[VideoStream]]) -> Generator[VideoFrame, None, None]:
        """The decoded frames as whole pictures, each with its time in `pts`."""
        for frame in self._decode(packets):
            self._frames_decoded += 1
            if self._uses_dts is None:
                self._uses_dts = frame.pts is None and frame.dts is not None
            if self._uses_dts:
                frame.pts = frame.dts
            frame.time_base = self._time_base
            yield from self._deinterlacer.take(frame)
        yield from self._deinterlacer.rest()

    def _decode(self, packets: Iterator[Packet[VideoStream]]) -> Generator[VideoFrame, None, None]:
        flushed = False
        damaged: Packet[VideoStream] | None = None
        for packet in packets:
            flushed = packet.size == 0 and packet.dts is None
            # A damaged packet goes to the decoder with the next one only: at the end of a file it is a cut one, shows
            # nothing, and would cost the frames that the decoder's threads still hold.
            if damaged is not None and not flushed:
                yield from self._decode_packet(damaged)
            damaged = packet if packet.is_corrupt else None
            if damaged is None:
                yield from self._decode_packet(packet)
            if self._problems.broke_off is not None:
                return
        if not flushed:
            yield from self._decode_packet(None)

    def _decode_packet(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        def count(why: str) -> None:
            if packet is None or not packet.is_corrupt:  # else it is counted already
                self._count("corrupt_packets", f"{self._path}: packet {self._packets_read} fails: {why}")

        try:
            return decode_packet(self._stream, packet, on_damage=count)
        except DecodeError as error:
            if not self._frames_decoded:
                raise SourceError(f"{self._path}: {error}") from None
            self._break_off(f"{self._path} breaks off after frame {self._frames_decoded}: {error}")
            return []

    def _next_frame(self) -> Frame | None:
        decoded, self._first = self._first, None
        if decoded is None:
            decoded = next(self._decoded, None)
        if decoded is None:
            if self._end_s is None:
                self._end_s = self._last_pts + (self._last_duration_s or self._step_s)
                self._note_end()
            return None
        index = self._frames_read
        if decoded.is_corrupt:
            self._count("corrupt_frames", f"{self._path}: frame {index} is damaged")
        stamp = self._ticks(decoded.pts, decoded)
        mended = self._times.mended
        self._last_pts = self._times.next(None if stamp is None else (stamp - self._zero) * self._time_base)
        if self._times.mended > mended:
            self._count("mended_times", f"{self._path}: the time of frame {index} is not after the one before")
        self._last_duration_s = max(decoded.duration, 0) * (decoded.time_base or self._time_base)
        self._frames_read += 1
        return Frame(
            index=index, pts=self._last_pts, picture=self._pictures.picture(decoded), captured_s=time.monotonic()
        )

    def _note_end(self) -> None:
        """Find out how the file ends: while it is still written, cut, or with a picture that stays."""
        if self._problems.broke_off is not None:
            return
        assert self._end_s is not None
        size = _size(self._path)
        if size is not None and self._size_at_start is not None and size > self._size_at_start:
            self._note_growth(
                f"{self._path} was still growing while it was read, from {self._size_at_start} to {size} bytes: "
                f"{self._frames_read} frames up to {float(self._end_s):.1f} s were read; run again when it is complete"
            )
            return
        missing = missing_of(self._path)
        if missing:
            self._break_off(
                f"{self._path} is cut short at {float(self._end_s):.1f} s: {missing}; send the object again"
            )
            return
        if "mp4" in self._info.container:
            self._note_end_of_mp4()
            return
        held_until_s = self._named_end_s()
        if held_until_s is None or held_until_s <= self._end_s:
            return
        if not self._is_cut(held_until_s):
            self._end_s = held_until_s
        elif held_until_s - self._end_s > max(_CUT_S, 3 * self._step_s):
            ends = f"it ends at {float(self._end_s):.1f} s of {float(held_until_s):.1f} s"
            self._break_off(f"{self._path} is cut short: {ends}")

    def _note_end_of_mp4(self) -> None:
        """An MP4 names each of its samples. Empty ones at the end say that the picture before them stays."""
        assert self._end_s is not None
        entries = self._stream.index_entries
        if self._packets_read >= len(entries):
            return
        start = self._from_dts
        named = [place for place, e in enumerate(entries) if e.size > 0 and (start is None or e.timestamp >= start)]
        if self._packets_read < len(named):
            self._break_off(f"{self._path} is cut short: it names {len(named)} frames and holds {self._frames_read}")
        elif named:
            self._end_s += (entries[len(entries) - 1].timestamp - entries[named[-1]].timestamp) * self._time_base

    def _named_end_s(self) -> Fraction | None:
        """When the pictures end as the file's header names it; None where FFmpeg measures it from the end."""
        stream, container = self._stream, self._container
        if container.format.name == "avi":
            return stream.frames * self._time_base  # the duration is FFmpeg's guess when the end is missing
        if "matroska" in container.format.name:
            named = matroska_length_s(stream)
            if named is None and len(container.streams) == 1:  # else the sound may be longer
                named = _duration_s(stream, container)
            return named
        return None

    def _is_cut(self, named_end_s: Fraction) -> bool:
        """Whether pictures are missing up to a time, and not only left out since the one before them stays."""
        if self._container.format.name == "avi":
            return avi_chunks(self._path, self._stream.index) * self._time_base < named_end_s - self._step_s
        return matroska_is_cut(self._path) is not False

    def _release(self) -> None:
        self._decoded.close()
        self._container.close()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _usual_rate(stream: VideoStream) -> Fraction | None:
    """Frames a second between two frames that follow each other: a gap makes the average small, and not this."""
    average, base = _frame_rate(stream), stream.base_rate
    if base is not None and average is not None and _GAPS * average < base <= _MOST_USUAL_RATE:
        return base
    return average


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
