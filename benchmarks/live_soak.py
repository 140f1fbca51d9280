"""Memory of live detection over 100,000 frames, run faster than real time: it must stay flat.

The test pattern runs through the live pipeline to a display that draws every frame it can, to the detector, and to a
page without browsers. The process's resident memory is read once a second. Linux only.

    python -m benchmarks.live_soak                 100,000 frames at up to 250 a second: 7 to 20 minutes
"""

from __future__ import annotations

import argparse
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.environment import write_result
from stream.frame import Frame
from stream.live.benchmark.measuring_display import MeasuringDisplay
from stream.live.page.page import LivePage
from stream.live.paths.opening import DetectorChoice
from stream.live.paths.pipeline import LivePipeline
from stream.live.sources.capture import Capture
from stream.live.states.view import LiveState, LiveStatus
from stream.live.switching import prompt_switching

_PAGE_MB = 4096 / 2**20
_WARM_SHARE = 0.2  # of the run, before memory counts
_HOUR_FRAMES = 25 * 3600  # frames of an hour of video at 25 frames/s


def main() -> None:
    """Runs the soak and writes its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--size", default="640x480", metavar="WxH")
    parser.add_argument("--rate", type=int, default=250, help="frames a second that are offered at most")
    arguments = parser.parse_args()
    display = MeasuringDisplay(lambda _: None)  # draws, and keeps no figures, which would grow
    page = LivePage("127.0.0.1", 0, without_token=True)
    pipeline = LivePipeline(DetectorChoice.of("polyp"), sinks=[display, page])
    over = threading.Event()

    def on_frame(frame: Frame) -> None:
        pipeline.take(frame)
        if frame.index + 1 >= arguments.frames:
            over.set()

    def on_state(state: LiveState, reason: str) -> None:
        pipeline.change_state(state, reason)
        if state is LiveState.ENDED:
            over.set()

    capture = Capture(f"pattern:{arguments.size}@{arguments.rate}", on_frame=on_frame, on_state=on_state)
    samples: list[tuple[float, int, float]] = []
    with ExitStack() as running:
        running.callback(pipeline.close)
        running.callback(capture.stop)
        running.enter_context(prompt_switching())
        pipeline.start()
        capture.start()
        started_s = time.monotonic()
        while not over.wait(1.0):
            samples.append((time.monotonic() - started_s, capture.frames, _resident_mb()))
        seconds = time.monotonic() - started_s
        status = pipeline.status
    figures = {
        "command": f"python -m benchmarks.live_soak --frames {arguments.frames} --size {arguments.size}",
        "resolution": arguments.size,
        "seconds": round(seconds, 1),
        "frames": capture.frames,
        "handed_to_displays": status.shown,
        "looked_at_by_detection": pipeline.annotation_delay.count,
        "failed": capture.failure is not None,
        **_memory(np.array(samples)),
        "status_at_the_end": _shown(status),
    }
    print(figures)
    print(write_result("live_soak", figures))


def _memory(samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[str, float]:
    seconds, frames, resident = samples.T
    warm = frames > _WARM_SHARE * frames[-1]
    by_hour = np.polyfit(seconds[warm] / 3600, resident[warm], 1)[0]
    by_frame = np.polyfit(frames[warm], resident[warm], 1)[0]
    tenth = max(len(resident) // 10, 1)
    return {
        "largest_mb": round(float(resident.max()), 1),
        "median_mb_after_warm_up": round(float(np.median(resident[warm][:tenth])), 1),
        "median_mb_at_the_end": round(float(np.median(resident[-tenth:])), 1),
        "slope_mb_per_hour_of_running": round(float(by_hour), 2),
        "slope_mb_per_hour_of_video": round(float(by_frame) * _HOUR_FRAMES, 2),
    }


def _shown(status: LiveStatus) -> dict[str, object]:
    return {"state": status.state.value, "detection_on": status.detection_on, "dropped": dict(status.dropped)}


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MB


if __name__ == "__main__":
    main()
