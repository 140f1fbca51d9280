"""When a file says that its frames are shown: read without decoding any of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from stream.review.media.material import Times
from stream.sources.containers.allowed import open_file

SAME_S = 0.001
"""Times that differ by less are the same: some files count milliseconds."""


def follows(path: Path, stream: int, times_s: Times, *, shifted: bool = False) -> bool:
    """Whether a file holds the frames of a recording and no others, at their times on the file's own clock.

    Args:
        path: of the file; read to its end where its index does not tell.
        stream: number of its video stream, as FFmpeg counts.
        times_s: of the frames that were decoded.
        shifted: whether the file's clock may begin elsewhere.

    Raises:
        OSError: it cannot be read (FFmpeg's errors are such as well).
    """
    with open_file(path) as container:
        video = cast(VideoStream, container.streams[stream])
        indexed = _indexed_times(container, video)
        if indexed is not None and _same(indexed, times_s, shifted=shifted):
            return True
        read = _read_times(container, video)
        return read is not None and _same(read, times_s, shifted=shifted)


def _same(own_s: Times, times_s: Times, *, shifted: bool) -> bool:
    if len(own_s) != len(times_s):
        return False
    moved = own_s - own_s[0] + times_s[0] if shifted else own_s
    return bool(np.abs(moved - times_s).max() < SAME_S)


def _indexed_times(container: InputContainer, stream: VideoStream) -> Times | None:
    """Times by the index of an MP4: those of decoding, which are those of showing where the rate is constant."""
    if "mp4" not in container.format.name or stream.time_base is None:
        return None
    entries = list(stream.index_entries)
    if not entries or any(entry.size == 0 or entry.is_discard for entry in entries) or not entries[0].is_keyframe:
        return None
    ticks = [entry.timestamp for entry in entries]
    if any(later <= earlier for earlier, later in pairwise(ticks)):
        return None
    first = stream.start_time or 0
    return (np.array(ticks, np.float64) - ticks[0] + first) * float(stream.time_base)


def _read_times(container: InputContainer, stream: VideoStream) -> Times | None:
    """Times of all packets in the order of showing; None where some have none, or are damaged."""
    ticks: list[int] = []
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard or (not ticks and not packet.is_keyframe):
                return None
            ticks.append(packet.pts)
    except (av.error.FFmpegError, OSError):
        return None
    if not ticks or stream.time_base is None:
        return None
    ticks.sort()
    return np.array(ticks, np.float64) * float(stream.time_base)
