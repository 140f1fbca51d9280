"""Long videos out of short clips."""

from __future__ import annotations

from pathlib import Path

import av


def repeat_clip(clip: Path, path: Path, *, least_frames: int) -> int:
    """Writes a clip again and again, without encoding it, until the video is long enough; returns its frames."""
    frames, length = 0, 0
    with av.open(str(path), "w") as output, av.open(str(clip)) as probe:
        stream = output.add_stream_from_template(probe.streams.video[0])
        while frames < least_frames:
            start = length
            with av.open(str(clip)) as source:
                for packet in source.demux(source.streams.video[0]):
                    if packet.pts is None or packet.dts is None:
                        continue
                    length = max(length, start + packet.pts + (packet.duration or 0))
                    packet.pts += start
                    packet.dts += start
                    packet.stream = stream
                    output.mux(packet)
                    frames += 1
    return frames
