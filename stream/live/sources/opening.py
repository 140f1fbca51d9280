"""One way to open all sources that run in real time."""

from __future__ import annotations

from pathlib import Path

from stream.live.sources.address import LiveAddress, LiveKind
from stream.live.sources.source import LiveSource
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.pipes.growing import Follow


def open_live_source(
    address: LiveAddress,
    *,
    realtime: bool = True,
    open_timeout_s: float = 5.0,
    stream: int | None = None,
    ca_file: str | None = None,
    deinterlace: Deinterlace = Deinterlace.AUTO,
    follow: Follow | None = None,
) -> LiveSource:
    """Open a source; may take as long as `open_timeout_s`, or longer where a library hangs.

    Args:
        address: from `parse_live_source`.
        realtime: files and patterns run at their own pace; False for as fast as they are taken.
        open_timeout_s: how long a network stream may take to answer.
        stream: number of the video stream to take of a file or network stream; None for the one that shows the film.
        ca_file: certificates of the authorities that https and rtsps are verified by; None for the system's.
        deinterlace: what becomes of interlaced frames.
        follow: how a file that grows is followed; None for a file that is complete.

    Raises:
        SourceError: it cannot be opened. The message holds no secrets.
    """
    # Each library is loaded only where its kind of source is used.
    if address.kind is LiveKind.CAMERA:
        from stream.live.sources.camera import open_camera

        return open_camera(address, deinterlace=deinterlace)
    if address.kind is LiveKind.STREAM:
        from stream.live.sources.network import StreamSource

        return StreamSource(
            address, open_timeout_s=open_timeout_s, stream=stream, ca_file=ca_file, deinterlace=deinterlace
        )
    if address.kind is LiveKind.PIPE:
        from stream.live.sources.piped import PipeSource

        return PipeSource(address, stream=stream, deinterlace=deinterlace)
    if address.kind is LiveKind.PATTERN:
        from stream.live.sources.pattern import PatternSource

        return PatternSource(address, realtime=realtime)
    if follow is not None:
        from stream.live.sources.followed import FollowedFile

        return FollowedFile(address, follow, stream=stream, deinterlace=deinterlace)
    from stream.live.sources.file import FileSource

    return FileSource(address, path=Path(address.value), realtime=realtime, stream=stream, deinterlace=deinterlace)
