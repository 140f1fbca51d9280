"""How large a picture may be: told by its header, before anything is decoded.

A file of some kilobytes can hold a picture that takes gigabytes. Every reader of pictures and videos asks here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.errors import InputError, SourceError

if TYPE_CHECKING:  # pictures are read without PyAV
    from av.video.stream import VideoStream

VARIABLE = "POLYPSTREAM_MEGAPIXELS"
"""Environment variable that sets the limit, in millions of pixels."""

_USUAL_MEGAPIXELS = 128.0  # 8K video has 33, the largest cameras have 60 to 102
_MOST_MEGAPIXELS = 1000.0  # OpenCV itself refuses more than 2**30 pixels
_LONGEST_SIDE = 1 << 16


def most_pixels() -> int:
    """Pixels that a picture may have.

    Raises:
        InputError: the environment variable holds no such number.
    """
    text = os.environ.get(VARIABLE, "").strip()
    try:
        megapixels = float(text) if text else _USUAL_MEGAPIXELS
    except ValueError:
        megapixels = -1.0
    if not 0 < megapixels <= _MOST_MEGAPIXELS:
        raise InputError(f"{VARIABLE} must be above 0 and at most {_MOST_MEGAPIXELS:g}. Received: {text[:40]!r}")
    return int(megapixels * 1_000_000)


def check_size(size_wh: tuple[int, int], name: str) -> None:
    """Refuses a picture that is too large to be decoded.

    Args:
        size_wh: width and height in pixels, as the header names them; 0 where it does not.
        name: of the file or stream, for the message.

    Raises:
        SourceError: it has more pixels than may be.
    """
    width, height = size_wh
    if width * height > most_pixels() or max(size_wh) > _LONGEST_SIDE:
        raise SourceError(f"{name} is too large: {width}x{height} pixels{beyond_limit()}")


def beyond_limit() -> str:
    """The end of the message of a picture that is too large: the limit, and how to raise it."""
    megapixels = f"{most_pixels() / 1e6:g}"
    return (
        f", and at most {megapixels} million are decoded; set {VARIABLE} to more if you trust the file, or make it "
        "smaller"
    )


def decoder_options() -> dict[str, str]:
    """Options of FFmpeg, with which it refuses larger pictures by itself, also in the middle of a stream."""
    return {"max_pixels": str(most_pixels())}


def limit_decoder(stream: VideoStream) -> None:
    """Lets the decoder of a stream refuse larger pictures; before its first packet is decoded."""
    stream.codec_context.options = {**stream.codec_context.options, **decoder_options()}


def refused_size(stream: VideoStream) -> bool:
    """Whether a decoder that has just refused a packet did so because of the size: FFmpeg then forgets the size."""
    return stream.codec_context.width == 0
