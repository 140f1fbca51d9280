"""Recordings of several formats for studies, and what a study wrote, read for comparisons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.arrays import Image
from tests.kit.media import make_video

#: Endings and encoders of the recordings, in turn.
CONTAINERS = (
    ("mp4", "libx264"),
    ("mkv", "libx264"),
    ("avi", "mpeg4"),
    ("mpg", "mpeg2video"),
    ("ts", "libx264"),
    ("mov", "libx264"),
    ("wmv", "wmv2"),
    ("flv", "libx264"),
)
_FAST = {"libx264": {"preset": "ultrafast"}}


def spot_picture(seed: int, number: int, size_wh: tuple[int, int] = (160, 128)) -> Image:
    """A dim picture in which a bright spot comes, moves and goes: the tiny detector finds it.

    Args:
        seed: of its place and times; each seed gives other pictures.
        number: of the frame.
        size_wh: width and height in pixels.
    """
    width, height = size_wh
    image = np.empty((height, width, 3), np.uint8)
    image[:] = (40, 50 + seed % 40, 110)
    image[:: 4 + seed % 5] //= 2
    period = 20 + seed % 7
    if number % period >= 6:
        place = (40 + (7 * seed + number) % (width - 80), 40 + (5 * seed) % (height - 80))
        cv2.circle(image, place, 24, (250, 250, 250), -1)
    return image


def make_recording(path: Path, seed: int, *, frames: int = 50, codec: str = "libx264") -> Path:
    """Writes a recording of 25 frames a second; equal seeds give equal pictures."""
    return make_video(
        path,
        codec=codec,
        frames=frames,
        size=(160, 128),
        options=_FAST.get(codec),
        draw=lambda number, size: spot_picture(seed, number, size),
    )


def make_recordings(folder: Path, count: int, *, frames: int = 50) -> list[Path]:
    """Writes recordings of all formats, each of other pictures; every fifth is of two parts."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for seed in range(count):
        if len(made) >= count:
            break
        ending, codec = CONTAINERS[seed % len(CONTAINERS)]
        parts = ("",) if seed % 5 != 4 else ("_001", "_002")
        for number, part in enumerate(parts):
            path = folder / f"exam{seed:02d}{part}.{ending}"
            made.append(make_recording(path, 100 * number + seed, frames=frames, codec=codec))
    return made


def results_of(folder: Path) -> dict[str, Any]:
    """What a study found: everything that does not depend on when and where it ran."""
    found: dict[str, Any] = {
        name: (folder / name).read_text(encoding="utf-8") for name in ("procedures.csv", "findings.csv")
    }
    for report in sorted(folder.glob("*/report.json")):
        contents = json.loads(report.read_text(encoding="utf-8"))
        name = report.parent.name
        found[name] = {key: value for key, value in contents.items() if key not in ("made", "looked_at")}
        found[f"{name} events"] = (report.parent / "events.jsonl").read_text(encoding="utf-8")
        pictures = sorted(path.name for path in (report.parent / "findings").iterdir())
        found[f"{name} pictures"] = pictures
    return found
