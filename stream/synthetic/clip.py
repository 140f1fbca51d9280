"""A rendered colonoscopy as a clip, with the exact boxes of its polyps beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from engine.arrays import Image
from stream.synthetic.colon import ColonScene, RenderedFrame, render, truth_record

FRAMES_PER_SECOND = 25


def write_clip(
    scene: ColonScene, path: Path, *, frame_count: int, resolution_wh: tuple[int, int], only_clear: bool = False
) -> Path:
    """Render a scene from its start into an MP4 file and a truth file beside it.

    Args:
        scene: what is rendered.
        path: of the clip; an existing file is replaced.
        frame_count: frames to write.
        resolution_wh: width and height in pixels, both even.
        only_clear: leave out the lines of frames that show a polyp too small, too dark or too hidden for a box: there
            neither finding it nor missing it is wrong.

    Returns:
        Path of the truth file: that of the clip with ``.truth.jsonl`` for its ending. Its lines are
        ``{"frame": 0, "time_s": 0.0, "polyps": [{"id": 1, "shape": "sessile", "box_xyxy": [185, 161, 222, 200]}]}``.
    """

    def frames() -> Iterator[tuple[Image, Mapping[str, Any] | None]]:
        for index in range(frame_count):
            time_s = index / FRAMES_PER_SECOND
            rendered = render(scene, time_s, resolution_wh)
            said = not only_clear or is_clear(rendered)
            yield rendered.image, truth_record(index, time_s, rendered) if said else None

    return write_frames(path, frames(), resolution_wh=resolution_wh, rate=Fraction(FRAMES_PER_SECOND))


def is_clear(rendered: RenderedFrame) -> bool:
    """Whether every polyp that is in a frame is large, bright and free enough for a box."""
    numbers = {polyp.number for polyp in rendered.polyps}
    return set(np.unique(rendered.polyp_ids).tolist()) <= {0, *numbers}


def write_frames(
    path: Path,
    frames: Iterable[tuple[Image, Mapping[str, Any] | None]],
    *,
    resolution_wh: tuple[int, int],
    rate: Fraction,
) -> Path:
    """Write rendered frames into an MP4 file and a truth file beside it.

    Args:
        path: of the clip; an existing file is replaced.
        frames: each BGR uint8 (height, width, 3), with its line of the truth file; None for a frame without one.
        resolution_wh: width and height in pixels, both even.
        rate: frames a second.

    Returns:
        Path of the truth file: that of the clip with ``.truth.jsonl`` for its ending.
    """
    truth_path = path.with_suffix(".truth.jsonl")
    # One thread: the encoder's decisions then depend on nothing but the frames.
    options = {"crf": "25", "preset": "slow", "threads": "1"}
    with (
        av.open(str(path), "w", options={"movflags": "+faststart"}) as container,
        truth_path.open("w", encoding="utf-8", newline="\n") as truth,
    ):
        container.metadata["title"] = "Synthetic colonoscopy, rendered; no patient"
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = resolution_wh
        stream.pix_fmt = "yuv420p"
        stream.time_base = 1 / rate
        for index, (image, record) in enumerate(frames):
            if record is not None:
                truth.write(json.dumps(record) + "\n")
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = index
            frame.time_base = 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return truth_path
