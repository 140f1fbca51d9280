"""The sound of a source, made ready for an MP4 file."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Discard

from stream.sources.containers.allowed import open_file
from stream.sources.packets import decode_packet, read_packets

logger = logging.getLogger(__name__)

# Codecs that are copied as they are. MP4 can carry more (MP2, Opus, FLAC), but many players are then silent.
_COPIED = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac"})
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_AAC_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


class AudioCopy:
    """Reads a sound track of a file, from its start, as packets for the output."""

    def __init__(self, path: Path, output: OutputContainer, *, stream: int, start_s: Fraction) -> None:
        """Open the sound and add its stream to an output.

        Args:
            path: the source file, which has sound.
            output: an MP4 that was opened for writing and has not begun.
            stream: number of the sound's stream, as FFmpeg counts.
            start_s: moment of the source's clock, in seconds, that is 0 in the output.

        Raises:
            av.error.FFmpegError, OSError, ValueError: the sound cannot be read, or not be written to an MP4.
        """
        self._path = path
        self._start_s = start_s
        self._input = open_file(path)
        try:
            self._source = next(one for one in self._input.streams.audio if one.index == stream)
            for other in self._input.streams:
                if other is not self._source:
                    other.discard = Discard.all  # saves reading the pictures again
            context = self._source.codec_context
            if context is None:
                raise ValueError("its codec is not known")
            self._time_base = self._source.time_base or Fraction(1, context.sample_rate)
            self.copied = context.name in _COPIED
            if self.copied:
                self._target: AudioStream = output.add_stream_from_template(self._source)
            else:
                rate = next((rate for rate in _AAC_RATES if rate >= context.sample_rate), _AAC_RATES[-1])
                layout = _AAC_LAYOUTS.get(context.channels, "stereo")
                # The fast coder halves the time, which is spent while the user waits for the end.
                self._target = output.add_stream("aac", rate=rate, layout=layout, options={"aac_coder": "fast"})
        except StopIteration:
            self._input.close()
            raise ValueError(f"stream {stream} is no sound") from None
        except BaseException:
            self._input.close()
            raise
        self._ready = self._packets()
        self._waiting: Packet[AudioStream] | None = None
        self._last_dts: int | None = None
        self._shift = 0
        self._damaged = 0

    def until(self, time_s: Fraction) -> Iterator[Packet[AudioStream]]:
        """The packets that begin before a time of the output and were not given yet.

        Args:
            time_s: seconds in the output.

        Yields:
            Packets ready to be muxed.
        """
        while True:
            packet, self._waiting = self._waiting, None
            if packet is None:
                packet = next(self._ready, None)
            if packet is None:
                return
            if packet.dts is not None and packet.dts * packet.time_base >= time_s:
                self._waiting = packet
                return
            yield packet

    def close(self) -> None:
        """Close the source."""
        self._ready.close()
        self._input.close()

    def _demuxed(self) -> Iterator[Packet[AudioStream]]:
        try:
            yield from read_packets(self._input, self._source, on_damage=self._count_damage)
        except (av.error.FFmpegError, OSError):
            logger.warning("%s: the rest of its sound cannot be read", self._path)

    def _count_damage(self, _: str) -> None:
        self._damaged += 1

    def _packets(self) -> Generator[Packet[AudioStream], None, None]:
        yield from self._copy() if self.copied else self._transcode()
        if self._damaged:
            logger.warning("%s: %d pieces of its sound could not be decoded", self._path, self._damaged)

    def _copy(self) -> Iterator[Packet[AudioStream]]:
        start = round(self._start_s / self._time_base)
        for packet in self._demuxed():
            if packet.size == 0 or packet.pts is None:
                continue
            time = packet.pts - start + self._shift
            duration = packet.duration or 0
            if time + 2 * duration < 0:
                continue  # before the first picture; one packet more, for the codec to settle
            if self._last_dts is not None and time <= self._last_dts:  # a new clock: go on where the sound was
                self._shift += self._last_dts + max(duration, 1) - time
                time = self._last_dts + max(duration, 1)
            self._last_dts = time
            packet.pts = packet.dts = time
            packet.stream = self._target
            yield packet

    def _transcode(self) -> Iterator[Packet[AudioStream]]:
        samples = 0  # where the next frame goes when it does not say
        rate = self._source.codec_context.sample_rate
        for packet in self._demuxed():
            for frame in decode_packet(self._source, packet, on_damage=self._count_damage):
                if frame.pts is not None:
                    given = round((frame.pts * self._time_base - self._start_s) * rate)
                    samples = given if given > samples - rate // 10 else samples
                if samples + frame.samples <= 0:
                    continue
                frame.time_base = Fraction(1, rate)
                frame.pts = samples
                samples += frame.samples
                yield from self._target.encode(frame)
        yield from self._target.encode(None)
