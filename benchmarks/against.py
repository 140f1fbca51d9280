"""This checkout against another one, in turns: frames a second, processor time a frame, largest memory.

Ways, each in a process of its own:

* burned in: `polypstream detect` with video and events of a 1920x1080 clip of 12 Mb/s;
* events only: the same without the video;
* the same video and events of a 1380x1080 clip, and the plain loop of `benchmarks.recording` over it: one thread over
  OpenCV's capture that writes the same H.264 (this checkout's alone);
* page: a frame as the live page sends it, JPEG of 1280x720 made of a decoded 1920x1080 frame.

The 1920x1080 clip is the 1380x1080 one with black at its sides, as a tower gives it, encoded anew. Processor time is
user and system time of the process with all its threads, less that of the same command over one frame: other programs
on the machine change it less than frames a second.

    git worktree add ../before c081542
    python -m benchmarks.against ../before --videos DATA/videos --name planes
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.environment import write_result
from benchmarks.repeat import repeat_clip
from stream.sources.opening import open_source

_HERE = Path(__file__).resolve().parents[1]
_CLIP = "polypgen_positive_seq01.mp4"
_BITS_PER_SECOND = 12_000_000
_RATE = 25
_OPENINGS = ("opening_before", "opening")  # `polypstream detect` over one frame, in the other checkout and here
_PLAIN_LOOP = """
import sys; from pathlib import Path; from benchmarks.recording import _plain_loop
_plain_loop(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], threads=1, h264=True)
"""
_PAGE = """
import sys, time
from stream.frame import FieldOfView
from stream.live.page.messages import frame_message
from stream.live.states.view import LiveState, LiveStatus, LiveView
from stream.sources.opening import open_source
spent_s = frames = 0
with open_source(sys.argv[1], decoder_threads=1) as source:
    for frame in source:
        view = LiveView(frame, FieldOfView((0, 0, *frame.resolution_wh)), (), None, LiveStatus(LiveState.RUNNING))
        began_s = time.process_time()
        frame_message(view, quality=80, max_width=1280)
        spent_s += time.process_time() - began_s
        frames += 1
print(1000 * spent_s / frames)
"""


@dataclass(frozen=True, slots=True)
class _Run:
    """What one process took.

    Attributes:
        seconds: from its start to its end.
        processor_s: user and system time.
        largest_mb: of its resident memory; Linux gives no less than that of this program when it started the other.
        said: what it printed.
    """

    seconds: float
    processor_s: float
    largest_mb: float
    said: str


def main() -> None:
    """Runs every way in both checkouts in turns and writes medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, metavar="CHECKOUT", help="folder of the other commit's checkout")
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help=f"folder with {_CLIP}")
    parser.add_argument("--model", default="polyp", metavar="NAME|DIR")
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="of each clip, at least")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--name", default="against", help="of the JSON under benchmarks/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "1380x1080.mp4", folder / "1920x1080.mp4"
        _full_hd(arguments.videos / _CLIP, folder / "short.mp4")
        _full_hd(arguments.videos / _CLIP, folder / "one.mp4", most=1)
        frames = {
            "small": repeat_clip(arguments.videos / _CLIP, small, least_frames=arguments.frames),
            "large": repeat_clip(folder / "short.mp4", large, least_frames=arguments.frames),
        }
        runs = _all_runs(arguments, folder, small, large)
    opening = {way: statistics.median(run.processor_s for run in runs.pop(way)) for way in _OPENINGS}
    ways: dict[str, dict[str, Any]] = {}
    for way, found in runs.items():
        opening_s = 0.0 if way.startswith("page") else opening[_OPENINGS["before" not in way]]
        ways[way] = _figures(found, frames["small" if "1380" in way else "large"], opening_s)
    command = f"python -m benchmarks.against CHECKOUT --videos VIDEOS --frames {arguments.frames}"
    figures = {
        "command": f"{command} --rounds {arguments.rounds} --name {arguments.name}",
        "commit_before": _commit_of(arguments.before),
        "load_average_at_the_end": [round(each, 1) for each in os.getloadavg()],
        "frames": frames,
        "ways": ways,
        "ratios": _ratios(ways),
    }
    print(write_result(arguments.name, figures))


