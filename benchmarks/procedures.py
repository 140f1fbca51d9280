"""Rendered procedures: minutes of synthetic colonoscopy with dirt, and polyps that leave the picture and come back.

A procedure is a row of sections of the colon, each of its own. In each the camera goes forward, back and forward again,
so that what it passed is seen anew. Dirt (`train.augmentation.dirt`) drifts over the picture for some seconds a time,
instruments come and go, and the lens touches the wall where one section ends and the next begins. Frames in which a
polyp is too small, too dark or too much hidden for a box are not judged.

One frame takes about 0.15 s of a processor core: 10 procedures of 5 minutes with polyps and 10 without take some hours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.arrays import Image
from engine.files import replacing
from stream.synthetic.clip import is_clear, write_frames
from stream.synthetic.colon import ColonScene, RenderedFrame, render, truth_record
from train.augmentation.dirt import KINDS, MOST_COVERED, Dirt, red_out
from train.augmentation.instruments import instrument
from train.data.video_truth import ClipTruth, read_clip

#: Training begins at seed 10,000, the clips of calibration at 20,000.
FIRST_SEED = 30_000
FRAMES_PER_SECOND = Fraction(25, 2)
RESOLUTION_WH = (320, 240)
SECTION_S = 30.0
# Polyps of a section, by lot; the first section of a procedure with polyps has one.
_POLYPS = (0, 1, 1, 2)
# Where the camera is along its way through a section: there, back, and there again.
_WAY = (0.0, 1.0, 0.3, 1.0)
_WAY_LENGTH = sum(abs(second - first) for first, second in pairwise(_WAY))
# Dirt: mean time between two episodes, their length, how long they take to come and go, in seconds.
_DIRT_EVERY_S, _DIRT_S, _FADE_S = 4.0, (0.5, 4.0), 0.2
_TOUCH_S = 0.8
# Instruments: mean time between two, and how long one stays, in seconds.
_INSTRUMENT_EVERY_S, _INSTRUMENT_S = 40.0, (3.0, 8.0)
_DRIFT = 0.06  # of the picture's height, a second
_SEEN = 40  # a change of grey levels that hides what was there
_MARGIN = 12  # grey level under which a pixel is margin
_IDS_OF_A_SECTION = 10


@dataclass(frozen=True, slots=True)
class Episode:
    """Dirt on the lens or the wall, or an instrument, for some seconds.

    Attributes:
        kind: paints it.
        seed: of its shape, the same in every frame.
        begin_s: when it comes, in seconds.
        end_s: when it is gone.
        drift_xy: how it moves over the picture, in pixels a second.
    """

    kind: Dirt
    seed: int
    begin_s: float
    end_s: float
    drift_xy: tuple[float, float]

    def strength(self, time_s: float) -> float:
        """How much of it is there, 0 to 1."""
        return min(max(min(time_s - self.begin_s, self.end_s - time_s) / _FADE_S, 0.0), 1.0)

    def over(self, image: Image, time_s: float) -> Image:
        """A frame with it; the margin stays as it is."""
        strength = self.strength(time_s)
        if strength <= 0:
            return image
        x, y = (speed * (time_s - self.begin_s) for speed in self.drift_xy)
        painted = self.kind(_shifted(image, -x, -y), np.random.default_rng(self.seed))
        blended = cv2.addWeighted(_shifted(painted, x, y), strength, image, 1 - strength, 0)
        lit = cv2.morphologyEx(image.max(axis=2), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > _MARGIN
        return np.where(lit[:, :, None], blended, image).astype(np.uint8)


def procedures(
    folder: Path, *, count: int, minutes: float, jobs: int = 1, first: int = 0, normal: bool = True
) -> list[ClipTruth]:
    """Procedures with polyps, and as many without, rendered once into a folder.

    Args:
        folder: that keeps them, made when it does not exist.
        count: of procedures of each kind.
        minutes: length of each.
        jobs: processes that render.
        first: number of the first of each kind.
        normal: whether those without polyps are wanted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        (folder / f"{'polyps' if polyps else 'normal'}-{number:02d}-{minutes:g}-min.mp4", FIRST_SEED + number, polyps)
        for polyps in ((True, False) if normal else (True,))
        for number in range(first, first + count)
    ]
    missing = [one for one in wanted if not one[0].with_suffix(".truth.jsonl").is_file() or not one[0].is_file()]
    if missing:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            for path in pool.map(_write, *zip(*missing, strict=True), [minutes] * len(missing)):
                print(f"rendered {path.name}", flush=True)
    return [read_clip(path) for path, _, _ in wanted]


