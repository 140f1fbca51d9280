"""Clips made of labelled stills: a virtual camera drifts over a real frame, so that time can be judged without video.

Real clips with a known truth are rare, and what fools a detector for a second (foam, stool, a fold) is on stills of
real colons.

Each frame of such a clip shows the still a little moved, turned, nearer, brighter and blurred, and compressed
anew. What really moves in the colon, it does not show: boxes are steadier than on video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from engine.arrays import Image, Pixels
from engine.checks import require_at_least
from engine.console.output import progress
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from stream.view.field_of_view import find_field_of_view
from train.data.video_truth import BoxXyxy, ClipTruth, PolypTruth
from train.judging.clips import ClipsResult, JudgedClip, SeenFrame
from train.judging.stills import Still

SECONDS = 2.0
"""Length of a clip."""
FRAMES_PER_SECOND = 12.5

# How far the camera drifts: shares of the field of view's shorter side, degrees, natural logarithms of zoom and light.
_SHIFT, _TURN_DEGREES, _ZOOM, _LIGHT = 0.06, 6.0, 0.14, 0.12
# A polyp is to be seen while this share of it is.
_VISIBLE_SHARE = 0.5
_BATCH = 4


def judge_moved_stills(detector: Detector, stills: Sequence[Still], *, seed: int = 0) -> ClipsResult:
    """Runs a detector over clips made of stills.

    Args:
        detector: with any threshold: every candidate is kept.
        stills: frames with known outlines, with and without polyps.
        seed: of the camera's ways; the same seed and stills give the same clips.

    Raises:
        InputError: no stills, or one that cannot be read.
        RunError: the runtime failed.
    """
    require_at_least("the number of stills", len(stills), 1)
    rounds = progress(stills, what="moved stills", unit="clip", leave=False, delay=0.3)
    return ClipsResult(tuple(_judged(detector, still, seed + number) for number, still in enumerate(rounds)))


def moved(
    image: Image, labels: Pixels, field: FieldOfView, rng: np.random.Generator, *, count: int
) -> Iterator[tuple[Image, Pixels]]:
    """The frames of a clip.

    Args:
        image: the still, BGR uint8 (height, width, 3).
        labels: int32 (height, width), 0 for normal, 1.. for each polyp.
        field: field of view of the still; what lies outside stays as it is.
        rng: draws the camera's way.
        count: of frames.

    Yields:
        Each frame and its labels, shapes as given. The first shows the still as it is, but for compression.
    """
    x1, y1, x2, y2 = field.box_xyxy
    content, inside = image[y1:y2, x1:x2], labels[y1:y2, x1:x2].astype(np.float32)
    mask = None if field.mask is None else field.mask[y1:y2, x1:x2]
    width, height = field.size_wh
    side = min(width, height)
    # Sums of two slow waves, 0 at the first frame: shift along x and y, turn, zoom, light.
    sizes = np.array([_SHIFT * side, _SHIFT * side, _TURN_DEGREES, _ZOOM, _LIGHT])
    amplitudes = rng.normal(0.0, 0.7, (5, 2)) * sizes[:, None]
    cycles = rng.uniform(0.2, 1.2, (5, 2))
    quality = int(rng.integers(55, 96))
    for index in range(count):
        waves = np.sin(2 * math.pi * cycles * index / FRAMES_PER_SECOND)
        along_x, along_y, turn, zoom, light = (amplitudes * waves).sum(axis=1).tolist()
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, math.exp(zoom))
        matrix[:, 2] += along_x, along_y
        frame, shown = image.copy(), labels.copy()
        warped = cv2.warpAffine(content, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        warped = np.clip(warped * math.exp(light), 0, 255).astype(np.uint8)
        if rng.random() < 0.2:
            warped = cv2.GaussianBlur(warped, (0, 0), rng.uniform(0.5, 1.5))
        # The border's mirror image shows no second polyp: labels end at the edge, and so does the polyp.
        outlined = cv2.warpAffine(inside, matrix, (width, height), flags=cv2.INTER_NEAREST)
        for whole, part in ((frame, warped), (shown, outlined.astype(labels.dtype))):
            place = whole[y1:y2, x1:x2]
            place[...] = part if mask is None else np.where(mask[..., None] if part.ndim == 3 else mask, part, place)
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        yield np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), shown


def _judged(detector: Detector, still: Still, seed: int) -> JudgedClip:
    image, truth = still.load()
    field = find_field_of_view(image)
    rng = np.random.default_rng(seed)
    whole = np.bincount(truth.labels.ravel(), minlength=len(truth.boxes_xyxy) + 1)[1:]
    frames: list[SeenFrame] = []
    boxes: dict[int, dict[int, BoxXyxy]] = {}
    pictures: list[Image] = []
    shows = field.has_picture and min(field.size_wh) > 0
    count = round(SECONDS * FRAMES_PER_SECOND) if shows else 0
    for index, (picture, labels) in enumerate(moved(image, truth.labels, field, rng, count=count)):
        pictures.append(picture)
        for number, area in enumerate(whole.tolist(), start=1):
            rows, columns = np.nonzero(labels == number)
            if area and len(rows) >= _VISIBLE_SHARE * area:  # one that others cover has no area
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                x1, y1, x2, y2 = map(float, box)
                boxes.setdefault(number, {})[index] = (x1, y1, x2, y2)
    for first in range(0, count, _BATCH):
        batch = pictures[first : first + _BATCH]
        for offset, found in enumerate(detector.detect(batch, [field] * len(batch), floor=0.0)):
            index = first + offset
            frames.append(SeenFrame(index, index / FRAMES_PER_SECOND, found))
    polyps = tuple(PolypTruth(number, boxes_xyxy=places) for number, places in sorted(boxes.items()))
    return JudgedClip(ClipTruth(still.path, still.name, still.group, polyps), tuple(frames))
