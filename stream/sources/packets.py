"""Packets of a stream and what they decode to, going on over damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar, cast, overload

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import DecodeError
from stream.sources.containers.size_limit import beyond_limit, refused_size

_AnyStream = TypeVar("_AnyStream", bound=AudioStream | VideoStream)

READ_FAILURES = 20
"""Places in a row that cannot be parsed, after which a stream is given up."""


def read_packets(
    container: InputContainer, *streams: _AnyStream, on_damage: Callable[[str], None]
) -> Iterator[Packet[_AnyStream]]:
    """Packets of streams, going on over places that cannot be parsed.

    Args:
        container: that holds the streams.
        streams: whose packets are read, in the order of the file.
        on_damage: told of each place that cannot be parsed, with FFmpeg's word for it.

    Yields:
        The packets; an empty one of each stream at the end.

    Raises:
        av.error.InvalidDataError: `READ_FAILURES` places in a row could not be parsed.
        av.error.FFmpegError: reading broke off for another reason.
        OSError: likewise.
    """
    failures = 0
    while True:
        try:
            for packet in container.demux(*streams):
                failures = 0
                yield cast("Packet[_AnyStream]", packet)
            return
        except av.error.InvalidDataError as error:
            failures += 1
            on_damage(error.strerror or type(error).__name__)
            if failures == READ_FAILURES:
                raise


@overload
def decode_packet(
    stream: VideoStream, packet: Packet[VideoStream] | None, *, on_damage: Callable[[str], None]
) -> list[VideoFrame]: ...


@overload
def decode_packet(
    stream: AudioStream, packet: Packet[AudioStream] | None, *, on_damage: Callable[[str], None]
) -> list[AudioFrame]: ...


def decode_packet(
    stream: VideoStream | AudioStream,
    packet: Packet[VideoStream] | Packet[AudioStream] | None,
    *,
    on_damage: Callable[[str], None],
) -> list[VideoFrame] | list[AudioFrame]:
    """What a packet decodes to: nothing when it is damaged, as the decoder goes on with the next ones.

    Args:
        stream: that the packet is of.
        packet: to decode; None for what the decoder still holds at the end.
        on_damage: told when it cannot be decoded, with FFmpeg's word for it.

    Raises:
        DecodeError: the pictures have more pixels than may be.
    """
    if packet is not None and packet.size == 0 and packet.dts is not None:
        return []  # an empty sample: the picture before it stays. A decoder would take it for the end
    try:
        return stream.decode(packet)
    except av.error.ArgumentError as error:
        if isinstance(stream, VideoStream) and refused_size(stream):
            raise DecodeError(f"its pictures are too large{beyond_limit()}") from None
        on_damage(error.strerror or type(error).__name__)
        return []
    except EOFError:  # nothing is left in the decoder
        return []
    except (av.error.FFmpegError, OSError) as error:
        on_damage(error.strerror or type(error).__name__)
        return []
