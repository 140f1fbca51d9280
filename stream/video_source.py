"""Frames of a video file, through FFmpeg."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from engine.errors import SourceError
from stream.frame import Frame, Image
from stream.presentation_times import PresentationTimes
from stream.source import Source, SourceInfo, SourceKind, check_resolution
from stream.yuv import RANGE_FULL, ColorTags, yuv_to_bgr

_PLANAR_8_BIT = frozenset(
    f"{kind}{sampling}p" for kind in ("yuv", "yuvj") for sampling in ("420", "422", "444", "440", "411", "410")
)
_DEFAULT_RATE = Fraction(25)
_READ_FAILURES = 20  # in a row, after which a file is given up
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


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
        self._packets_read = 0
        self._pictures = 0
        self._last_pts = Fraction(0)
        self._container = _open_container(path)
        try:
            self._stream = _video_stream(self._container, path)
            self._stream.thread_type = "AUTO"
            self._stream.thread_count = decoder_threads
            self._time_base = self._stream.time_base or Fraction(1, 90000)
            self._rate = _frame_rate(self._stream)
            self._times = PresentationTimes(step_s=1 / (self._rate or _DEFAULT_RATE))
            self._reformatter = VideoReformatter()
            self._decoded = self._decode()
            self._first = next(self._decoded, None)
            if self._first is None:
                raise SourceError(f"{path} holds no frame that can be decoded; check that it plays, or convert it again")
            self._info = self._describe(self._first)
            check_resolution(self._info.resolution_wh, str(path))
        except BaseException:
            self._container.close()
            raise

    @property
    def info(self) -> SourceInfo:
        """What is known of the video."""
        return self._info

    def _describe(self, first: VideoFrame) -> SourceInfo:
        stream, container = self._stream, self._container
        turns, _ = _orientation(first)
        width, height = (first.height, first.width) if turns % 2 else (first.width, first.height)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        duration_s = _duration_s(stream, container)
        count = stream.frames or None
        if count is None and duration_s is not None and self._rate is not None:
            count = max(1, round(duration_s * self._rate))
        start = [stamp for stamp in (stream.start_time, _stamp(first)) if stamp is not None]
        return SourceInfo(
            kind=SourceKind.VIDEO,
            path=self._path,
            resolution_wh=(width, height),
            average_rate=self._rate,
            frame_count=count,
            duration_s=None if duration_s is None else float(duration_s),
            has_audio=bool(container.streams.audio),
            color=_color_tags(first),
            time_base=self._time_base,
            start_s=min(start, default=0) * self._time_base,
            sample_aspect_ratio=1 / aspect if turns % 2 else aspect,
            codec=stream.codec_context.name,
            container=container.format.name,
        )

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets of the video, going on over places that cannot be parsed."""
        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    self._packets_read += packet.size > 0
                    if packet.is_corrupt:
                        self._count("corrupt_packets", f"{self._path}: packet {self._packets_read} is damaged")
                    yield packet
                return
            except av.error.InvalidDataError:
                failures += 1
                self._count("corrupt_packets", f"{self._path}: unreadable after packet {self._packets_read}")
                if failures == _READ_FAILURES:
                    self._break_off(f"{self._path} cannot be read past packet {self._packets_read}")
                    return
            except (av.error.FFmpegError, OSError) as error:
                self._break_off(f"{self._path} broke off after packet {self._packets_read}: {error.strerror}")
                return

    def _decode(self) -> Iterator[VideoFrame]:
        flushed = False
        for packet in self._packets():
            flushed = packet.size == 0
            yield from self._decode_packet(packet)
        if not flushed:
            yield from self._decode_packet(None)

    def _decode_packet(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except EOFError:
            return []
        except (av.error.FFmpegError, OSError) as error:
            self._count("corrupt_packets", f"{self._path}: packet {self._packets_read} not decoded: {error.strerror}")
            return []

    def _next_frame(self) -> Frame | None:
        decoded, self._first = self._first, None
        if decoded is None:
            decoded = next(self._decoded, None)
        if decoded is None:
            self._note_missing_end()
            return None
        if decoded.is_corrupt:
            self._count("corrupt_frames", f"{self._path}: frame {self._pictures} is damaged")
        stamp = _stamp(decoded)
        mended = self._times.mended
        pts = self._times.next(None if stamp is None else stamp * self._time_base - self._info.start_s)
        if self._times.mended > mended:
            self._count("mended_times", f"{self._path}: frame {self._pictures} has no usable presentation time")
        frame = Frame(
            index=self._pictures,
            pts=pts,
            image=self._to_bgr(decoded),
            captured_s=time.monotonic(),
        )
        self._pictures += 1
        self._last_pts = pts
        return frame

    def _note_missing_end(self) -> None:
        """Find out whether a file was cut: it names more frames, or a longer time, than it holds."""
        if self._problems.broke_off is not None:
            return
        promised = len(self._stream.index_entries) if "mp4" in self._info.container else 0
        if self._packets_read < promised:
            self._break_off(f"{self._path} is cut short: {self._pictures} of {promised} frames are there")
            return
        length = _written_length_s(self._stream, self._container)
        step_s = 1 / (self._rate or _DEFAULT_RATE)
        if length is not None and self._last_pts + step_s < length - max(1, 3 * step_s):
            self._break_off(
                f"{self._path} is cut short: its picture ends at {float(self._last_pts):.1f} s of {float(length):.1f} s"
            )

    def _to_bgr(self, frame: VideoFrame) -> Image:
        tags = _color_tags(frame)
        matrix = tags.matrix_for((frame.width, frame.height))
        if frame.format.name in _PLANAR_8_BIT and all(plane.line_size > 0 for plane in frame.planes):
            luma, blue, red = (
                np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
                for plane in frame.planes
            )
            image = yuv_to_bgr(luma, blue, red, matrix=matrix, full_range=tags.full_range)
        else:
            converted = self._reformatter.reformat(
                frame, format="bgr24", src_colorspace=matrix, interpolation=_EXACT, threads=1
            )
            image = converted.to_ndarray()
        turns, mirrored = _orientation(frame)
        if mirrored:
            image = image[:, ::-1]
        if turns:
            image = np.rot90(image, turns)
        return np.ascontiguousarray(image, dtype=np.uint8)

    def _release(self) -> None:
        self._decoded.close()
        self._container.close()


def _open_container(path: Path) -> InputContainer:
    try:
        # "file:" keeps names such as "rtsp:x.mp4" from being taken for a protocol.
        return av.open(f"file:{path}", mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise SourceError(f"cannot read {path}: permission denied; check its rights") from error
        if path.read_bytes()[4:8] == b"ftyp":
            raise SourceError(
                f"{path} is an incomplete MP4 without an index (moov): its recording was not finished; "
                "copy it again or repair it"
            ) from error
        raise SourceError(f"{path} is not a video that can be read; give a video file such as MP4, MPEG or AVI") from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        # A cover picture of a sound file counts as video in FFmpeg.
        if not stream.disposition & stream.disposition.attached_pic:
            if stream.codec_context is None:
                raise SourceError(f"{path} holds video of a codec that FFmpeg cannot decode; convert it to H.264 first")
            return stream
    raise SourceError(f"{path} holds no video stream; give a file with pictures")


def _frame_rate(stream: VideoStream) -> Fraction | None:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= 1000:
            return rate
    return None


def _stamp(frame: VideoFrame) -> int | None:
    """Presentation time in the stream's units; AVI has decoding times only, which FFmpeg makes presentation times."""
    return frame.pts if frame.pts is not None else frame.dts


def _color_tags(frame: VideoFrame) -> ColorTags:
    return ColorTags(
        color_range=RANGE_FULL if frame.format.name.startswith("yuvj") else int(frame.color_range),
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
    )


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Counterclockwise quarter turns that bring the picture upright, and whether it is to be mirrored before."""
    return round(frame.rotation / 90) % 4, False


def _duration_s(stream: VideoStream, container: InputContainer) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    if container.duration and container.duration > 0:
        return Fraction(container.duration, av.time_base)
    return None


def _written_length_s(stream: VideoStream, container: InputContainer) -> Fraction | None:
    """Length of the picture that the file's header names; None where FFmpeg would only guess it from the file's end."""
    return None
