"""What is to be found in clips: boxes frame by frame, or only from when to when a polyp is to be seen.

Two kinds of files say so.

* `NAME.truth.jsonl` beside a clip, a line a frame, with boxes; frames without a line are not judged::

      {"frame": 0, "polyps": [{"id": 1, "box_xyxy": [286, 283, 320, 323]}]}

* a list of clips, `*.json`, with intervals of frames (both ends belong to them). Videos are found from the folder of
  the list. `judged` leaves frames out of which it is not known what they show; a clip without polyps shows none::

      {"clips": [
          {"video": "exam-1.mp4", "polyps": [{"id": 1, "frames": [[0, 360]]}], "judged": [[0, 360]]},
          {"video": "exam-2.avi", "polyps": [], "group": "patient 2"}]}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError

BoxXyxy = tuple[float, float, float, float]
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class PolypTruth:
    """One polyp of a clip.

    Attributes:
        polyp_id: its number in the clip.
        frames: ranges of frames in which it is to be seen, both ends included; empty when there are boxes.
        boxes_xyxy: its box in each frame in which it is to be seen, in pixels; None when only `frames` are known.
    """

    polyp_id: int
    frames: Ranges = ()
    boxes_xyxy: Mapping[int, BoxXyxy] | None = None

    def is_visible(self, frame: int) -> bool:
        """Whether it is to be seen in a frame."""
        return _within(frame, self.frames) if self.boxes_xyxy is None else frame in self.boxes_xyxy


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """What is to be found in one clip.

    Attributes:
        video: path of the clip.
        name: by which reports call it.
        group: clips of one patient or examination, which are no independent evidence of each other.
        polyps: none for a clip without.
        judged: ranges of frames that are judged, both ends included; None for all.
    """

    video: Path
    name: str
    group: str
    polyps: tuple[PolypTruth, ...] = ()
    judged: Ranges | None = None

    @property
    def has_boxes(self) -> bool:
        """Whether it is known where the polyps are."""
        return all(polyp.boxes_xyxy is not None for polyp in self.polyps)

    def is_judged(self, frame: int) -> bool:
        """Whether it is known what a frame shows."""
        return self.judged is None or _within(frame, self.judged)


def read_clip(video: Path) -> ClipTruth:
    """Reads the truth that stands beside a clip.

    Raises:
        InputError: there is none, or it cannot be used.
    """
    path = video.with_suffix(".truth.jsonl")
    if not video.is_file():
        raise InputError(f"clip {str(video)!r} does not exist; check the path")
    if not path.is_file():
        raise InputError(f"clip {str(video)!r} has no truth: write {path.name!r} beside it, or give a list of clips")
    boxes: dict[int, dict[int, BoxXyxy]] = {}
    judged: list[int] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            frame = int(record["frame"])
            for polyp in record["polyps"]:
                x1, y1, x2, y2 = (float(side) for side in polyp["box_xyxy"])
                boxes.setdefault(int(polyp["id"]), {})[frame] = (x1, y1, x2, y2)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"line {number} of {str(path)!r} says no frame with its polyps: {error!r}") from error
        judged.append(frame)
    if not judged:
        raise InputError(f"{str(path)!r} holds no frame; write a line for each")
    polyps = tuple(PolypTruth(number, boxes_xyxy=found) for number, found in sorted(boxes.items()))
    return ClipTruth(video, video.stem, video.stem, polyps, _as_ranges(sorted(judged)))


def read_clip_list(path: Path, record: Mapping[str, Any] | None = None) -> list[ClipTruth]:
    """Reads a list of clips.

    Args:
        path: of the list.
        record: what it holds, when it was read already.

    Raises:
        InputError: it cannot be read, names a video that does not exist, or an interval that is none.
    """
    record = read_json(path) if record is None else record
    clips = record.get("clips")
    if not isinstance(clips, list) or not clips:
        raise InputError(f'{str(path)!r} lists no clips; it has to hold {{"clips": [{{"video": ..., "polyps": ...}}]}}')
    truths = [_clip(path, number, clip) for number, clip in enumerate(clips, start=1)]
    twice = [name for name, count in Counter(truth.name for truth in truths).items() if count > 1]
    if twice:
        raise InputError(f'{str(path)!r} calls two clips {twice[0]!r}; give each a "name" of its own')
    return truths


def read_json(path: Path) -> Mapping[str, Any]:
    """Reads a JSON file that holds an object.

    Raises:
        InputError: it does not exist, or is something else.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; check the path") from error
    except ValueError as error:
        raise InputError(f"{str(path)!r} is no JSON ({error}); write it again") from error
    if not isinstance(record, dict):
        raise InputError(f"{str(path)!r} holds a {type(record).__name__}; a JSON object is needed")
    return record


def _clip(path: Path, number: int, clip: Any) -> ClipTruth:
    where = f"clip {number} of {str(path)!r}"
    if not isinstance(clip, dict) or not isinstance(clip.get("video"), str) or not isinstance(clip.get("polyps"), list):
        raise InputError(f'{where} lacks "video" or "polyps" (an empty list when there is none)')
    video = path.parent / clip["video"]
    if not video.exists():
        raise InputError(f"{where}: {str(video)!r} does not exist; videos are looked for from the folder of the list")
    try:
        polyps = tuple(
            PolypTruth(int(polyp.get("id", place)), _ranges(polyp["frames"], where))
            for place, polyp in enumerate(clip["polyps"], start=1)
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{where}: each polyp needs "frames", a list of [first, last]; {error!r}') from error
    judged = _ranges(clip["judged"], where) if clip.get("judged") is not None else None
    name = str(clip.get("name", video.stem))
    return ClipTruth(video, name, str(clip.get("group", name)), polyps, judged)


def _ranges(value: Any, where: str) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for pair in value if isinstance(value, list) else [None]:
        match pair:
            case [int(first), int(last)] if 0 <= first <= last:
                ranges.append((first, last))
            case _:
                raise InputError(f"{where}: frames are [[first, last], ...] from 0, first <= last. Received: {value}")
    return tuple(ranges)


def _as_ranges(frames: list[int]) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for frame in frames:
        if ranges and frame <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], frame)
        else:
            ranges.append((frame, frame))
    return tuple(ranges)


def _within(frame: int, ranges: Ranges) -> bool:
    return any(first <= frame <= last for first, last in ranges)
