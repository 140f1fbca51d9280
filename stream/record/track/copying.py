"""A recording's own pictures and sound, copied packet by packet into a Matroska file."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from typing import TYPE_CHECKING, TypeAlias, cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from engine.errors import OutputError
from stream.sources.containers.allowed import open_file
from stream.sources.packets import read_packets
from stream.sources.presentation_times import PresentationTimes
from stream.sources.source import SourceInfo

if TYPE_CHECKING:
    from av.container.core import Chapter  # there is none when it runs

logger = logging.getLogger(__name__)

TICK_S = Fraction(1, 1000)
"""Unit of Matroska's times, in seconds."""

BURN_IN = "burn the marks in: --output OUT.mp4"
"""What to do about a source whose packets cannot be copied, where nobody says otherwise."""

# Looked at before anything is written, to find out what is shown first: a decoder holds back 16 pictures at most.
_FIRST_PICTURES = 17
_MOST_FIRST_PACKETS = 300
_MOST_FIRST_BYTES = 1 << 26
_USUAL_STEP_S = Fraction(1, 25)
#: Beginnings of tags by which Matroska counts a stream: they would be wrong in a file that ends early.
_STATISTICS = ("DURATION", "NUMBER_OF_", "BPS", "_STATISTICS")

_Stream: TypeAlias = VideoStream | AudioStream
_Packet: TypeAlias = "Packet[_Stream]"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the recording.

    Attributes:
        tick: when it is shown in the output.
        is_exact: whether that is the time of the frame.
        is_keyframe: whether a player may begin there.
    """

    tick: int
    is_exact: bool
    is_keyframe: bool


class PacketCopy:
    """Reads the pictures and the sound of a video file, from its start, as packets for a Matroska file.

    What packets hold stays as it is; FFmpeg changes only what stands around it, where two formats differ (start codes
    or lengths of H.264, the heads of AAC in a transport stream). Time 0 is when the first of the streams begins.
    """

    def __init__(self, info: SourceInfo, output: OutputContainer, *, remedy: str = BURN_IN) -> None:
        """Open the file and add its streams, title and chapters to an output.

        Args:
            info: of the source, a video file.
            output: a Matroska file that was opened for writing and has not begun.
            remedy: what the user can do where an OutputError is raised.

        Raises:
            OutputError: the file cannot be read, Matroska cannot hold these pictures, or they have no times.
        """
        self._info, self._remedy = info, remedy
        self._step_s = info.step_s or _USUAL_STEP_S
        self._step = _tick(self._step_s)
        try:
            self._input = open_file(info.path)  # which makes up presentation times where the format has none
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"the pictures of {info.path} cannot be copied: {error}; {remedy}") from error
        try:
            self._clocks = self._add_streams(output)
            packets = self._read()
            first = self._first_of(packets)
            self._check_times(first)
            self._begin_s = self._begin_of(first)
            output.metadata.update(self._input.metadata)
            output.set_chapters([self._moved(chapter) for chapter in self._input.chapters()])
        except BaseException:
            self._input.close()
            raise
        self._packets = chain(first, packets)
        self._waiting: _Packet | None = None
        self._pictures: dict[int, bool] = {}  # ticks of pictures that were read: whether a player may begin there

    def tick_of(self, pts: Fraction) -> int:
        """When a frame of the source is shown in the output, in ticks; `pts` in seconds."""
        return _tick(pts + self._info.start_s - self._begin_s)

    def take_picture(self, tick: int) -> Picture:
        """The picture of a frame that is shown at this time; earlier ones are forgotten.

        Where there is none at this time, as it was mended, the next one is named, unless that is further away than a
        frame: then the frame has no picture of its own.
        """
        exact = next((one for one in (tick, tick - 1, tick + 1) if one in self._pictures), None)
        following = min((one for one in self._pictures if tick < one <= tick + self._step), default=tick)
        place = following if exact is None else exact
        picture = Picture(place, is_exact=exact is not None, is_keyframe=self._pictures.get(place, False))
        done = tick if exact is None else exact  # the next frame may be the one whose picture was named
        self._pictures = {one: is_keyframe for one, is_keyframe in self._pictures.items() if one > done}
        return picture

    def until(self, tick: int | None) -> Iterator[_Packet]:
        """The packets up to the picture that follows this time, ready to be muxed; for None all that are left."""
        while True:
            packet, self._waiting = self._waiting, None
            if packet is None:
                packet = next(self._packets, None)
                if packet is None:
                    return
                self._clocks[packet.stream.index].place(packet, self._begin_s)
                if isinstance(packet.stream, VideoStream) and packet.pts is not None:
                    self._pictures[packet.pts] = packet.is_keyframe
            is_later = tick is not None and (packet.dts or 0) > tick + self._step
            if is_later and isinstance(packet.stream, VideoStream):
                self._waiting = packet
                return
            yield packet

    def close(self) -> None:
        """Close the source."""
        self._input.close()

    def _add_streams(self, output: OutputContainer) -> dict[int, _Clock]:
        clocks: dict[int, _Clock] = {}
        for stream in [*self._input.streams.video, *self._input.streams]:  # the pictures first
            if stream.index in clocks:
                continue
            if stream.index not in (self._info.stream, self._info.audio_stream):
                stream.discard = Discard.all
                continue
            try:
                target = cast(_Stream, output.add_stream_from_template(stream, opaque=True))
            except (av.error.FFmpegError, ValueError) as error:
                is_picture = stream.index == self._info.stream
                what = f"the {'pictures' if is_picture else 'sound'} of {self._info.path} ({stream.codec_context.name})"
                if is_picture:
                    raise OutputError(f"{what} cannot be copied into Matroska: {error}; {self._remedy}") from error
                logger.warning("%s cannot be copied into Matroska and is left out: %s", what, error)
                stream.discard = Discard.all
                continue
            target.metadata.update(
                {name: text for name, text in stream.metadata.items() if not name.startswith(_STATISTICS)}
            )
            target.disposition = stream.disposition
            clocks[stream.index] = _Clock(target, self._step_s)
        return clocks

    def _moved(self, chapter: Chapter) -> Chapter:
        begin = round(self._begin_s / (chapter["time_base"] or TICK_S))
        moved = chapter.copy()
        moved["start"], moved["end"] = max(chapter["start"] - begin, 0), max(chapter["end"] - begin, 0)
        return moved

    def _read(self) -> Iterator[_Packet]:
        streams = [cast(_Stream, self._input.streams[index]) for index in self._clocks]
        try:
            for packet in read_packets(self._input, *streams, on_damage=lambda _: None):
                if packet.size:
                    yield packet
        except (av.error.FFmpegError, OSError) as error:
            logger.warning("the rest of %s could not be copied: %s", self._info.path, error.strerror or error)

    def _first_of(self, packets: Iterator[_Packet]) -> list[_Packet]:
        """Packets at the beginning, as many as it takes to know which of them is shown first."""
        first: list[_Packet] = []
        missing = {index: _FIRST_PICTURES if index == self._info.stream else 1 for index in self._clocks}
        size = 0
        for packet in packets:
            first.append(packet)
            size += packet.size
            missing[packet.stream.index] -= 1
            known = max(missing.values()) <= 0
            if known or len(first) == _MOST_FIRST_PACKETS or size > _MOST_FIRST_BYTES:
                break
        return first

    def _begin_of(self, first: Sequence[_Packet]) -> Fraction:
        """When the first of the streams begins, on the clock of the source."""
        begins: dict[int, Fraction] = {}
        for packet in first:
            shown_s = _shown_s(packet)
            if shown_s is not None:
                begins[packet.stream.index] = min(shown_s, begins.get(packet.stream.index, shown_s))
        video = self._info.stream
        if self._info.container == "avi" and video in begins:
            # Made-up times of showing are late by the delay of the decoder; the sound is not.
            self._clocks[video].shift_s = self._info.start_s - begins[video]
            begins[video] = self._info.start_s
        return min(begins.values(), default=Fraction(0))

    def _check_times(self, first: Sequence[_Packet]) -> None:
        """Refuse pictures of which is not known when they are shown."""
        shown = [packet.pts for packet in first if isinstance(packet.stream, VideoStream)]
        missing = None in shown or bool(self._input.format.flags & cast(int, Flags.no_timestamps.value))
        if self._info.container == "avi" and any(one.codec_context.has_b_frames for one in self._input.streams.video):
            # FFmpeg makes up what an AVI does not say: in the order of the file, unless it finds out which pictures are
            # shown earlier than they are stored.
            missing |= all(one is not None and other is not None and one < other for one, other in pairwise(shown))
        if missing:
            raise OutputError(
                f"{self._info.path} does not say when its pictures are shown ({self._info.codec} in "
                f"{self._info.container}), so they cannot be copied with their times; {self._remedy}"
            )


class _Clock:
    """Gives the packets of one stream their times in the output."""

    def __init__(self, target: _Stream, step_s: Fraction) -> None:
        self._target = target
        self._step_s = step_s
        self._times = PresentationTimes(step_s=step_s)
        self._offset_s = Fraction(0)
        self._last: int | None = None
        self._shown_last = deque[int](maxlen=_FIRST_PICTURES)
        self.shift_s = Fraction(0)

    def place(self, packet: _Packet, begin_s: Fraction) -> None:
        """Turns a packet of the source into one of the output, with times in ticks."""
        unit_s = packet.time_base
        if packet.dts is not None:  # a clock that begins anew goes on where the one before was
            self._offset_s = self._times.next(packet.dts * unit_s) - packet.dts * unit_s
        moved_s = self._offset_s + self.shift_s - begin_s
        shown_s = (_shown_s(packet) or Fraction(0)) + moved_s
        if _tick(shown_s) in self._shown_last:
            shown_s += self._step_s / 8  # a repeated time, which `PresentationTimes` mends alike
        shown = _tick(shown_s)
        self._shown_last.append(shown)
        # Matroska has times of showing and no others. These only say in which order packets stand in the file:
        # pictures before the marks that begin with them.
        if packet.dts is not None:
            decoded = _tick(packet.dts * unit_s + moved_s)
        else:
            step = max(_tick(self._step_s), 1)
            decoded = shown - _FIRST_PICTURES * step if self._last is None else self._last + step
        decoded = min(decoded, shown) - 1
        if self._last is not None:
            decoded = max(decoded, self._last)
        if packet.duration:
            packet.duration = max(_tick(packet.duration * unit_s), 1)
        packet.time_base = TICK_S
        packet.dts, packet.pts = decoded, max(shown, decoded)
        packet.stream = self._target
        self._last = decoded


def _shown_s(packet: _Packet) -> Fraction | None:
    stamp = packet.dts if packet.pts is None else packet.pts
    return None if stamp is None else stamp * packet.time_base


def _tick(time_s: Fraction) -> int:
    return math.floor(time_s / TICK_S + Fraction(1, 2))
