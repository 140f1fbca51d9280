"""Render the sample clip of a synthetic colonoscopy and its exact boxes.

Run from the repository root::

    python -m examples.make_colon_clip

It writes ``examples/colon.mp4`` (H.264, 20 s, 25 frames/s, 640x480) and beside it ``examples/colon.truth.jsonl`` with
a line for each frame::

    {"frame": 0, "time_s": 0.0, "polyps": [{"id": 1, "shape": "sessile", "box_xyxy": [185, 161, 222, 200]}]}

Boxes are in pixels of the frame, right and bottom exclusive. No person's data is in the clip.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path

import av

from stream.synthetic_colon import ColonScene, render, sample_scene, truth_record

FRAMES_PER_SECOND = 25
RESOLUTION_WH = (640, 480)


def write_clip(scene: ColonScene, path: Path, *, frame_count: int, resolution_wh: tuple[int, int]) -> Path:
    """Render a scene from its start into an MP4 file and a truth file beside it.

    Args:
        scene: what is rendered.
        path: of the clip; an existing file is replaced.
        frame_count: frames to write.
        resolution_wh: width and height in pixels, both even.

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
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        stream.width, stream.height = resolution_wh
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FRAMES_PER_SECOND)
        for index in range(frame_count):
            time_s = index / FRAMES_PER_SECOND
            rendered = render(scene, time_s, resolution_wh)
            truth.write(json.dumps(truth_record(index, time_s, rendered)) + "\n")
            frame = av.VideoFrame.from_ndarray(rendered.image, format="bgr24")
            frame.pts = index
            frame.time_base = Fraction(1, FRAMES_PER_SECOND)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return truth_path


def main() -> None:
    """Render the sample scene to where the command line says."""
    parser = argparse.ArgumentParser(description="Render the sample clip of a synthetic colonoscopy.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("colon.mp4"), help="the clip to write")
    path: Path = parser.parse_args().output
    scene = sample_scene()
    frame_count = round(scene.duration_s * FRAMES_PER_SECOND)
    truth_path = write_clip(scene, path, frame_count=frame_count, resolution_wh=RESOLUTION_WH)
    print(f"{frame_count} frames, {path.stat().st_size / 1e6:.2f} MB: {path}, {truth_path}")


if __name__ == "__main__":
    main()
