"""Pictures of formats that OpenCV does not read, through FFmpeg: HEIC, TGA, PCX, SGI, DDS, QOI, DPX and others."""

from __future__ import annotations

import re
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.arrays import Image
from engine.errors import SourceError
from stream.sources.containers.allowed import open_file
from stream.sources.containers.heif import refuse_grid
from stream.sources.containers.size_limit import beyond_limit, refused_size
from stream.sources.containers.tracks import choose_video
from stream.sources.decoded_frame import PictureMaker

_FLOATS = re.compile(r"f(16|32|64)")
#: Formats of FFmpeg that hold pictures. Others are not tried: a playlist by the name of a picture opens other files.
_FORMATS = ",".join(
    [
        *sorted(name for name in av.formats_available if name.endswith("_pipe")),
        "image2",
        "ico",
        "mov,mp4,m4a,3gp,3g2,mj2",
    ]
)


def read_by_ffmpeg(path: Path) -> Image | None:
    """The picture of a file, of several the largest.

    Args:
        path: of the file.

    Returns:
        BGR uint8, shape (height, width, 3), or None when FFmpeg cannot read it either.

    Raises:
        SourceError: it is a grid of tiles, has pixels of floating-point numbers, or holds no picture.
    """
    refuse_grid(path)
    try:
        with open_file(path, formats=_FORMATS) as container:
            stream = choose_video(container, str(path), path=path).stream
            frame = _first_frame(container, stream, path)
            if frame is None:
                return None
            if _FLOATS.search(frame.format.name):
                raise SourceError(
                    f"{path} has pixels of type {frame.format.name}; convert it to 8 or 16 bits a channel"
                )
            return PictureMaker().picture(frame).to_bgr()
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        return None


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> VideoFrame | None:
    try:
        return next(container.decode(stream), None)
    except av.error.ArgumentError as error:
        if refused_size(stream):
            raise SourceError(f"{path} is too large{beyond_limit()}") from error
        raise
