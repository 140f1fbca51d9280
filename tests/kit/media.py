"""Real media files for tests: small videos whose frames carry their own number, with sound, odd times, damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from engine.arrays import Image
from engine.pictures.color import ColorTags

_BITS = 8
_SOUND_RATE = 48000  # the one that every codec takes


def numbered_picture(number: int, size_wh: tuple[int, int] = (128, 96)) -> Image:
    """A soft coloured picture that carries a number in eight black or white squares along its top.

    Args:
        number: 0 to 255.
        size_wh: width and height in pixels, 64x16 or more for the number to survive a codec.

    Returns:
        BGR uint8, shape (height, width, 3).
    """
    width, height = size_wh
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack(
        [60 + 80 * columns / width, 90 + 60 * rows / height, 120 + 60 * np.cos((columns + 3 * number) / 25)], axis=-1
    ).astype(np.uint8)
    for bit in range(_BITS):
        left, right = bit * width // _BITS, (bit + 1) * width // _BITS
        image[: height // 4, left:right] = 235 if number >> bit & 1 else 20
    return image


def picture_number(image: Image) -> int:
    """Read the number of a picture made by `numbered_picture`, also after it was encoded or scaled."""
    height, width = image.shape[:2]
    centres = [(2 * bit + 1) * width // (2 * _BITS) for bit in range(_BITS)]
    return sum(1 << bit for bit, column in enumerate(centres) if image[height // 8, column].mean() > 128)


def make_video(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = 25,
    size: tuple[int, int] = (128, 96),
    rate: Fraction | int = 25,
    pts: Sequence[Fraction] | None = None,
    audio: str | None = None,
    audio_start_s: float = 0.0,
    audio_s: float | None = None,
    pix_fmt: str | None = None,
    color: ColorTags | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    draw: Callable[[int, tuple[int, int]], Image] = numbered_picture,
) -> Path:
    """Write a real video file; the format follows from the name's ending.

    Args:
        path: the file to write.
        codec: FFmpeg's name of the video encoder.
        frames: number of frames.
        size: width and height in pixels.
        rate: frames a second.
        pts: presentation time of every frame in seconds; evenly spaced by `rate` when not given.
        audio: FFmpeg's name of an audio encoder for a 440 Hz tone; no sound when not given.
        audio_start_s: when the sound begins.
        audio_s: length of the sound; that of the pictures when not given.
        pix_fmt: pixel format; the encoder's usual one when not given.
        color: tags to write, and to convert with.
        rotation: degrees that a player is to turn the pictures counterclockwise.
        options: of the video encoder.
        container_options: of the file format, such as movflags.
        draw: makes the picture of a frame from its number and size.

    Returns:
        `path`.
    """
    rate = Fraction(rate)
    times = list(pts) if pts is not None else [index / rate for index in range(frames)]
    time_base = Fraction(1, 12800) if pts is not None else 1 / rate
    with av.open(str(path), "w", options=container_options or {}) as output:
        video = output.add_stream(codec, rate=rate, options=options or {})
        context = video.codec_context
        context.width, context.height = size
        context.pix_fmt = pix_fmt or (context.codec.video_formats or [av.VideoFormat("yuv420p")])[0].name
        context.time_base = time_base
        if color is not None:
            context.color_range, context.colorspace = color.color_range, color.matrix
            context.color_primaries, context.color_trc = color.primaries, color.transfer
        if rotation:
            video.set_display_rotation(rotation)
        sound = output.add_stream(audio, rate=_SOUND_RATE, layout="stereo") if audio is not None else None
        for index, time_s in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(index, size), "bgr24").reformat(
                format=context.pix_fmt,
                dst_colorspace=color.matrix if color is not None else None,
                dst_color_range=color.color_range if color is not None else None,
            )
            frame.pts, frame.time_base = round(time_s / time_base), time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if isinstance(sound, AudioStream):
            length_s = audio_s if audio_s is not None else float(times[-1] + 1 / rate)
            _add_tone(output, sound, start_s=audio_start_s, length_s=length_s)
    return path


def make_pictures(folder: Path, names: Sequence[str], *, size: tuple[int, int] = (128, 96)) -> Path:
    """Write numbered pictures (0, 1, ...) under the names given, through OpenCV."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        done, data = cv2.imencode(Path(name).suffix, numbered_picture(number, size))
        assert done
        (folder / name).write_bytes(data.tobytes())
    return folder


def cut_file(path: Path, keep: float) -> Path:
    """Cut a file to a part of its bytes (0 to 1)."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def damage_file(path: Path, *, begin: float, end: float, seed: int = 0) -> Path:
    """Overwrite the bytes between two places of a file (0 to 1) with noise."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * begin), int(len(data) * end)
    data[first:last] = np.random.default_rng(seed).bytes(last - first)
    path.write_bytes(data)
    return path


def packet_times(path: Path, kind: str = "video") -> list[Fraction]:
    """Presentation times of all packets of the first stream of a kind, sorted, in seconds."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return sorted(
            packet.pts * packet.time_base
            for packet in container.demux(stream)
            if packet.pts is not None and packet.size
        )


def _add_tone(output: OutputContainer, sound: AudioStream, *, start_s: float, length_s: float) -> None:
    rate = sound.codec_context.sample_rate
    samples = np.arange(int(length_s * rate))
    tone = (8000 * np.sin(2 * np.pi * 440 * samples / rate)).astype(np.int16)
    for begin in range(0, len(tone), 1024):
        part = tone[begin : begin + 1024]
        frame = av.AudioFrame.from_ndarray(np.repeat(part, 2)[None, :], "s16", "stereo")
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = round(start_s * rate) + begin
        output.mux(sound.encode(frame))
    output.mux(sound.encode(None))
