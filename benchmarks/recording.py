"""Speed of `polypstream detect`: decode + detection + overlay + H.264, against its floor and against a plain loop.

Side by side, in one run, in turns:

* floor: the same decoder and encoder with nothing between them;
* plain loop: the same detector, field of view, tracker and overlay between OpenCV's capture and writer, all in one
  thread: what a user would write first. OpenCV's wheels write no H.264, so this loop writes MPEG-4 part 2, which is
  cheaper to encode;
* plain loop, all cores: the same, but the network of each frame runs on every core;
* pipeline: `polypstream detect`'s own function.

Clips of few frames are repeated (without encoding them again), so that opening the model does not count for more than
it does on an examination; it is in every figure all the same.

    python -m benchmarks.recording --videos ../shared/data/videos --name recording
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.environment import write_result
from benchmarks.repeat import repeat_clip
from engine.runtime import RuntimeSettings
from stream.detector import Detector
from stream.field_of_view_tracker import FieldOfViewTracker
from stream.frame import Frame, FrameResult
from stream.opening import open_source
from stream.overlay import draw_overlay
from stream.recording import RecordingResult, RecordingSettings, detect_recording
from stream.tracking import Tracker
from stream.video_sink import VideoSink

CLIPS = (
    "elsalvador_atlas_Pediculado3.mpg",
    "polypgen_positive_seq01.mp4",
    "polypgen_positive_seq16.mp4",
    "polypgen_positive_seq18.mp4",
    "polypgen_positive_seq20.mp4",
)
_LEAST_FRAMES = 240


def main() -> None:
    """Runs every way over every clip in turns and writes medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of the clips")
    parser.add_argument("--model", default="polyp", metavar="NAME|DIR")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--name", default="recording", help="of the JSON under benchmarks/results")
    arguments = parser.parse_args()
    clips = {clip: _measure(arguments.videos / clip, arguments.model, arguments.rounds) for clip in CLIPS}
    command = f"python -m benchmarks.recording --videos VIDEOS --rounds {arguments.rounds}"
    print(write_result(arguments.name, {"command": command, "clips": clips}))


def _measure(clip: Path, model: str, rounds: int) -> dict[str, Any]:
    with av.open(str(clip)) as container:
        frames = container.streams.video[0].frames
    if not 0 < frames < _LEAST_FRAMES:  # MPEG program streams do not say; they are long enough
        return _ways(clip, model, rounds)
    with tempfile.TemporaryDirectory() as name:
        long = Path(name) / f"{clip.stem}.mp4"
        repeat_clip(clip, long, least_frames=_LEAST_FRAMES)
        return _ways(long, model, rounds)


def _ways(path: Path, model: str, rounds: int) -> dict[str, Any]:
    with open_source(str(path)) as source:
        width, height = source.info.resolution_wh
    stages: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def pipeline() -> int:
            settings = RecordingSettings(str(path), folder / "p.mp4", folder / "p.jsonl", model, overwrite=True)
            result = detect_recording(settings)
            stages.append(_shares(result))
            return result.report.frames

        ways: dict[str, Callable[[], int]] = {
            "floor": lambda: _floor(path, folder / "f.mp4"),
            "plain_loop": lambda: _plain_loop(path, folder / "l.mp4", model, threads=1),
            "plain_loop_all_cores": lambda: _plain_loop(path, folder / "o.mp4", model, threads=0),
            "pipeline": pipeline,
        }
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                started = time.monotonic()
                frames = run()
                speeds[way].append(frames / (time.monotonic() - started))
                print(f"{path.name:40} {way:20} {speeds[way][-1]:7.1f} frames/s", flush=True)
    medians = {way: statistics.median(values) for way, values in speeds.items()}
    return {
        "resolution": f"{width}x{height}",
        "frames": frames,
        "frames_per_second": {way: round(value, 1) for way, value in medians.items()},
        "all_rounds": {way: [round(value, 1) for value in values] for way, values in speeds.items()},
        "pipeline_to_plain_loop": round(medians["pipeline"] / medians["plain_loop"], 2),
        "pipeline_to_plain_loop_all_cores": round(medians["pipeline"] / medians["plain_loop_all_cores"], 2),
        "pipeline_to_floor": round(medians["pipeline"] / medians["floor"], 2),
        "stage_shares": stages[len(stages) // 2],
    }


def _shares(result: RecordingResult) -> dict[str, float]:
    """Share of each stage in the time that all stages were busy."""
    total = sum(timing.busy_s for timing in result.report.timings)
    return {timing.name: round(timing.busy_s / total, 3) for timing in result.report.timings}


def _floor(path: Path, output: Path) -> int:
    with open_source(str(path)) as source, VideoSink(output, info=source.info, overwrite=True) as sink:
        for frame in source:
            sink.write(frame.image, frame.pts)
        return sink.frames


def _plain_loop(path: Path, output: Path, model: str, *, threads: int) -> int:
    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    writer: cv2.VideoWriter | None = None
    fields, tracker = FieldOfViewTracker(), Tracker()
    count = 0
    with Detector.open(model, settings=RuntimeSettings(streams=1, threads=threads)) as detector:
        while True:
            good, read = capture.read()
            if not good:
                break
            image = np.asarray(read, np.uint8)
            if writer is None:
                size = (image.shape[1], image.shape[0])
                writer = cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
            frame = Frame(count, _pts(count, rate), image, time.monotonic())
            field = fields.update(image, frame.time_s)
            found = tracker.update(detector.detect([image], [field])[0], frame.time_s)
            writer.write(draw_overlay(FrameResult(frame, field, found), status="plain loop"))
            count += 1
    capture.release()
    if writer is not None:
        writer.release()
    return count


def _pts(index: int, rate: float) -> Fraction:
    return Fraction(index) / Fraction(rate).limit_denominator(1000)


if __name__ == "__main__":
    main()
