"""Files as odd programs write them, real ones: empty chunks and samples, thumbnails, several tracks, grids of tiles."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, zip_longest
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from engine.arrays import Image
from tests.kit.media import numbered_picture

_SOUND_RATE = 48000


@dataclass(frozen=True)
class Film:
    """A video stream to be written: pictures with these numbers, one after the other."""

    numbers: Sequence[int]
    size: tuple[int, int] = (128, 96)
    rate: int = 25
    codec: str = "libx264"
    disposition: int = 0


@dataclass(frozen=True)
class Tone:
    """A sound stream to be written."""

    hertz: float = 440.0
    loudness: int = 8000
    channels: int = 2
    length_s: float = 1.0
    disposition: int = 0


def write_streams(
    path: Path, streams: Sequence[Film | Tone], *, options: dict[str, str] | None = None, last_s: float | None = None
) -> Path:
    """Write a file with these streams, in their order.

    Args:
        path: to write; the format follows from its ending.
        streams: at least one.
        options: of the file format.
        last_s: how long the last frame of each film lasts; as long as the others when None.
    """
    with av.open(str(path), "w", options=options or {}) as output:
        made = [_add(output, one) for one in streams]
        for one, stream in zip(streams, made, strict=True):
            if isinstance(one, Film):
                assert isinstance(stream, VideoStream)
                _write_film(output, stream, one, last_s)
            else:
                assert isinstance(stream, AudioStream)
                _write_tone(output, stream, one)
    return path


def _add(output: OutputContainer, one: Film | Tone) -> VideoStream | AudioStream:
    if isinstance(one, Tone):
        sound = output.add_stream("aac", rate=_SOUND_RATE, layout="stereo" if one.channels == 2 else "mono")
        sound.disposition = Disposition(one.disposition)
        assert isinstance(sound, AudioStream)
        return sound
    video = output.add_stream(one.codec, rate=one.rate)
    assert isinstance(video, VideoStream)
    context = video.codec_context
    context.width, context.height = one.size
    context.pix_fmt = "yuvj420p" if one.codec == "mjpeg" else "yuv420p"
    if one.codec == "libx264":
        context.options = {"bf": "0", "tune": "zerolatency"}
    video.disposition = Disposition(one.disposition)
    return video


def _write_film(output: OutputContainer, stream: VideoStream, film: Film, last_s: float | None) -> None:
    packets = []
    for index, number in enumerate(film.numbers):
        frame = av.VideoFrame.from_ndarray(numbered_picture(number, film.size), "bgr24").reformat(
            format=stream.codec_context.pix_fmt
        )
        frame.pts, frame.time_base = index, Fraction(1, film.rate)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    for packet in packets:
        packet.duration = 1
    if last_s is not None:
        packets[-1].duration = round(last_s * film.rate)
    for packet in packets:
        output.mux(packet)


def _write_tone(output: OutputContainer, stream: AudioStream, tone: Tone) -> None:
    samples = np.arange(int(tone.length_s * _SOUND_RATE))
    wave = (tone.loudness * np.sin(2 * np.pi * tone.hertz * samples / _SOUND_RATE)).astype(np.int16)
    for begin in range(0, len(wave), 1024):
        part = np.repeat(wave[begin : begin + 1024], tone.channels)
        frame = av.AudioFrame.from_ndarray(part[None, :], "s16", "stereo" if tone.channels == 2 else "mono")
        frame.sample_rate, frame.time_base, frame.pts = _SOUND_RATE, Fraction(1, _SOUND_RATE), begin
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def write_programs(path: Path, programs: Sequence[Sequence[Film | Tone]]) -> Path:
    """Write a transport stream of several programs, as a broadcaster's multiplexer does (ISO/IEC 13818-1, 2.4.4)."""
    parts: list[list[bytes]] = []
    for number, streams in enumerate(programs, 1):
        part = path.with_name(f"{path.stem}.{number}.ts")
        options = {
            "mpegts_service_id": str(number),
            "mpegts_pmt_start_pid": str(_first_pid(number) + 0x1000),
            "mpegts_start_pid": str(_first_pid(number)),
        }
        data = write_streams(part, streams, options=options).read_bytes()
        part.unlink()
        packets = [data[begin : begin + 188] for begin in range(0, len(data), 188)]
        parts.append([one for one in packets if (one[1] & 0x1F) << 8 | one[2] not in (0, 0x11)])
    listed = b"".join(
        struct.pack(">HH", number, 0xE000 | _first_pid(number) + 0x1000) for number in range(1, len(parts) + 1)
    )
    section = struct.pack(">BHHBBB", 0, 0xB000 | 9 + len(listed), 1, 0xC1, 0, 0) + listed
    table = b"\x47\x40\0\x10\0" + section + struct.pack(">I", _crc_of_mpeg(section))
    mixed = [one for several in zip_longest(*parts) for one in several if one is not None]
    path.write_bytes(table.ljust(188, b"\xff") + b"".join(mixed))
    return path


