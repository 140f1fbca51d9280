"""Marks as a track against burned-in marks: speed and processor time of `polypstream detect` at 1920x1080.

The same recording in turns, in one run, each as a process of its own:

* burned: decode, detect, draw, encode (x264);
* track: decode, detect, copy the recording's own packets, with the marks as a subtitle track;
* events: decode and detect alone, what both have in common;
* anew: decided anew from the events of a run before, as a track, where nothing is decoded.

The clip is put into the middle of 1920x1080 pixels, as a tower shows it, encoded as H.264 of 12 Mb/s and repeated.
Opening the model and the libraries is in every figure.

    python -m benchmarks.marks_track --videos ../shared/data/videos
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2

from benchmarks.environment import write_result
from stream.sources.opening import open_source

CLIP = "polypgen_positive_seq01.mp4"
SIZE = (1920, 1080)
RATE = 25
BITS_PER_SECOND = 12_000_000
WAYS = {
    "burned": ["--output", "burned.mp4", "--encoder", "x264"],
    "track": ["--output", "track.mkv"],
    "events": ["--events", "events.jsonl", "--candidates"],
    "anew": ["--from", "events.jsonl", "--output", "anew.mkv"],
}


def main() -> None:
    """Runs every way in turns and writes medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of the clip")
    parser.add_argument("--model", default="polyp", metavar="NAME|DIR")
    parser.add_argument("--frames", type=int, default=500, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--name", default="marks_track", help="of the JSON under benchmarks/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = _make_source(arguments.videos / CLIP, folder / "exam.mp4", arguments.frames)
        rounds = [_round(folder, arguments.model, frames) for _ in range(arguments.rounds)]
        megabytes = {path.name: round(path.stat().st_size / 1e6, 1) for path in sorted(folder.glob("*.m[pk][4v]"))}
    figures = {
        "command": f"python -m benchmarks.marks_track --videos VIDEOS --frames {arguments.frames} "
        f"--rounds {arguments.rounds}",
        "clip": f"{CLIP} in {SIZE[0]}x{SIZE[1]}, H.264, {BITS_PER_SECOND / 1e6:g} Mb/s",
        "frames": frames,
        "load_average": os.getloadavg(),
        "frames_per_second": _medians(rounds, "frames_per_second"),
        "processor_ms_per_frame": _medians(rounds, "processor_ms_per_frame"),
        "track_to_burned_frames_per_second": _ratios(rounds, "frames_per_second", "track", "burned"),
        "burned_to_track_processor_time": _ratios(rounds, "processor_ms_per_frame", "burned", "track"),
        "megabytes": megabytes,
        "all_rounds": rounds,
    }
    print(write_result(arguments.name, figures))


def _make_source(clip: Path, path: Path, frames: int) -> int:
    with open_source(clip) as source:
        pictures = [_in_the_middle(frame.image) for frame in source]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "bf": "2", "g": "50"})
        stream.width, stream.height, stream.bit_rate = *SIZE, BITS_PER_SECOND
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(pictures[index % len(pictures)], "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return frames


def _in_the_middle(image: Any) -> Any:
    height, width = image.shape[:2]
    left, top = (SIZE[0] - width) // 2, (SIZE[1] - height) // 2
    return cv2.copyMakeBorder(
        image, top, SIZE[1] - height - top, left, SIZE[0] - width - left, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )


def _round(folder: Path, model: str, frames: int) -> dict[str, dict[str, float]]:
    figures = {}
    for way, options in WAYS.items():
        command = [sys.executable, "-m", "polypstream", "detect", str(folder / "exam.mp4"), "--model", model]
        command += [str(folder / option) if "." in option else option for option in options]
        before, started = _processor_s(), time.monotonic()
        subprocess.run([*command, "--overwrite"], check=True, stdout=subprocess.DEVNULL)
        seconds, processor_s = time.monotonic() - started, _processor_s() - before
        figures[way] = {
            "frames_per_second": round(frames / seconds, 2),
            "processor_ms_per_frame": round(1000 * processor_s / frames, 2),
        }
        print(f"{way:8} {figures[way]}", flush=True)
    return figures


def _processor_s() -> float:
    """Seconds of processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _medians(rounds: list[dict[str, dict[str, float]]], figure: str) -> dict[str, float]:
    return {way: round(statistics.median(one[way][figure] for one in rounds), 2) for way in WAYS}


def _ratios(rounds: list[dict[str, dict[str, float]]], figure: str, above: str, below: str) -> dict[str, float]:
    """The median over the rounds, each of which compares what ran one after the other; and the range."""
    ratios = [one[above][figure] / one[below][figure] for one in rounds]
    return {name: round(of(ratios), 2) for name, of in (("median", statistics.median), ("least", min), ("most", max))}


if __name__ == "__main__":
    main()
