"""Measure the tracker against small libraries, on made-up colonoscopy with exact truth.

    python -m benchmarks.tracking --name tracking

Libraries that are not installed are left out with a note. To compare with all of them:
`pip install trackers motpy norfair` (norfair asks for an older numpy; it runs with the newer one).
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from benchmarks.environment import write_result
from benchmarks.tracking_scenes import Scene, SceneFrame
from engine.arrays import Float64s
from engine.boxes import iou
from stream.decision.tracking import Tracker, TrackerSettings
from stream.frame import Detection

RATES = (5, 25, 60)
FOUND = 0.5
LIBRARIES = ("trackers", "supervision", "norfair", "motpy", "filterpy", "scipy", "numpy")
MATCH_IOU = 0.3
Output = list[tuple[Float64s, int]]


class Tracked(Protocol):
    """A tracker under test."""

    def update(self, frame: SceneFrame) -> Output:
        """Boxes and numbers that a viewer would see in this frame."""


class Own:
    """`stream.decision.tracking.Tracker`."""

    def __init__(self, **settings: Any) -> None:
        self._tracker = Tracker(TrackerSettings(found_threshold=FOUND, **settings))

    def update(self, frame: SceneFrame) -> Output:
        detections = [
            Detection((box[0], box[1], box[2], box[3]), score)
            for box, score in zip(frame.boxes_xyxy.tolist(), frame.scores.tolist(), strict=True)
        ]
        tracked = self._tracker.update(detections, frame.time_s)
        return [(np.array(d.box_xyxy), d.track_id) for d in tracked if d.track_id is not None]


class TrackersLibrary:
    """A tracker of Roboflow's `trackers`, which takes times instead of frames too."""

    def __init__(self, name: str, frames_per_s: int, **options: Any) -> None:
        supervision, trackers = import_module("supervision"), import_module("trackers")
        self._detections = supervision.Detections
        self._tracker = getattr(trackers, name)(
            lost_track_buffer=30,
            frame_rate=frames_per_s,
            minimum_consecutive_frames=1,
            high_conf_det_threshold=FOUND,
            iou=trackers.GIoU() if options.pop("giou", False) else None,
            **options,
        )

    def update(self, frame: SceneFrame) -> Output:
        given = self._detections(xyxy=frame.boxes_xyxy, confidence=frame.scores)
        tracked = self._tracker.update(given, timestamp=frame.time_s)
        pairs = zip(tracked.xyxy, tracked.tracker_id, strict=True)
        return [(box.astype(np.float64), int(number)) for box, number in pairs if number >= 0]


class Norfair:
    """`norfair`: one stage, gets the detections above the threshold."""

    def __init__(self, frames_per_s: int, distance: str, threshold: float) -> None:
        norfair = import_module("norfair")
        self._detection = norfair.Detection
        self._tracker = norfair.Tracker(distance, threshold, hit_counter_max=frames_per_s, initialization_delay=0)

    def update(self, frame: SceneFrame) -> Output:
        certain = frame.scores >= FOUND
        given = [self._detection(box.reshape(2, 2)) for box in frame.boxes_xyxy[certain].astype(np.float64)]
        tracked = self._tracker.update(given)
        # Only objects seen in this frame: all trackers are compared on what was detected.
        return [(o.estimate.ravel(), o.id) for o in tracked if any(o.last_detection is d for d in given)]


class Motpy:
    """`motpy`: one stage, Kalman filter and IoU, gets the detections above the threshold."""

    def __init__(self, frames_per_s: int, min_iou: float) -> None:
        motpy = import_module("motpy")
        self._detection = motpy.Detection
        self._tracker = motpy.MultiObjectTracker(
            dt=1 / frames_per_s,
            matching_fn_kwargs={"min_iou": min_iou},
            tracker_kwargs={"max_staleness": float(frames_per_s)},
        )
        self._numbers: dict[str, int] = {}
        self._hits: dict[str, int] = {}

    def update(self, frame: SceneFrame) -> Output:
        certain = frame.scores >= FOUND
        boxes, scores = frame.boxes_xyxy[certain].astype(np.float64), frame.scores[certain]
        self._tracker.step([self._detection(box, float(s)) for box, s in zip(boxes, scores, strict=True)])
        seen = [t for t in self._tracker.trackers if t.steps_positive > self._hits.get(t.id, 0)]
        self._hits = {t.id: t.steps_positive for t in self._tracker.trackers}
        return [(np.array(t.box()), self._numbers.setdefault(t.id, len(self._numbers) + 1)) for t in seen]