def _first_pid(program: int) -> int:
    return 0x100 * program


def _crc_of_mpeg(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def write_motion_jpeg_avi(
    path: Path, numbers: Sequence[int | None], *, length: int | None = None, index: bool = True
) -> Path:
    """Write a Motion JPEG AVI byte by byte, as old recorders do.

    Args:
        path: to write.
        numbers: of the pictures; None is an empty chunk, which says that the picture before it stays.
        length: frames that the header names; those that there are when None.
        index: whether the file has an index.
    """
    width, height = 128, 96
    chunks = [b"" if number is None else jpeg(numbered_picture(number)) for number in numbers]
    count = len(chunks) if length is None else length
    main = struct.pack("<14I", 40000, 0, 0, 0x10 if index else 0, count, 0, 1, 1 << 20, width, height, 0, 0, 0, 0)
    head = b"vidsMJPG" + struct.pack(
        "<IHHIIIIIIII4H", 0, 0, 0, 0, 1, 25, 0, count, 1 << 20, 0xFFFFFFFF, 0, 0, 0, width, height
    )
    shape = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0x47504A4D, width * height * 3, 0, 0, 0, 0)
    stream = _chunk(b"LIST", b"strl" + _chunk(b"strh", head) + _chunk(b"strf", shape))
    movie, entries = b"movi", b""
    for data in chunks:
        entries += b"00dc" + struct.pack("<III", 0x10 if data else 0, len(movie), len(data))
        movie += _chunk(b"00dc", data)
    body = b"AVI " + _chunk(b"LIST", b"hdrl" + _chunk(b"avih", main) + stream) + _chunk(b"LIST", movie)
    path.write_bytes(_chunk(b"RIFF", body + (_chunk(b"idx1", entries) if index else b"")))
    return path


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def jpeg(image: Image) -> bytes:
    """A picture as a JPEG file."""
    return cv2.imencode(".jpg", image)[1].tobytes()


def empty_samples(path: Path, which: Sequence[int]) -> Path:
    """Takes the bytes of some samples out of an MP4 with one video stream, and leaves the samples at size 0."""
    data = bytearray(path.read_bytes())
    sizes_at, chunks_at, movie_at = data.find(b"stsz"), data.find(b"stco"), data.find(b"mdat") - 4
    count = struct.unpack(">I", data[sizes_at + 12 : sizes_at + 16])[0]
    sizes = struct.unpack(f">{count}I", data[sizes_at + 16 : sizes_at + 16 + 4 * count])
    first = struct.unpack(">I", data[chunks_at + 12 : chunks_at + 16])[0]
    starts = [first, *(first + end for end in accumulate(sizes))]
    for sample in which:
        place = sizes_at + 16 + 4 * sample
        data[place : place + 4] = bytes(4)
    size = struct.unpack(">I", data[movie_at : movie_at + 4])[0] - sum(sizes[sample] for sample in which)
    for sample in sorted(which, reverse=True):
        del data[starts[sample] : starts[sample + 1]]
    data[movie_at : movie_at + 4] = struct.pack(">I", size)
    path.write_bytes(data)
    return path


