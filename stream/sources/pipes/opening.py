"""Open what comes through a pipe, or what grows in a file, through FFmpeg."""

from __future__ import annotations

from typing import Protocol

import av
from av.container import InputContainer

from engine.errors import SourceError
from stream.sources.containers.allowed import CLOSED_FORMATS
from stream.sources.containers.size_limit import decoder_options
from stream.sources.pipes.feed import PipeFeed
from stream.sources.pipes.request import PIPE_NAME, RawVideo

_Y4M, _Y4M_FRAME = "yuv4mpegpipe", b"FRAME\n"
# FFmpeg looks at a stream before it gives anything. Measuring the rate takes it a second, so live runs leave that out.
_PROMPT = {"analyzeduration": "1000000", "fpsprobesize": "0"}


class Feed(Protocol):
    """A file that is read from its beginning to its end, once."""

    @property
    def total(self) -> int:
        """Bytes that have come so far."""

    @property
    def head(self) -> bytes:
        """The first bytes that came."""

    def read(self, size: int = -1) -> bytes:
        """The next bytes; b"" at the end."""


def open_pipe(feed: PipeFeed, raw: RawVideo | None, *, prompt: bool) -> InputContainer:
    """Open what comes through the pipe on standard input.

    Args:
        feed: what comes.
        raw: how raw video in it is laid out; None where it says itself what it is.
        prompt: whether its first frames are wanted as soon as can be.

    Raises:
        SourceError: nothing comes, or no video that can be read so.
    """
    try:
        return open_feed(feed, raw=raw, prompt=prompt)
    except (av.error.FFmpegError, OSError) as error:
        feed.check()
        if not feed.total:
            raise SourceError(
                f"nothing came through {PIPE_NAME}, which ended; check the command before the pipe"
            ) from error
        raise SourceError(f"{PIPE_NAME} holds no video that can be read so; {_remedy(raw)}") from error


def open_feed(feed: Feed, *, raw: RawVideo | None = None, prompt: bool) -> InputContainer:
    """Open a feed.

    Args:
        feed: what is read.
        raw: how raw video in it is laid out; None where it says itself what it is.
        prompt: whether its first frames are wanted as soon as can be.

    Raises:
        av.error.FFmpegError, OSError: it is no video that can be read so.
    """
    options = {
        # It opens no file and no host.
        "protocol_whitelist": "pipe",
        "format_whitelist": CLOSED_FORMATS if raw is None else raw.demuxer,
        **decoder_options(),
        **(_PROMPT if prompt else {}),
        **({} if raw is None else raw.options),
    }
    return av.open(
        feed, mode="r", format=None if raw is None else raw.demuxer, options=options, metadata_errors="replace"
    )


def incomplete(feed: Feed, container: InputContainer | None, raw: RawVideo | None) -> str | None:
    """Say that uncompressed video ended in the middle of a frame, with the bytes.

    Args:
        feed: read to its end.
        container: that was made of it; None where there is none.
        raw: how raw video in it is laid out; None where it says itself what it is.

    Returns:
        None where it did not, or where nobody can tell as the video is compressed.
    """
    lead = 0
    if raw is not None:
        each = raw.frame_bytes
        remedy = "; check size= and format="
    elif container is not None and container.format.name == _Y4M and container.streams.video:
        context = container.streams.video[0].codec_context
        raw = RawVideo((context.width, context.height), context.pix_fmt or "")
        lead = feed.head.find(b"\n") + 1
        each, remedy = len(_Y4M_FRAME) + raw.frame_bytes, ""
    else:
        return None
    frames, rest = divmod(max(feed.total - lead, 0), each)
    if not rest:
        return None
    whole = "1 frame" if frames == 1 else f"{frames} frames"
    return (
        f"{PIPE_NAME} ended in the middle of a frame: {feed.total:,} bytes are {whole} of {raw} ({each:,} bytes each) "
        f"and {rest:,} bytes more{remedy}"
    )


def _remedy(raw: RawVideo | None) -> str:
    if raw is not None:
        return f"it was read as {raw}: check size= and format="
    return (
        "give Matroska, NUT, MPEG-TS or Y4M, name an MP4 as a file, and say of raw video what it is: "
        "-?size=1920x1080&format=uyvy422&rate=50"
    )
