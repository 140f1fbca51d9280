"""A rendered colonoscopy as a clip, with the exact boxes of its polyps beside it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stream.synthetic.colon import ColonScene, render, truth_record

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
    truth_path = path.with_suffix(".truth.jsonl")
    # One thread: the encoder's decisions then depend on nothing but the frames.
    options = {"crf": "25", "preset": "slow", "threads": "1"}
    with (
        av.open(str(path), "w", options={"movflags": "+faststart"}) as container,
        truth_path.open("w", encoding="utf-8", newline="\n") as truth,
    ):
        container.metadata["title"] = "Synthetic colonoscopy, rendered; no patient"
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        stream.width, stream.height = resolution_wh
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FRAMES_PER_SECOND)
        for index in range(frame_count):
            time_s = index / FRAMES_PER_SECOND
            rendered = render(scene, time_s, resolution_wh)
            numbers = {polyp.number for polyp in rendered.polyps}
            if not only_clear or set(np.unique(rendered.polyp_ids).tolist()) <= {0, *numbers}:
                truth.write(json.dumps(truth_record(index, time_s, rendered)) + "\n")
            frame = av.VideoFrame.from_ndarray(rendered.image, format="bgr24")
            frame.pts = index
            frame.time_base = Fraction(1, FRAMES_PER_SECOND)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return truth_path