def write_heif(path: Path, image: Image, *, columns: int = 1, rows: int = 1, codec: str = "av01") -> Path:
    """Write an AVIF or HEIC, box by box, whose picture is stored as a grid of tiles (ISO/IEC 23008-12, 6.6.2.3).

    Args:
        path: to write.
        image: BGR, whose sides divide evenly into tiles of 64 pixels or more.
        columns: of tiles.
        rows: of tiles; with one tile in all, the picture is stored whole.
        codec: "av01" for AVIF, "hvc1" for HEIC.
    """
    height, width = image.shape[0] // rows, image.shape[1] // columns
    tiles = [
        image[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row in range(rows)
        for column in range(columns)
    ]
    coded = [_CODERS[codec](np.ascontiguousarray(tile)) for tile in tiles]
    is_grid = len(coded) > 1
    items = list(range(2, 2 + len(coded)))
    payloads = dict(zip(items, (data for data, _ in coded), strict=True))
    entries = [
        _full(b"infe", 2, struct.pack(">HH4s", item, 0, codec.encode()) + b"\0", flags=is_grid) for item in items
    ]
    uses: dict[int, tuple[int, ...]] = {item: (2, 3, 0x80 | 4) for item in items}
    if is_grid:
        payloads[1] = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, image.shape[1], image.shape[0])
        entries.append(_full(b"infe", 2, struct.pack(">HH4s", 1, 0, b"grid") + b"\0"))
        uses[1] = (1, 3)
    properties = [
        _full(b"ispe", 0, struct.pack(">II", image.shape[1], image.shape[0])),
        _full(b"ispe", 0, struct.pack(">II", width, height)),
        _full(b"pixi", 0, bytes([3, 8, 8, 8])),
        coded[0][1],
    ]
    associations = struct.pack(">I", len(uses)) + b"".join(
        struct.pack(">HB", item, len(places)) + bytes(places) for item, places in sorted(uses.items())
    )
    content = [
        _full(b"hdlr", 0, struct.pack(">I4s12x", 0, b"pict") + b"\0"),
        _full(b"pitm", 0, struct.pack(">H", 1 if is_grid else 2)),
        _full(b"iinf", 0, struct.pack(">H", len(entries)) + b"".join(entries)),
        _box(b"iprp", _box(b"ipco", b"".join(properties)) + _full(b"ipma", 0, associations)),
    ]
    if is_grid:
        content.append(_full(b"iref", 0, _box(b"dimg", struct.pack(f">HH{len(items)}H", 1, len(items), *items))))

    def meta(first: int) -> bytes:
        located = struct.pack(">BBH", 0x44, 0, len(payloads))
        for item, data in payloads.items():
            located += struct.pack(">HHHII", item, 0, 1, first, len(data))
            first += len(data)
        return _full(b"meta", 0, b"".join([*content, _full(b"iloc", 0, located)]))

    brand = {"av01": b"avif", "hvc1": b"heic"}[codec]
    kind = _box(b"ftyp", brand + bytes(4) + brand + b"mif1miaf")
    first = len(kind) + len(meta(0)) + 8
    path.write_bytes(kind + meta(first) + _box(b"mdat", b"".join(payloads.values())))
    return path


def _av1_tile(tile: Image) -> tuple[bytes, bytes]:
    """The coded data of a tile, and the box that describes its codec."""
    data = cv2.imencode(".avif", tile)[1].tobytes()
    return data[data.find(b"mdat") + 4 :], _box_of(data, b"av1C")


def _hevc_tile(tile: Image) -> tuple[bytes, bytes]:
    coder = av.CodecContext.create("libx265", "w")
    assert isinstance(coder, VideoCodecContext)
    coder.height, coder.width = tile.shape[:2]
    coder.pix_fmt, coder.time_base = "yuv420p", Fraction(1)
    coder.options = {"x265-params": "log-level=none:pools=1:info=0", "crf": "10"}
    frame = av.VideoFrame.from_ndarray(tile, "bgr24").reformat(format="yuv420p")
    coded = b"".join(bytes(packet) for packet in [*coder.encode(frame), *coder.encode(None)])
    units = [unit.rstrip(b"\0") for unit in coded.split(b"\0\0\1") if unit.rstrip(b"\0")]
    heads = {kind: [unit for unit in units if unit[0] >> 1 == kind] for kind in (32, 33, 34)}  # VPS, SPS, PPS
    profile = heads[33][0].replace(b"\0\0\3", b"\0\0")[3:15]
    record = b"\1" + profile + bytes([0xF0, 0, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0, 0x0F, len(heads)])
    for kind, found in heads.items():
        record += struct.pack(">BH", 0x80 | kind, len(found))
        record += b"".join(struct.pack(">H", len(unit)) + unit for unit in found)
    sample = b"".join(struct.pack(">I", len(unit)) + unit for unit in units if unit[0] >> 1 < 32)
    return sample, _box(b"hvcC", record)


_CODERS: dict[str, Callable[[Image], tuple[bytes, bytes]]] = {"av01": _av1_tile, "hvc1": _hevc_tile}


def _box_of(data: bytes, name: bytes) -> bytes:
    begin = data.find(name) - 4
    return data[begin : begin + struct.unpack(">I", data[begin : begin + 4])[0]]


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _full(name: bytes, version: int, content: bytes, *, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags) + content)