def _all_runs(arguments: argparse.Namespace, folder: Path, small: Path, large: Path) -> dict[str, list[_Run]]:
    before, model, python = arguments.before.resolve(), arguments.model, sys.executable
    output, events = str(folder / "out.mp4"), str(folder / "out.jsonl")

    def detect(video: Path, *, burned: bool) -> list[str]:
        command = [python, "-m", "polypstream", "detect", str(video), "--events", events, "--overwrite"]
        return [*command, "--model", model, *(["--output", output] if burned else [])]

    page = [python, "-c", _PAGE, str(large)]
    one = folder / "one.mp4"
    ways: dict[str, tuple[Path, list[str]]] = {
        "opening_before": (before, detect(one, burned=False)),
        "opening": (_HERE, detect(one, burned=False)),
        "burned_in_before": (before, detect(large, burned=True)),
        "burned_in": (_HERE, detect(large, burned=True)),
        "events_only_before": (before, detect(large, burned=False)),
        "events_only": (_HERE, detect(large, burned=False)),
        "plain_loop_1380": (_HERE, [python, "-c", _PLAIN_LOOP, str(small), output, model]),
        "burned_in_before_1380": (before, detect(small, burned=True)),
        "burned_in_1380": (_HERE, detect(small, burned=True)),
        "page_before": (before, page),
        "page": (_HERE, page),
    }
    runs: dict[str, list[_Run]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way, (checkout, command) in ways.items():
            runs[way].append(run := _timed(checkout, command))
            print(
                f"{way:24} {run.seconds:7.1f} s, {run.processor_s:7.1f} s of processors, {run.largest_mb:6.0f} MB",
                flush=True,
            )
    return runs


def _timed(checkout: Path, command: list[str]) -> _Run:
    surroundings = {**os.environ, "PYTHONPATH": str(checkout)}
    started = time.monotonic()
    with subprocess.Popen(command, cwd=checkout, env=surroundings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} in {checkout} ended with {process.returncode}")
    return _Run(time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said)


def _figures(runs: list[_Run], frames: int, opening_s: float) -> dict[str, Any]:
    def median(values: Iterator[float]) -> float:
        return round(statistics.median(values), 2)

    figures: dict[str, Any] = {
        "frames_per_second": median(frames / run.seconds for run in runs),
        "processor_ms_per_frame": median(1000 * (run.processor_s - opening_s) / frames for run in runs),
        "largest_mb": median(run.largest_mb for run in runs),
        "all_processor_ms_per_frame": [round(1000 * (run.processor_s - opening_s) / frames, 2) for run in runs],
        "all_frames_per_second": [round(frames / run.seconds, 2) for run in runs],
    }
    spoken = [run.said.strip().splitlines()[-1:] for run in runs]
    if all(words and words[0].replace(".", "", 1).isdigit() for words in spoken):
        figures["message_ms_per_frame"] = median(float(words[0]) for words in spoken)
    return figures


def _ratios(ways: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times as fast, and how many times less processor time."""
    pairs = {
        "burned_in_to_before": ("burned_in", "burned_in_before"),
        "events_only_to_before": ("events_only", "events_only_before"),
        "burned_in_1380_to_before": ("burned_in_1380", "burned_in_before_1380"),
        "burned_in_1380_to_plain_loop": ("burned_in_1380", "plain_loop_1380"),
        "burned_in_before_1380_to_plain_loop": ("burned_in_before_1380", "plain_loop_1380"),
        "page_to_before": ("page", "page_before"),
    }
    ratios: dict[str, dict[str, float]] = {}
    for name, (now, then) in pairs.items():
        rounds = zip(ways[now]["all_frames_per_second"], ways[then]["all_frames_per_second"], strict=True)
        spent = zip(ways[now]["all_processor_ms_per_frame"], ways[then]["all_processor_ms_per_frame"], strict=True)
        ratios[name] = {
            "frames_per_second": round(statistics.median(a / b for a, b in rounds), 2),
            "processor_time": round(statistics.median(b / a for a, b in spent), 2),
        }
    ratios["page_to_before"]["message"] = round(
        ways["page_before"]["message_ms_per_frame"] / ways["page"]["message_ms_per_frame"], 2
    )
    return ratios


def _commit_of(checkout: Path) -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()


def _full_hd(clip: Path, path: Path, *, most: int | None = None) -> None:
    """Writes a clip, or its first frames, with black at its sides as H.264, 1920x1080, 12 Mb/s, 25 frames/s."""
    with _writer(path) as write, open_source(str(clip)) as source:
        for frame in islice(source, most):
            image = frame.image
            scale = min(1920 / image.shape[1], 1080 / image.shape[0])
            inner = cv2.resize(image, (round(image.shape[1] * scale), round(image.shape[0] * scale)))
            left = (1920 - inner.shape[1]) // 2
            canvas = np.zeros((1080, 1920, 3), np.uint8)
            canvas[: inner.shape[0], left : left + inner.shape[1]] = inner
            write(av.VideoFrame.from_ndarray(canvas, "bgr24"))


@contextmanager
def _writer(path: Path) -> Iterator[Any]:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(_RATE), options={"preset": "fast"})
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = 1920, 1080, "yuv420p"
        context.bit_rate = _BITS_PER_SECOND
        yield lambda frame: output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


if __name__ == "__main__":
    main()