def _write(path: Path, seed: int, polyps: bool, minutes: float) -> Path:
    with replacing(path, keep_ending=True) as partial:
        frames = rendered_frames(seed, polyps=polyps, seconds=60 * minutes)
        truth = write_frames(partial, frames, resolution_wh=RESOLUTION_WH, rate=FRAMES_PER_SECOND)
        truth.replace(path.with_suffix(".truth.jsonl"))
    return path


def rendered_frames(
    seed: int,
    *,
    polyps: bool,
    seconds: float,
    resolution_wh: tuple[int, int] = RESOLUTION_WH,
    rate: Fraction = FRAMES_PER_SECOND,
) -> Iterator[tuple[Image, Mapping[str, Any] | None]]:
    """The frames of a procedure with their lines of truth; None for a frame that is not judged.

    Args:
        seed: the same seed gives the same procedure.
        polyps: whether it has any.
        seconds: its length.
        resolution_wh: width and height in pixels, both even.
        rate: frames a second.
    """
    rng = np.random.default_rng((seed, int(polyps)))
    episodes = plan_episodes(rng, seconds, height=resolution_wh[1])
    scene: ColonScene | None = None
    look = None
    section = -1
    for index in range(round(seconds * rate)):
        time_s = index / float(rate)
        if scene is None or int(time_s / SECTION_S) != section:
            section = int(time_s / SECTION_S)
            count = 0 if not polyps else 1 if section == 0 else int(rng.choice(_POLYPS))
            way_s = SECTION_S / _WAY_LENGTH
            drawn = ColonScene.random(int(rng.integers(2**31)), polyp_count=count, duration_s=way_s)
            look = drawn.look if look is None else look  # one endoscope for the whole procedure
            scene = replace(drawn, look=look)
        place = way_at((time_s - section * SECTION_S) / SECTION_S)
        rendered = render(scene, place * scene.duration_s, resolution_wh)
        image = rendered.image
        for episode in episodes:
            image = episode.over(image, time_s)
        yield image, _truth(index, time_s, section, rendered, image)


def way_at(share: float) -> float:
    """Where the camera is on its way through a section, 0 to 1, after a share of the time."""
    left = min(max(share, 0.0), 1.0) * _WAY_LENGTH
    for first, second in pairwise(_WAY):
        step = abs(second - first)
        if left <= step:
            return first + math.copysign(left, second - first)
        left -= step
    return _WAY[-1]


def plan_episodes(rng: np.random.Generator, seconds: float, *, height: int) -> tuple[Episode, ...]:
    """When which dirt and which instruments come: by lot, and the wall at the lens between two sections.

    Args:
        rng: draws everything.
        seconds: length of the procedure.
        height: of its frames in pixels.
    """
    found: list[Episode] = []
    for cut in range(1, math.ceil(seconds / SECTION_S)):
        begin_s = cut * SECTION_S - _TOUCH_S / 2
        found.append(Episode(red_out, int(rng.integers(2**31)), begin_s, begin_s + _TOUCH_S, (0.0, 0.0)))
    for kinds, every_s, lengths_s, drift in (
        (KINDS, _DIRT_EVERY_S, _DIRT_S, _DRIFT),
        ((instrument,), _INSTRUMENT_EVERY_S, _INSTRUMENT_S, 0.0),
    ):
        time_s = float(rng.exponential(every_s))
        while time_s < seconds:
            kind, length_s = kinds[int(rng.integers(len(kinds)))], float(rng.uniform(*lengths_s))
            x, y = (float(speed) for speed in rng.normal(0, drift * height, 2))
            found.append(Episode(kind, int(rng.integers(2**31)), time_s, time_s + length_s, (x, y)))
            time_s += length_s + float(rng.exponential(every_s))
    return tuple(found)


def _truth(index: int, time_s: float, section: int, rendered: RenderedFrame, image: Image) -> Mapping[str, Any] | None:
    """The line of a frame; None where a polyp is not clear."""
    if not is_clear(rendered):
        return None
    hidden = np.abs(image.astype(np.int16) - rendered.image).max(axis=2) > _SEEN
    if any(hidden[rendered.polyp_ids == one.number].mean() > MOST_COVERED for one in rendered.polyps):
        return None
    record = truth_record(index, time_s, rendered)
    polyps: Sequence[Mapping[str, Any]] = record["polyps"]
    return {**record, "polyps": [{**one, "id": one["id"] + section * _IDS_OF_A_SECTION} for one in polyps]}


def _shifted(image: Image, x: float, y: float) -> Image:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT), np.uint8)
