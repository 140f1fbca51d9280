"""Interlaced video against the progressive original: what is found in it, and how much of the comb is left.

    python -m benchmarks.interlaced --folder RENDERED [--scenes 4] [--frames 120] [--name interlaced]

Clips of a colon are rendered at 50 progressive frames/s (kept losslessly in RENDERED), and their fields are woven into
25 interlaced frames/s: top or bottom field first, as H.264 and MPEG-2 with interlaced flags, and as H.264 whose flags
say progressive. Each is detected in as `polypstream detect` does it. Beside them stand a progressive clip that is
flagged as interlaced, and the woven clips without deinterlacing. The F1 of the decided detections (IoU of 0.5 or more
against the rendered boxes) is compared with that of the original at the same moments. Writes
`benchmarks/results/NAME.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.environment import write_result
from engine.arrays import Image, Plane
from engine.files import replacing
from stream.sources.yuv import MATRIX_BT601, bgr_to_yuv420, plane_rows
from stream.synthetic.clip import is_clear
from stream.synthetic.colon import ColonScene, render, truth_record

RATE = Fraction(50)
RESOLUTION_WH = (720, 576)
_FIRST_SEED = 41_000
_SCENE_S = 8.0
_BEGIN_S = 1.5


def rendered(folder: Path, scene: int, frames: int) -> Path:
    """A progressive clip, rendered once; its truth lies beside it.

    Args:
        folder: that keeps it.
        scene: its number.
        frames: of it.
    """
    path = folder / f"scene-{scene:02d}-{frames}.mkv"
    truth = path.with_suffix(".truth.jsonl")
    if path.is_file() and truth.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    drawn = ColonScene.random(_FIRST_SEED + scene, polyp_count=1, duration_s=_SCENE_S)
    lines: list[str] = []

    def pictures() -> Iterator[Sequence[Plane]]:
        for index in range(frames):
            time_s = _BEGIN_S + index / float(RATE)
            seen = render(drawn, time_s, RESOLUTION_WH)
            if is_clear(seen):
                lines.append(json.dumps(truth_record(index, index / float(RATE), seen)))
            yield _planes(seen.image)

    with replacing(path, keep_ending=True) as partial:
        encode(partial, pictures(), codec="libx264", rate=RATE, options={"crf": "0", "preset": "veryfast"})
    truth.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"rendered {path.name}", flush=True)
    return path


def _planes(image: Image) -> Sequence[Plane]:
    return bgr_to_yuv420(image, matrix=MATRIX_BT601, full_range=False)


def encode(
    path: Path,
    pictures: Iterator[Sequence[Plane]],
    *,
    codec: str,
    rate: Fraction,
    options: Mapping[str, str],
) -> Path:
    """Write planes of 4:2:0 video into a file."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height = RESOLUTION_WH
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = 1 / rate
        if codec == "mpeg2video":
            stream.codec_context.bit_rate = 8_000_000
        for index, planes in enumerate(pictures):
            frame = av.VideoFrame(*RESOLUTION_WH, "yuv420p")
            for plane, values in zip(frame.planes, planes, strict=True):
                plane_rows(plane)[:] = values
            frame.pts, frame.time_base = index, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--name", default="interlaced")
    arguments = parser.parse_args()
    clips = [rendered(arguments.folder, scene, arguments.frames) for scene in range(arguments.scenes)]
    print(clips)


if __name__ == "__main__":
    main()