Maker = Callable[[int], Tracked]


def contestants() -> dict[str, Maker]:
    """Each tracker by name, made for a frame rate. Libraries stand with their usual and their best setting tried."""
    return {
        "own": lambda rate: Own(),
        "own, 2 hits to confirm": lambda rate: Own(confirm_hits=2),
        "own, 3 hits to confirm": lambda rate: Own(confirm_hits=3),
        "trackers ByteTrack, IoU 0.1": lambda rate: TrackersLibrary(
            "ByteTrackTracker", rate, track_activation_threshold=FOUND, minimum_iou_threshold=0.1
        ),
        "trackers ByteTrack, GIoU -0.5": lambda rate: TrackersLibrary(
            "ByteTrackTracker", rate, track_activation_threshold=FOUND, minimum_iou_threshold=-0.5, giou=True
        ),
        "trackers OC-SORT, IoU 0.1": lambda rate: TrackersLibrary("OCSORTTracker", rate, minimum_iou_threshold=0.1),
        "trackers OC-SORT, GIoU -0.7": lambda rate: TrackersLibrary(
            "OCSORTTracker", rate, minimum_iou_threshold=-0.7, giou=True
        ),
        "norfair, IoU 0.1": lambda rate: Norfair(rate, "iou", 0.9),
        "norfair, corners 250 px": lambda rate: Norfair(rate, "mean_euclidean", 250.0),
        "motpy, IoU 0.1": lambda rate: Motpy(rate, 0.1),
    }


class Tally:
    """Counts what a tracker gets right and wrong, over all scenes of one frame rate."""

    def __init__(self) -> None:
        self.minutes = 0.0
        self.visible = self.covered = self.switches = self.swaps = self.breaks = 0
        self.false_tracks = self.tracks = 0
        self.numbers_per_visit: list[int] = []
        self.overlaps: list[float] = []
        self.steps: list[float] = []
        self.frame_s: list[float] = []

    def run(self, tracker: Tracked, frames: Sequence[SceneFrame]) -> None:
        """Feed one scene to a fresh tracker and count."""
        last_number: dict[int, int] = {}
        numbers: dict[int, set[int]] = defaultdict(set)
        visits: dict[int, set[int]] = {}
        last_error: dict[int, tuple[float, Float64s]] = {}
        shown_before: set[int] = set()
        for frame in frames:
            start = time.perf_counter()
            output = tracker.update(frame)
            self.frame_s.append(time.perf_counter() - start)
            for _, number in output:
                visits.setdefault(number, set())  # stays empty for a track that never stands for a polyp
            shown: set[int] = set()
            for visit, (box, number), overlap, truth in match(frame, output):
                shown.add(visit)
                self.overlaps.append(overlap)
                self.switches += last_number.get(visit, number) != number
                self.breaks += visit in last_number and visit not in shown_before
                last_number[visit] = number
                numbers[visit].add(number)
                visits[number].add(visit)
                error = (box - truth) / np.sqrt((truth[2] - truth[0]) * (truth[3] - truth[1]))
                if visit in shown_before:
                    self.steps.append(float(np.abs(error - last_error[visit][1]).mean()))
                last_error[visit] = (frame.time_s, error)
            shown_before = shown
            self.visible += len(frame.truths)
            self.covered += len(shown)
        self.minutes += frames[-1].time_s / 60
        self.tracks += len(visits)
        self.false_tracks += sum(not v for v in visits.values())
        self.swaps += sum(max(len(v) - 1, 0) for v in visits.values())
        self.numbers_per_visit += [len(n) for n in numbers.values()]

    def figures(self) -> dict[str, float]:
        """The counts as figures; see `MEANING`."""
        return {
            "switches_per_min": round(self.switches / self.minutes, 2),
            "numbers_per_visit": round(float(np.mean(self.numbers_per_visit)), 3),
            "swaps_per_min": round(self.swaps / self.minutes, 2),
            "false_tracks_per_min": round(self.false_tracks / self.minutes, 2),
            "breaks_per_min": round(self.breaks / self.minutes, 2),
            "covered": round(self.covered / self.visible, 4),
            "mean_iou": round(float(np.mean(self.overlaps)), 4),
            "jitter_percent": round(100 * float(np.mean(self.steps)), 3),
            "frame_us_p50": round(1e6 * float(np.percentile(self.frame_s, 50)), 1),
            "frame_us_p99": round(1e6 * float(np.percentile(self.frame_s, 99)), 1),
        }


