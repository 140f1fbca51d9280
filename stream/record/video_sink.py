"""Annotated video as H.264 MP4."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from engine.closing import Completing
from engine.errors import OutputError, WriteError
from engine.files import Claim, UnfinishedFile, take_name
from engine.files.unfinished import JOINING, create_numbered
from engine.pictures.color import RANGE_LIMITED, UNSPECIFIED, YuvCoding
from engine.pictures.picture import AnyPicture, Picture
from stream.record.audio_copy import AudioCopy
from stream.record.encoder_frames import encoder_frame, letterboxed
from stream.record.encoders import Encoding, find_encoder, set_up
from stream.record.output_path import OutputFile
from stream.sources.source import SourceInfo

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v"})
"""Endings of annotated videos."""

_DEFAULT_RATE = Fraction(25)
_USUAL_ENCODING = Encoding()
_AUDIO_TAIL_S = 1  # sound that may follow the last picture
_INDEX_BYTES = 1 << 16  # room for the index of an MP4, plus the following
_INDEX_BYTES_PER_FRAME = 48
_INDEX_BYTES_PER_SECOND_OF_SOUND = 2400
_INDEX_BYTES_OF_SOUND_AT_MOST = 1 << 24
_LARGEST_INDEX_BYTES = 1 << 28


class _SoundError(Exception):
    """Sound that turned out, in the middle, to be of no use to an MP4."""


class VideoSink(Completing):
    """Writes frames, with the source's times, colours and sound, to an MP4 that plays everywhere.

    While it works, the pictures go to NAME.partial.mp4 (or .partial-2.mp4, where an earlier run left a file of this
    name), whose fragments of half a second play even when the process is killed. `close` joins them with the sound into
    a file with its index at the front and gives it its name.
    Pictures of odd width or height get one more column or row, a copy of the last.

    Attributes:
        encoder: name of the encoder that is used.
    """

    def __init__(
        self,
        path: Path,
        *,
        info: SourceInfo,
        overwrite: bool = False,
        encoding: Encoding = _USUAL_ENCODING,
        claim: Claim | None = None,
    ) -> None:
        """Open the encoder.

        Args:
            path: target, ending in .mp4 or .m4v.
            info: the source that the frames come from: resolution, rate, time base, colours, sound.
            overwrite: whether an existing file may be replaced.
            encoding: which encoder, and its effort.
            claim: by `claim_output`, of a run that holds it for longer; by default it is held until the file is closed.

        Raises:
            OutputError: it cannot be written there, or another run writes it.
        """
        self.path = path
        self.frames = 0
        self.resized_frames = 0
        self._info = info
        self._overwrite = overwrite
        self._size_wh = info.resolution_wh
        self._coding = YuvCoding(info.color.matrix_for(info.resolution_wh), info.color.full_range)
        self._time_base = _output_time_base(info)
        self._last_tick = -1
        self._end_tick: int | None = None
        self._output = OutputFile(path, suffixes=VIDEO_SUFFIXES, overwrite=overwrite, inputs=[info.path], claim=claim)
        self.partial_path = self._result = self._output.partial_path
        try:
            # The file that was made, not its name: this may lead elsewhere by now.
            self._container: OutputContainer | None = av.open(
                self._output.file,
                mode="w",
                format="mp4",
                options={
                    "movflags": "frag_keyframe+delay_moov+default_base_moof",
                    "frag_duration": "500000",
                    "flush_packets": "1",
                },
            )
            self._stream = self._add_stream(self._container, encoding)
            self._container.start_encoding()
        except BaseException as error:
            self._output.remove()
            self._output.let_go()
            if not isinstance(error, (av.error.FFmpegError, OSError, ValueError)):
                raise
            raise OutputError(f"cannot write {path}: {error}; name another file") from error

    def _add_stream(self, container: OutputContainer, encoding: Encoding) -> VideoStream:
        rate = 1 / self._info.step_s if self._info.step_s else self._info.average_rate or _DEFAULT_RATE
        rate = rate.limit_denominator(1 << 16)
        width, height = (side + side % 2 for side in self._size_wh)
        encoder = find_encoder(encoding, resolution_wh=(width, height), rate=rate)
        self.encoder = encoder.name
        options, accelerator = encoder.options(encoding, rate), encoder.accelerator()
        stream = container.add_stream(encoder.codec, rate=rate, options=options, hwaccel=accelerator)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        set_up(context, encoder, encoding, (width, height))
        context.time_base = self._time_base
        context.sample_aspect_ratio = self._info.sample_aspect_ratio.limit_denominator(1 << 15)
        color = self._info.color
        context.color_range = color.color_range or (RANGE_LIMITED if color.matrix == 0 else 0)
        context.colorspace = UNSPECIFIED if color.matrix == UNSPECIFIED else self._coding.matrix
        context.color_primaries = color.primaries
        context.color_trc = color.transfer
        stream.time_base = self._time_base
        return stream

    def write(self, image: AnyPicture, pts: Fraction) -> None:
        """Add one frame.

        Args:
            image: BGR uint8, shape (height, width, 3), or as it was decoded. Another size than the first frame's is
                scaled into it.
            pts: presentation time in seconds, after the frame before.

        Raises:
            WriteError: the disk is full or gone; what was written before plays from `partial_path`.
        """
        if self._container is None:
            raise ValueError(f"{self.path} is closed")
        frame = self._frame_of(Picture.of(image))
        self._last_tick = max(round(pts / self._time_base), self._last_tick + 1)
        frame.pts = self._last_tick
        frame.time_base = self._time_base
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise self._output.write_error(error) from error
        self.frames += 1

    def close(self, *, stop: Callable[[], bool] | None = None, end_s: Fraction | None = None) -> Path:
        """Complete the file and give it its name; more than one call does no harm.

        Args:
            stop: asked again and again whether to end early: the pictures then stay in `partial_path`.
            end_s: when the last picture ends, in seconds; None for the usual distance of two pictures after it began.

        Returns:
            Where the video is: `path`, or `partial_path` when it was stopped.

        Raises:
            WriteError: the disk is full or gone, no frame was written, or others made a file of this name meanwhile;
                what there is stays in `partial_path`.
        """
        if self._container is None:
            return self._result
        self._result = self.partial_path
        if end_s is not None:
            self._end_tick = max(round(end_s / self._time_base), self._last_tick + 1)
        try:
            self._complete(stop)
        finally:
            self._output.end()
        if self._result == self.path:
            self._output.remove()
        return self._result

    def abort(self) -> Path | None:
        """End early: the frames so far stay, without sound, in `partial_path`.

        Returns:
            `partial_path`, or None when there is nothing to keep.
        """
        if self._container is not None:
            self._result = self.partial_path
            try:
                self._end_pictures()
            except WriteError as error:
                logger.warning("%s", error)
            finally:
                self._output.end()
        if self.frames == 0:
            self._output.remove()
            return None
        return self._result

    def _complete(self, stop: Callable[[], bool] | None) -> None:
        self._end_pictures()
        if self.frames == 0:
            self._output.remove()
            raise WriteError(f"cannot write {self.path}: there was no frame to write")
        try:
            with create_numbered(self.path, word=JOINING) as joined:
                try:
                    if self._join(joined, stop):
                        os.fsync(joined.fileno())
                        joined.close()  # Windows renames no open file
                        take_name(joined.path, self.path, overwrite=self._overwrite)
                        self._result = self.path
                finally:
                    joined.close()
                    with contextlib.suppress(OSError):
                        joined.path.unlink(missing_ok=True)
        except FileExistsError as error:
            raise self._output.taken_error("the video is") from error
        except (av.error.FFmpegError, OSError) as error:
            raise self._output.write_error(error) from error

    def _frame_of(self, picture: Picture) -> av.VideoFrame:
        """A picture as the encoder takes it."""
        if picture.resolution_wh != self._size_wh:
            if self.resized_frames == 0:
                logger.warning(
                    "%s: frame %d has %dx%d pixels; it and others are scaled to the first frame's %dx%d",
                    *(self.path, self.frames, *picture.resolution_wh, *self._size_wh),
                )
            self.resized_frames += 1
            picture = letterboxed(picture, self._size_wh)
        frame = encoder_frame(picture, self._coding)
        frame.color_range = self._stream.codec_context.color_range
        frame.colorspace = self._stream.codec_context.colorspace
        return frame

    def _end_pictures(self) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        try:
            try:
                container.mux(self._stream.encode(None))
            finally:
                container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise self._output.write_error(error) from error

    def _join(self, target: UnfinishedFile, stop: Callable[[], bool] | None) -> bool:
        """Copy pictures and sound into one file with its index in front; False when it was stopped."""
        end_s = self._time_base * (self._end_tick or self._last_tick)
        room = _INDEX_BYTES + self.frames * _INDEX_BYTES_PER_FRAME
        if self._info.has_audio:
            room += min(int(end_s * _INDEX_BYTES_PER_SECOND_OF_SOUND), _INDEX_BYTES_OF_SOUND_AT_MOST)
        # Moving the index to the front afterwards ("faststart") writes all again, in a call that nothing can interrupt:
        # a long video would not end on Ctrl-C. So the index gets its room beforehand, and more when it was too small.
        has_audio = self._info.has_audio
        while True:
            target.seek(0)
            target.truncate()
            try:
                return self._join_with(room, target, has_audio=has_audio, stop=stop)
            except _SoundError as error:
                logger.warning("%s has no sound: that of %s is unusable (%s)", self.path, self._info.path, error)
                has_audio = False
            except av.error.ArgumentError:
                if room > _LARGEST_INDEX_BYTES:
                    raise
                room *= 4

    def _join_with(
        self, room: int, target: UnfinishedFile, *, has_audio: bool, stop: Callable[[], bool] | None
    ) -> bool:
        self._output.file.seek(0)
        with (
            av.open(self._output.file, mode="r") as pictures,
            av.open(target, mode="w", format="mp4", options={"moov_size": str(room)}) as output,
            contextlib.ExitStack() as stack,
        ):
            source = pictures.streams.video[0]
            stream = output.add_stream_from_template(source)
            audio = self._open_audio(output) if has_audio else None
            if audio is not None:
                stack.callback(audio.close)
            for packet in self._with_last_duration(pictures.demux(source)):
                if stop is not None and stop():
                    return False
                if audio is not None:
                    _mux_audio(output, audio.until((packet.dts or 0) * packet.time_base))
                packet.stream = stream
                output.mux(packet)
            if audio is not None:
                last_s = self._time_base * (self._end_tick or self._last_tick)
                _mux_audio(output, audio.until(last_s + _AUDIO_TAIL_S))
        return True

    def _with_last_duration(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """The packets of the pictures; the last one lasts as long as its picture does."""
        before: Packet[VideoStream] | None = None
        for packet in packets:
            if packet.dts is None:
                continue
            if before is not None:
                yield before
            before = packet
        if before is not None:
            if self._end_tick is not None and before.dts is not None:
                left_s = self._time_base * self._end_tick - before.dts * before.time_base
                before.duration = max(1, round(left_s / before.time_base))
            yield before

    def _open_audio(self, output: OutputContainer) -> AudioCopy:
        if self._info.audio_choice:
            logger.warning("%s", self._info.audio_choice)
        try:
            if self._info.audio_stream is None:
                raise ValueError("its stream is not known")
            return AudioCopy(self._info.path, output, stream=self._info.audio_stream, start_s=self._info.start_s)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _SoundError(str(error)) from error


def _mux_audio(output: OutputContainer, packets: Iterable[Packet[AudioStream]]) -> None:
    try:
        for packet in packets:
            try:
                output.mux(packet)
            except av.error.InvalidDataError as error:  # one damaged packet: the sound goes on after it
                logger.debug("a packet of sound at %s was left out: %s", packet.pts, error.strerror)
    except ValueError as error:  # other wrong data; a full disk is an OSError
        raise _SoundError(str(error)) from error


def _output_time_base(info: SourceInfo) -> Fraction:
    """A unit of time in which the source's times are whole numbers.

    MP4 counts in fractions 1/n of a second; n is the source's, doubled up to 10,000 and more as FFmpeg does, so that
    mended times between two ticks of a coarse clock find room too.
    """
    base = info.time_base or 1 / (info.average_rate or _DEFAULT_RATE)
    ticks = base.denominator
    if ticks > 1_000_000:
        return Fraction(1, 90000)
    while ticks < 10000:
        ticks *= 2
    return Fraction(1, ticks)
