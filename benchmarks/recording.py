"""Speed of `polypstream detect`: decode + detection + overlay + H.264, against its floor and against a plain loop.

Side by side, in one run, in turns:

* floor: the same decoder and encoder with nothing between them;
* plain loop: the same detector, field of view, tracker and overlay in a loop over OpenCV's capture, one thread for all
  of it (network and encoder too), writing the same H.264: the same work without the pipeline;
* plain loop, MPEG-4: the same with OpenCV's own writer. Its wheels write no H.264, and what they write, MPEG-4 part 2,
  costs a fraction to encode and is larger;
* plain loop, MPEG-4, all cores: as before, but the network of each frame runs on every core;
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
from engine.arrays import Image
from engine.runtime import RuntimeSettings
from stream.decision.decision import Decision
from stream.decision.rule import decision_rule, time_rule_of_model
from stream.detection.detector import Detector
from stream.frame import Frame, FrameResult
from stream.overlay import draw_overlay
from stream.record.encoders import Encoding
from stream.record.recording import RecordingResult, RecordingSettings, detect_recording
from stream.record.video_sink import VideoSink
from stream.sources.opening import open_source
from stream.view.tracker import FieldOfViewTracker

CLIPS = ("elsalvador_atlas_Pediculado3.mpg", "polypgen_positive_seq01.mp4", "polypgen_positive_seq18.mp4")
_LEAST_FRAMES = 160


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
            settings = RecordingSettings(str(path), folder / "p.mp4", folder / "p.jsonl", model=model, overwrite=True)
            result = detect_recording(settings)
            stages.append(_shares(result))
            return result.report.frames

        ways: dict[str, Callable[[], int]] = {
            "floor": lambda: _floor(path, folder / "f.mp4"),
            "plain_loop": lambda: _plain_loop(path, folder / "l.mp4", model, threads=1, h264=True),
            "plain_loop_mpeg4": lambda: _plain_loop(path, folder / "m.mp4", model, threads=1, h264=False),
            "plain_loop_mpeg4_all_cores": lambda: _plain_loop(path, folder / "o.mp4", model, threads=0, h264=False),
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
        "pipeline_to_plain_loop_mpeg4": round(medians["pipeline"] / medians["plain_loop_mpeg4"], 2),
        "pipeline_to_plain_loop_mpeg4_all_cores": round(medians["pipeline"] / medians["plain_loop_mpeg4_all_cores"], 2),
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


def _plain_loop(path: Path, output: Path, model: str, *, threads: int, h264: bool) -> int:
    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    fields = FieldOfViewTracker()
    count = 0
    with Detector.open(model, settings=RuntimeSettings(streams=1, threads=threads)) as detector:
        rule = decision_rule(detector.threshold, time_rule_of_model(detector.bundle.record))
        decision = Decision[None](rule)
        write, close = _h264_writer(path, output) if h264 else _mpeg4_writer(output, rate)
        while True:
            good, read = capture.read()
            if not good:
                break
            image = np.asarray(read, np.uint8)
            frame = Frame(count, _pts(count, rate), image, time.monotonic())
            field = fields.update(image, frame.time_s)
            candidates = detector.detect([image], [field], floor=rule.floor)[0]
            (decided,) = decision.update(None, candidates, frame.time_s)
            write(draw_overlay(FrameResult(frame, field, decided.shown), status="plain loop"), frame.pts)
            count += 1
        close()
    capture.release()
    return count


Writer = tuple[Callable[[Image, Fraction], object], Callable[[], object]]


def _h264_writer(path: Path, output: Path) -> Writer:
    with open_source(str(path)) as source:
        sink = VideoSink(output, info=source.info, overwrite=True, encoding=Encoding(threads=1))
    return sink.write, sink.close


def _mpeg4_writer(output: Path, rate: float) -> Writer:
    writers: list[cv2.VideoWriter] = []

    def write(image: Image, _: Fraction) -> None:
        if not writers:
            size = (image.shape[1], image.shape[0])
            writers.append(cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), rate, size))
        writers[0].write(image)

    def close() -> None:
        for writer in writers:
            writer.release()

    return write, close


def _pts(index: int, rate: float) -> Fraction:
    return Fraction(index) / Fraction(rate).limit_denominator(1000)


if __name__ == "__main__":
    main()