MEANING = {
    "switches_per_min": "a polyp's number changed while it was in the picture (absences up to 1 s included)",
    "numbers_per_visit": "numbers that one visit of a polyp to the picture got; 1 is right",
    "swaps_per_min": "a number that stood for one polyp was given to another, or to a later visit of the same",
    "false_tracks_per_min": "numbers that never stood for a polyp",
    "breaks_per_min": "a polyp was marked, not marked in some frame, and marked again",
    "covered": "share of visible polyps that a numbered box marks (IoU at least 0.3)",
    "mean_iou": "overlap of these boxes with the truth",
    "jitter_percent": "mean change of a side's error from frame to frame, percent of the polyp's size",
    "frame_us_p50": "time for one frame in microseconds, conversion to the library's types included",
}


def match(frame: SceneFrame, output: Output) -> list[tuple[int, tuple[Float64s, int], float, Float64s]]:
    """Pairs of polyps and shown boxes, best overlap first: visit, (box, number), overlap, true box."""
    pairs = [
        (float(iou(truth.box_xyxy, box)), t, o)
        for t, truth in enumerate(frame.truths)
        for o, (box, _) in enumerate(output)
    ]
    matched, used_truths, used_outputs = [], set(), set()
    for value, t, o in sorted(pairs, reverse=True):
        if value >= MATCH_IOU and t not in used_truths and o not in used_outputs:
            used_truths.add(t)
            used_outputs.add(o)
            matched.append((frame.truths[t].visit, output[o], value, frame.truths[t].box_xyxy))
    return matched


def detector_alone(frames: Sequence[SceneFrame], tally: Tally) -> None:
    """The detections as they are, each numbered by the polyp it hits best: the ceiling, and the jitter to beat."""

    class Alone:
        def update(self, frame: SceneFrame) -> Output:
            certain = [(box.astype(np.float64), -1) for box in frame.boxes_xyxy[frame.scores >= FOUND]]
            return [(pair[0], visit) for visit, pair, _, _ in match(frame, certain)]

    tally.run(Alone(), frames)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all contestants at all rates and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="write benchmarks/results/NAME.json")
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--duration-s", type=float, default=15.0)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only contestants whose name holds this")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)  # norfair advises on speed with every tracker made

    scenes = [Scene(options.first_seed + i, options.duration_s) for i in range(options.scenes)]
    results: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    left_out: dict[str, str] = {}
    for rate in RATES:
        recordings = [scene.frames(rate) for scene in scenes]
        tally = Tally()
        for frames in recordings:
            detector_alone(frames, tally)
        results["detections alone"][str(rate)] = tally.figures()
        for name, make in contestants().items():
            if options.only not in name or name in left_out:
                continue
            tally = Tally()
            try:
                for frames in recordings:
                    tally.run(make(rate), frames)
            except ImportError as error:
                left_out[name] = str(error)
                continue
            results[name][str(rate)] = tally.figures()

    for name, by_rate in results.items():
        for rate_name, figures in by_rate.items():
            print(f"{name:30} {rate_name:>3} fps", *(f"{key} {value}" for key, value in figures.items()), sep="  ")
    for name, reason in left_out.items():
        print(f"{name}: left out ({reason})", file=sys.stderr)
    if options.name:
        record: dict[str, Any] = {
            "scenes": options.scenes,
            "duration_s": options.duration_s,
            "first_seed": options.first_seed,
            "meaning": MEANING,
            "libraries": {name: metadata.version(name) for name in LIBRARIES if find_spec(name)},
            "left_out": left_out,
            "results": results,
        }
        write_result(options.name, record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
