"""Made-up colonoscopy for measuring trackers: where polyps are, and what a detector makes of them.

A scene lives in continuous time (300 steps a second), so that the very same movement, misses and false alarms are seen
at 5, 25 and 60 frames/s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.arrays import Float64s
from stream.detection.merging import merge_boxes

WIDTH, HEIGHT = 640, 480
STEPS_PER_S = 300
_STEP_S = 1.0 / STEPS_PER_S
# A polyp that was out of the picture for longer comes back under a new number rightly.
_VISIT_GAP_S = 1.0


@dataclass(frozen=True)
class Truth:
    """A polyp in one frame: the number of its visit to the picture (new after a second of absence), and its box."""

    visit: int
    box_xyxy: Float64s


@dataclass(frozen=True)
class SceneFrame:
    """What stands in one frame, and the candidates that a detector gives for it (after merging)."""

    time_s: float
    truths: tuple[Truth, ...]
    boxes_xyxy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Object:
    """A polyp or a false alarm over all steps: its boxes, the detector's boxes and scores (0: not detected)."""

    boxes: Float64s
    detected_boxes: Float64s
    scores: Float64s
    visits: npt.NDArray[np.int64]  # -1 where it is no polyp in the picture


class Scene:
    """One made-up recording.

    Args:
        seed: what makes it differ from others.
        duration_s: its length in seconds.
    """

    def __init__(self, seed: int, duration_s: float) -> None:
        self._seed = seed
        self._random = np.random.default_rng(seed)
        self._steps = round(duration_s * STEPS_PER_S)
        self._camera, self._speed = self._move_camera()
        self._zoom = np.exp(self._glide(0.25, 1.0, columns=1))
        first_visit = 0
        self._objects: list[_Object] = []
        for centre, size in self._place_polyps():
            polyp = self._polyp(centre, size, first_visit)
            first_visit = max(first_visit, int(polyp.visits.max()) + 1)
            self._objects.append(polyp)
        for _ in range(self._random.poisson(0.4 * duration_s)):
            self._objects.append(self._false_alarm())

    def frames(self, frames_per_s: int) -> list[SceneFrame]:
        """The scene as a detector sees it at a rate that divides 300."""
        random = np.random.default_rng((self._seed, frames_per_s))
        frames = []
        for step in range(0, self._steps, STEPS_PER_S // frames_per_s):
            truths = tuple(Truth(int(o.visits[step]), o.boxes[step]) for o in self._objects if o.visits[step] >= 0)
            found = [(o.detected_boxes[step], o.scores[step]) for o in self._objects if o.scores[step] > 0]
            found += [self._weak_candidate(random) for _ in range(random.poisson(4))]
            boxes = np.array([box for box, _ in found], dtype=np.float32).reshape(-1, 4)
            scores = np.array([score for _, score in found], dtype=np.float32)
            frames.append(SceneFrame(step * _STEP_S, truths, *merge_boxes(boxes, scores)))
        return frames

    def _wander(self, deviation: float, time_constant_s: float, columns: int | None = None) -> Float64s:
        """A random movement about zero (Ornstein-Uhlenbeck process), (steps,) or (steps, columns)."""
        keep = math.exp(-_STEP_S / time_constant_s)
        noise = self._random.normal(0, deviation, (self._steps, columns or 1))
        values = np.empty_like(noise)
        value = noise[0]
        for step in range(self._steps):
            value = keep * value + math.sqrt(1 - keep * keep) * noise[step]
            values[step] = value
        return values if columns else values[:, 0]

    def _glide(self, deviation: float, time_constant_s: float, columns: int) -> Float64s:
        """Like `_wander`, but without its rough edges: a second low-pass, as of something that has mass."""
        rough = self._wander(math.sqrt(2) * deviation, time_constant_s, columns)
        keep = math.exp(-_STEP_S / time_constant_s)
        for step in range(1, self._steps):
            rough[step] = keep * rough[step - 1] + (1 - keep) * rough[step]
        return rough

    def _bursts(self, per_s: float, duration_s: float) -> npt.NDArray[np.bool_]:
        """Stretches of time that begin at random and last about `duration_s`."""
        active = np.zeros(self._steps, dtype=bool)
        for start in np.flatnonzero(self._random.random(self._steps) < per_s * _STEP_S):
            active[start : start + 1 + int(self._random.exponential(duration_s) * STEPS_PER_S)] = True
        return active

    def _move_camera(self) -> tuple[Float64s, Float64s]:
        """Drift, jerks of up to two picture widths a second, and a hand that brings the polyps back into view."""
        velocity = self._glide(60.0, 0.3, columns=2)
        for start in np.flatnonzero(self._random.random(self._steps) < 0.4 * _STEP_S):
            angle, speed = self._random.uniform(0, 2 * math.pi), self._random.uniform(300, 1200)
            length = int(self._random.uniform(0.08, 0.25) * STEPS_PER_S)
            velocity[start : start + length] += speed * np.array([math.cos(angle), math.sin(angle)])
        camera = np.zeros((self._steps, 2))
        for step in range(1, self._steps):
            camera[step] = camera[step - 1] * (1 - 0.5 * _STEP_S) + velocity[step] * _STEP_S
        return camera, np.hypot(velocity[:, 0], velocity[:, 1])

    def _place_polyps(self) -> list[tuple[Float64s, Float64s]]:
        """One to three polyps apart from each other: centre and size at zoom 1."""
        placed: list[tuple[Float64s, Float64s]] = []
        while len(placed) < 1 or (len(placed) < 3 and self._random.random() < 0.6):
            size = np.exp(self._random.uniform(math.log(0.1), math.log(0.35))) * HEIGHT
            wh = size * np.exp(self._random.uniform(-0.18, 0.18) * np.array([1.0, -1.0]))
            centre = self._random.uniform((-220, -160), (220, 160))
            if all(np.linalg.norm(centre - c) > 0.6 * (wh.max() + s.max()) for c, s in placed):
                placed.append((centre, wh))
        return placed

    def _place(self, centre: Float64s, size: Float64s) -> Float64s:
        """Boxes of something fixed to the colon's wall, (steps, 4), not yet cut at the picture's edge."""
        middle = np.array([WIDTH, HEIGHT]) / 2 + (centre + self._camera) * self._zoom
        half = size / 2 * self._zoom
        return np.concatenate([middle - half, middle + half], axis=1)

    def _polyp(self, centre: Float64s, size: Float64s, first_visit: int) -> _Object:
        sway = self._glide(6.0, 0.4, columns=2)
        whole = self._place(centre, size) + np.tile(sway, (1, 2))
        boxes = _cut(whole)
        visible = _areas(boxes) > 0.4 * _areas(whole)

        visits = np.full(self._steps, -1)
        visit, last = first_visit - 1, -math.inf
        for step in np.flatnonzero(visible).tolist():
            visit += (step - last) * _STEP_S > _VISIT_GAP_S
            visits[step], last = visit, step

        # The detector's error has a slow part, a part that is new in each frame, and now and then only half the polyp.
        sizes = np.tile(whole[:, 2:] - whole[:, :2], (1, 2))
        error = self._wander(0.025, 0.15, columns=4) + self._random.normal(0, 0.025, (self._steps, 4))
        detected = whole + error * sizes
        halved = self._random.random(self._steps) < 0.03
        sides = self._random.integers(0, 4, self._steps)
        detected[halved, sides[halved]] = ((whole[:, :2] + whole[:, 2:]) / 2)[halved, sides[halved] % 2]
        log_odds = 2.2 + self._wander(1.2, 0.3) - 2.5 * (self._speed > 400)
        hidden = self._bursts(0.6, 0.12) | self._bursts(0.08, 0.5) | (self._random.random(self._steps) < 0.03)
        scores = np.where(visible & ~hidden, 1 / (1 + np.exp(-log_odds)), 0.0)
        return _Object(boxes, _cut(detected), scores, visits)

    def _false_alarm(self) -> _Object:
        """Something that fires for about a tenth of a second, fixed to the wall."""
        centre = self._random.uniform((-300, -220), (300, 220)) - self._camera[self._random.integers(self._steps)]
        boxes = _cut(self._place(centre, np.exp(self._random.uniform(3.5, 5.0, 2))))
        log_odds = self._random.normal(0.3, 0.8) + self._wander(0.5, 0.1)
        start = self._random.integers(self._steps)
        active = np.zeros(self._steps, dtype=bool)
        active[start : start + 1 + int(self._random.exponential(0.1) * STEPS_PER_S)] = True
        scores = np.where(active & (_areas(boxes) > 0), 1 / (1 + np.exp(-log_odds)), 0.0)
        return _Object(boxes, boxes, scores, np.full(self._steps, -1))

    @staticmethod
    def _weak_candidate(random: np.random.Generator) -> tuple[Float64s, float]:
        centre, size = random.uniform((0, 0), (WIDTH, HEIGHT)), np.exp(random.uniform(3.2, 5.2, 2))
        return _cut(np.concatenate([centre - size / 2, centre + size / 2])), random.uniform(0.02, 0.35)


def _cut(boxes: Float64s) -> Float64s:
    """Boxes cut at the picture's edge."""
    return np.clip(boxes, 0, np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], dtype=np.float64))


def _areas(boxes: Float64s) -> Float64s:
    areas: Float64s = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return areas
