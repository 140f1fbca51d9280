"""The worst misses and the worst false alarms among frames, and how any case is drawn as a picture with marks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from train.judging.stills import JudgedStill, StillsResult
from train.metrics.matching import FALSE, Rule, outcome_of

Box = tuple[float, ...]

_WIDTH = 420  # of a picture in the report, in pixels
_QUALITY = 82
_MOST_OF_A_GROUP = 2  # frames of one sequence look alike
# BGR of the marks: as the colours of the charts.
_TRUTH, _RIGHT, _WRONG, _TOO_LOW = (115, 158, 0), (233, 180, 86), (0, 94, 213), (0, 159, 230)


@dataclass(frozen=True, slots=True)
class Mark:
    """A detection on a picture: its box in pixels, its score, whether it is right, and whether it was shown."""

    box_xyxy: Box
    score: float
    right: bool
    shown: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One picture of the report.

    Attributes:
        title: what it is.
        source: picture or clip.
        frame: of the clip; None for a picture.
        truth_xyxy: boxes of the polyps.
        marks: detections, those that were not shown too where they matter.
    """

    title: str
    source: Path
    frame: int | None
    truth_xyxy: tuple[Box, ...]
    marks: tuple[Mark, ...]


def worst_misses(result: StillsResult, threshold: float, *, most: int) -> list[Case]:
    """Polyps without a detection: the lowest scores first, then the largest polyps.

    Of a frame whose polyp nobody outlined: that it has no detection at all.
    """
    missed: list[tuple[float, int, str, Case]] = []
    for still in result.judged:
        outcome = outcome_of([still.match], Rule.CENTROID)
        if still.match.place_known:
            polyps = list(zip(outcome.polyp_scores.tolist(), still.match.polyp_areas.tolist(), strict=True))
            nothing = "no candidate on it"
        else:
            polyps, nothing = [(float(outcome.frame_scores[0]), 0)], "no candidate"
        for score, area in polyps:
            if score < threshold:
                best = nothing if score < 0 else f"best candidate {score:.2f}"
                missed.append((score, -area, still.group, _case(still, f"{still.name}: {best}", threshold, 0.05)))
    return _some(missed, most)


def worst_false_alarms(result: StillsResult, threshold: float, *, most: int) -> list[Case]:
    """False detections with the highest scores, one of each frame."""
    false: list[tuple[float, int, str, Case]] = []
    for still in result.judged:
        wrong = still.match.scores[still.match.under_centre == FALSE]
        highest = float(wrong.max(initial=0.0))
        if wrong.size and highest >= threshold:
            case = _case(still, f"{still.name}: {highest:.2f}", threshold, threshold)
            false.append((-highest, 0, still.group, case))
    return _some(false, most)


def as_jpeg(cases: Sequence[Case]) -> list[bytes]:
    """Each case as a JPEG picture with its marks; clips are decoded once, however many frames are wanted."""
    wanted: dict[Path, set[int]] = defaultdict(set)
    for case in cases:
        if case.frame is not None:
            wanted[case.source].add(case.frame)
    frames = {path: _frames_of(path, indices) for path, indices in wanted.items()}
    return [
        _marked(read_picture(case.source) if case.frame is None else frames[case.source][case.frame], case)
        for case in cases
    ]


def _case(still: JudgedStill, title: str, threshold: float, floor: float) -> Case:
    match = still.match
    marks = tuple(
        Mark(tuple(box), score, polyp >= 0, score >= threshold)
        for box, score, polyp in zip(
            match.boxes_xyxy.tolist(), match.scores.tolist(), match.under_centre.tolist(), strict=True
        )
        if score >= floor
    )
    return Case(title, still.path, None, tuple(map(tuple, match.polyp_boxes_xyxy.tolist())), marks[:6])


def _some(ranked: Iterable[tuple[float, int, str, Case]], most: int) -> list[Case]:
    taken: Counter[str] = Counter()
    cases: list[Case] = []
    for _, _, group, case in sorted(ranked, key=lambda row: row[:3]):
        if taken[group] < _MOST_OF_A_GROUP and len(cases) < most:
            taken[group] += 1
            cases.append(case)
    return cases


def _frames_of(path: Path, indices: set[int]) -> dict[int, Image]:
    found: dict[int, Image] = {}
    with open_source(path) as source:
        for frame in source:
            if frame.index in indices:
                found[frame.index] = frame.image
            if len(found) == len(indices):
                break
    return found


def _marked(image: Image, case: Case) -> bytes:
    scale = _WIDTH / image.shape[1]
    shape = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = (_WIDTH, max(round(image.shape[0] * scale), 1))
    picture = np.asarray(cv2.resize(image, size, interpolation=shape), np.uint8)
    for box in case.truth_xyxy:
        _box(picture, box, scale, _TRUTH, 2)
    for mark in case.marks:
        colour = (_RIGHT if mark.right else _WRONG) if mark.shown else _TOO_LOW
        _box(picture, mark.box_xyxy, scale, colour, 2 if mark.shown else 1)
        place = round(mark.box_xyxy[0] * scale) + 3, max(round(mark.box_xyxy[1] * scale), 0) + 15
        for line, width in (((0, 0, 0), 2), (colour, 1)):
            cv2.putText(picture, f"{mark.score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, line, width, cv2.LINE_AA)
    done, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"{case.title} could not be made a JPEG picture")
    return code.tobytes()


def _box(picture: Image, box: Box, scale: float, colour: tuple[int, int, int], width: int) -> None:
    x1, y1, x2, y2 = (round(side * scale) for side in box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, width, cv2.LINE_AA)
