"""How often the box of a polyp goes out on real clips: with candidates of the threshold alone, and by the rule in use.

    python -m benchmarks.flicker --data DATA [--model polyp] [--name flicker]

DATA holds `videos/NAME` and `video_labels/NAME.visible.csv`: intervals of frames (`first,last,label`, both ends
included) in which a polyp is to be seen (`polyp`), is not (`none`), or nobody can tell (`unsure`, which counts neither
way). Where `NAME.boxes.csv` gives the polyp's box for some frames, it is counted how often a shown box has its centre
there. Each clip is looked at once; both rules decide over the same candidates. Writes `benchmarks/results/NAME.json`.

* `threshold_alone`: only candidates from the threshold on are looked at, as recordings were until now.
* `continued`: weaker candidates continue tracks (`stream.decision.rule`).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.environment import write_result
from engine.errors import InputError
from engine.runtime import RuntimeSettings
from stream.decision.rule import Decision, DecisionRule, decision_rule
from stream.detection.detector import Detector
from stream.frame import Detection
from stream.sources.opening import open_source
from stream.view.tracker import FieldOfViewTracker

#: Their frames are not in order of time: nothing over time can be judged on them.
NOT_IN_ORDER = ("polypgen_positive_seq16", "polypgen_positive_seq18", "polypgen_positive_seq20")
POLYP, NONE, UNSURE = "polyp", "none", "unsure"
_LONG_EVENT_S = 0.5

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip and what is known of it: the label of each frame, and the polyp's box in some."""

    video: Path
    labels: Mapping[int, str]
    boxes_xyxy: Mapping[int, Box]


@dataclass(frozen=True, slots=True)
class Seen:
    """The candidates of one frame, down to the rule's floor."""

    index: int
    time_s: float
    candidates: tuple[Detection, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Decide over every clip by both rules and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with `videos` and `video_labels`")
    parser.add_argument("--model", default="polyp", help="shipped model or bundle")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")
    parser.add_argument("--name", default="flicker", help="write benchmarks/results/NAME.json")
    options = parser.parse_args(arguments)

    clips = read_clips(options.data)
    found: dict[str, dict[str, Any]] = {}
    with Detector.open(options.model, settings=RuntimeSettings(streams=1, threads=options.threads)) as detector:
        rule = decision_rule(detector.threshold)
        rules = {"threshold_alone": replace(rule, floor=rule.threshold), "continued": rule}
        for clip in clips:
            frames = look_at(clip, detector, rule.floor)
            found[clip.video.name] = {name: figures(clip, frames, one) for name, one in rules.items()}
            lines = (f"{name}: {one}" for name, one in found[clip.video.name].items())
            print(clip.video.name, *lines, sep="\n  ", flush=True)
        ran = detector.runtime.description
        bundle = detector.bundle
    together = {name: _together([one[name] for one in found.values()]) for name in rules}
    record = {
        "model": {"name": bundle.name, "threshold": bundle.threshold, "runtime": ran.name, "precision": ran.precision},
        "rules": {name: asdict(one) for name, one in rules.items()},
        "clips": found,
        "together": together,
    }
    for name, one in together.items():
        print(f"together, {name}: {one}")
    print(write_result(options.name, record))
    return 0


def read_clips(data: Path) -> list[Clip]:
    """The labelled clips of a folder whose frames are in order of time.

    Raises:
        InputError: there is none.
    """
    clips = []
    for path in sorted((data / "video_labels").glob("*.visible.csv")):
        video = data / "videos" / path.name.removesuffix(".visible.csv")
        if video.is_file() and video.stem not in NOT_IN_ORDER:
            labels = {
                index: row["label"] for row in _rows(path) for index in range(int(row["first"]), int(row["last"]) + 1)
            }
            boxes = {
                int(row["frame"]): (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"]))
                for row in _rows(path.with_name(f"{video.name}.boxes.csv"))
            }
            clips.append(Clip(video, labels, boxes))
    if not clips:
        raise InputError(f"{str(data)!r} holds no video with its labels; see the top of benchmarks/flicker.py")
    return clips


def look_at(clip: Clip, detector: Detector, floor: float) -> list[Seen]:
    """The candidates of every frame of a clip, its field of view followed over time."""
    fields = FieldOfViewTracker()
    with open_source(clip.video) as source:
        frames = []
        for frame in source:
            field = fields.update(frame.image, frame.time_s)
            frames.append(Seen(frame.index, frame.time_s, detector.detect([frame.image], [field], floor=floor)[0]))
        return frames


def figures(clip: Clip, frames: Sequence[Seen], rule: DecisionRule) -> dict[str, Any]:
    """What a rule shows over a clip.

    Args:
        clip: with its labels.
        frames: of the clip, with candidates down to the rule's floor or further.
        rule: by which boxes are shown.
    """
    decision = Decision(rule)
    shown: dict[int, tuple[Detection, ...]] = {}
    for frame in frames:
        candidates = [one for one in frame.candidates if one.score >= rule.floor]
        tracked = decision.update(candidates, frame.time_s)
        shown[frame.index] = tuple(one for one in tracked if one.track_id is not None)
    times = {frame.index: frame.time_s for frame in frames}
    step_s = (frames[-1].time_s - frames[0].time_s) / max(len(frames) - 1, 1)
    by_label = {label: [i for i in shown if clip.labels.get(i) == label] for label in (POLYP, NONE, UNSURE)}
    with_box = {label: [i for i in indices if shown[i]] for label, indices in by_label.items()}
    events = runs(with_box[NONE])
    known = [index for index in clip.boxes_xyxy if clip.labels.get(index) == POLYP and index in shown]
    return {
        "frames": len(frames),
        "seconds": round(len(frames) * step_s, 2),
        "polyp_frames": len(by_label[POLYP]),
        "polyp_frames_with_box": len(with_box[POLYP]),
        "polyp_share_with_box": _share(len(with_box[POLYP]), len(by_label[POLYP])),
        "gaps": len(runs([index for index in by_label[POLYP] if not shown[index]])),
        "none_frames": len(by_label[NONE]),
        "none_frames_with_box": len(with_box[NONE]),
        "false_events": len(events),
        "false_events_from_0.5_s": sum(
            times[last] - times[first] + step_s >= _LONG_EVENT_S - 1e-6 for first, last in events
        ),
        "unsure_frames": len(by_label[UNSURE]),
        "unsure_frames_with_box": len(with_box[UNSURE]),
        "known_boxes": len(known),
        "known_boxes_hit": sum(any(_is_on(one, clip.boxes_xyxy[i]) for one in shown[i]) for i in known),
        "tracks": len({one.track_id for found in shown.values() for one in found}),
    }


def runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of frames that follow each other; `indices` rise."""
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _is_on(detection: Detection, box_xyxy: Box) -> bool:
    x1, y1, x2, y2 = detection.box_xyxy
    left, top, right, bottom = box_xyxy
    return left <= (x1 + x2) / 2 < right and top <= (y1 + y2) / 2 < bottom


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _together(clips: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sums = {key: round(sum(one[key] for one in clips), 2) for key in clips[0] if key != "polyp_share_with_box"}
    return {**sums, "polyp_share_with_box": _share(sums["polyp_frames_with_box"], sums["polyp_frames"])}


if __name__ == "__main__":
    raise SystemExit(main())
