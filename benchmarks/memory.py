"""Memory of `polypstream detect` over a 10-minute video: it must stay flat, and at 1920x1080 under 600 MB.

The sample clip, or one that is named, is repeated without encoding it again, the command runs in a process of its own,
and that process's resident memory is read twice a second. Linux only.

    python -m benchmarks.memory --minutes 10
    python -m benchmarks.memory --video full_hd.mp4 --name memory_1920x1080
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from benchmarks.environment import write_result
from benchmarks.repeat import repeat_clip

CLIP = Path(__file__).resolve().parent.parent / "examples" / "colon.mp4"
_RATE = 25
_PAGE_MB = 4096 / 2**20


def main() -> None:
    """Makes the video, runs the command, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--video", type=Path, default=CLIP, metavar="FILE", help="that is repeated (the sample clip)")
    parser.add_argument("--name", default="memory", help="of the JSON under benchmarks/results")
    parser.add_argument("--model", default="polyp", metavar="NAME|DIR")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        video = Path(name) / "long.mp4"
        frames = repeat_clip(arguments.video, video, least_frames=round(arguments.minutes * 60 * _RATE))
        command = [sys.executable, "-m", "polypstream", "detect", str(video), "--model", arguments.model]
        command += ["--output", f"{name}/out.mp4", "--events", f"{name}/out.jsonl"]
        samples = _resident_mb(command)
    seconds, resident = samples[:, 0], samples[:, 1]
    warm = seconds > 0.2 * seconds[-1]
    slope = np.polyfit(seconds[warm] / 60, resident[warm], 1)[0]
    with av.open(str(arguments.video)) as container:
        width, height = container.streams.video[0].width, container.streams.video[0].height
    figures = {
        "resolution": f"{width}x{height}",
        "command": f"python -m benchmarks.memory --minutes {arguments.minutes:g}",
        "frames": frames,
        "seconds": round(float(seconds[-1]), 1),
        "largest_mb": round(float(resident.max()), 1),
        "median_mb_first_fifth": round(float(np.median(resident[~warm])), 1),
        "median_mb_last_fifth": round(float(np.median(resident[seconds > 0.8 * seconds[-1]])), 1),
        "slope_mb_per_minute_after_warm_up": round(float(slope), 2),
    }
    print(figures)
    print(write_result(arguments.name, figures))


def _resident_mb(command: list[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    samples: list[tuple[float, float]] = []
    started = time.monotonic()
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            samples.append((time.monotonic() - started, pages * _PAGE_MB))
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    return np.array(samples)


if __name__ == "__main__":
    main()
