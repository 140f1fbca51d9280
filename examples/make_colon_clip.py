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
from pathlib import Path

from stream.synthetic.clip import FRAMES_PER_SECOND, write_clip
from stream.synthetic.colon import sample_scene

RESOLUTION_WH = (640, 480)


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
