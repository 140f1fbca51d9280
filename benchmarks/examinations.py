"""Rendered examinations: a procedure (`benchmarks.procedures`) with the room before and after it, and its times.

The endoscope lies in a room, enters, turns half-way, and leaves. The room is painted: walls, drapes and screens of cold
colours that pass by. One frame inside takes about 0.1 s of a processor core, so few frames a second are rendered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.procedures import RESOLUTION_WH, rendered_frames
from engine.arrays import Image, Plane
from engine.files import replacing
from stream.synthetic.clip import write_frames

FRAMES_PER_SECOND = Fraction(5)
OUTSIDE_S = 6.0
_MARGIN = 12  # grey level under which a pixel is margin
# Walls, drapes, screens, light: BGR.
_COLOURS = ((150, 140, 120), (120, 130, 90), (170, 120, 60), (90, 90, 95), (190, 190, 185), (140, 160, 150))


@dataclass(frozen=True, slots=True)
class Examination:
    """A rendered examination.

    Attributes:
        path: of its video; its truth stands beside it.
        seed: of it.
        inside_s: when the endoscope enters and leaves, in seconds.
        cecum_s: when it turns, in seconds.
        lesions: polyps of which a frame shows enough for a box.
    """

    path: Path
    seed: int
    inside_s: tuple[float, float]
    cecum_s: float
    lesions: int


def examinations(folder: Path, *, seeds: Sequence[int], seconds: float, jobs: int = 1) -> list[Examination]:
    """Examinations with polyps, rendered once into a folder.

    Args:
        folder: that keeps them, made when it does not exist.
        seeds: one an examination; the same seed gives the same examination.
        seconds: that each lasts inside the body.
        jobs: processes that render.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"examination-{seed}-{seconds:g}-s.mp4" for seed in seeds]
    missing = [(path, seed) for path, seed in zip(paths, seeds, strict=True) if not _facts_path(path).is_file()]
    if missing:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            for path in pool.map(_write, *zip(*missing, strict=True), [seconds] * len(missing)):
                print(f"rendered {path.name}", flush=True)
    return [_read(path) for path in paths]


def room(seed: int, *, mask: Plane, frames: int) -> Iterator[Image]:
    """Pictures of a room that pass by.

    Args:
        seed: the same seed gives the same room.
        mask: uint8 (height, width), not 0 inside the endoscope's picture.
        frames: how many.

    Yields:
        BGR uint8, shape (height, width, 3).
    """
    rng = np.random.default_rng((seed, 7))
    height, width = mask.shape
    wall = np.empty((height * 2, width * 2, 3), np.uint8)
    wall[:] = _COLOURS[int(rng.integers(len(_COLOURS)))]
    for _ in range(14):
        x, y = int(rng.integers(wall.shape[1])), int(rng.integers(wall.shape[0]))
        size = rng.integers((width // 8, height // 8), (width, height))
        colour = _COLOURS[int(rng.integers(len(_COLOURS)))]
        cv2.rectangle(wall, (x, y), (x + int(size[0]), y + int(size[1])), colour, -1)
    wall = np.asarray(cv2.GaussianBlur(wall, (0, 0), 2.0), np.uint8)
    phase = rng.uniform(0, 2 * np.pi, 2)
    for index in range(frames):
        left = round((np.sin(phase[0] + 0.11 * index) + 1) / 2 * (width - 1))
        top = round((np.sin(phase[1] + 0.07 * index) + 1) / 2 * (height - 1))
        seen = wall[top : top + height, left : left + width].astype(np.float32)
        seen += rng.normal(0, 2, seen.shape)
        yield np.where(mask[:, :, None] > 0, seen.clip(0, 255), 0).astype(np.uint8)


def _write(path: Path, seed: int, seconds: float) -> Path:
    inside = rendered_frames(seed, polyps=True, seconds=seconds, rate=FRAMES_PER_SECOND)
    seen: set[int] = set()
    with replacing(path, keep_ending=True) as partial:
        truth = write_frames(
            partial, _with_room(inside, seed, seen), resolution_wh=RESOLUTION_WH, rate=FRAMES_PER_SECOND
        )
        truth.replace(path.with_suffix(".truth.jsonl"))
    ends = OUTSIDE_S, OUTSIDE_S + seconds
    facts = Examination(path, seed, ends, OUTSIDE_S + seconds / 2, len(seen))
    _facts_path(path).write_text(json.dumps({**asdict(facts), "path": path.name}) + "\n", encoding="utf-8")
    return path


def _with_room(
    inside: Iterator[tuple[Image, Mapping[str, Any] | None]], seed: int, seen: set[int]
) -> Iterator[tuple[Image, Mapping[str, Any] | None]]:
    """Frames of a procedure with those of the room around them; gathers the polyps that are seen."""
    first, record = next(inside)
    mask = np.where(
        cv2.morphologyEx(first.max(axis=2), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > _MARGIN, 255, 0
    ).astype(np.uint8)
    outside = round(OUTSIDE_S * FRAMES_PER_SECOND)
    before, after = room(seed, mask=mask, frames=outside), room(seed + 1, mask=mask, frames=outside)
    yield from ((image, None) for image in before)
    for image, line in chain([(first, record)], inside):
        if line is not None:
            seen.update(one["id"] for one in line["polyps"])
            line = {**line, "frame": line["frame"] + outside, "time_s": round(line["time_s"] + OUTSIDE_S, 6)}
        yield image, line
    yield from ((image, None) for image in after)


def _facts_path(path: Path) -> Path:
    return path.with_suffix(".times.json")


def _read(path: Path) -> Examination:
    facts = json.loads(_facts_path(path).read_text(encoding="utf-8"))
    first, last = facts["inside_s"]
    return Examination(path, facts["seed"], (first, last), facts["cecum_s"], facts["lesions"])
