"""What is to be found in clips: boxes frame by frame, or only from when to when a polyp is to be seen.

Three kinds of files say so.

* `NAME.truth.jsonl` beside a clip, a line a frame, with boxes; frames without a line are not judged::

      {"frame": 0, "polyps": [{"id": 1, "box_xyxy": [286, 283, 320, 323]}]}

* a list of clips, `*.json`, with intervals of frames (both ends belong to them). Videos are found from the folder of
  the list. `judged` leaves frames out of which it is not known what they show; a clip without polyps shows none;
  `"in_order": false` marks a clip whose frames are not in the order of time, which nobody can judge over time::

      {"clips": [
          {"video": "exam-1.mp4", "polyps": [{"id": 1, "frames": [[0, 360]]}], "judged": [[0, 360]]},
          {"video": "exam-2.avi", "polyps": [], "group": "patient 2"}]}

* `VIDEO.visible.csv` (`exam.mp4.visible.csv`) beside a video, or in a folder `video_labels` beside the folder of
  videos: intervals of frames in which the clip's polyp is to be seen (`polyp`), is not (`none`), or nobody can tell
  (`unsure`: not judged, as frames without a line). A line with the label `unordered`, which needs no frames, marks a
  clip whose frames are not in the order of time. `VIDEO.boxes.csv` beside it gives the polyp's box in some frames::

      first,last,label,remark                 frame,x0,y0,x1,y1
      0,366,polyp,with a stalk                0,40,35,150,185
      367,437,unsure,close-up                 25,98,22,205,160
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.reading.bounded import (
    DATA_BYTES,
    MALFORMED,
    number,
    parse_json,
    read_json_bounded,
    read_text_bounded,
    reason_of,
    shortened,
    whole_number,
)

#: Folder beside a folder of videos that holds their truth.
LABELS_FOLDER = "video_labels"
# What is a video in a folder of many things; any file that is named can be one.
_VIDEO_SUFFIXES = {
    *(".3gp", ".avi", ".dv", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv"),
    *(".ts", ".vob", ".webm", ".wmv"),
}
_VISIBLE, _BOXES = ".visible.csv", ".boxes.csv"
_POLYP, _NONE, _UNSURE, _UNORDERED = "polyp", "none", "unsure", "unordered"

_MOST_FRAMES = 1 << 31
_FARTHEST = 1e7  # pixels
BoxXyxy = tuple[float, float, float, float]
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class PolypTruth:
    """One polyp of a clip.

    Attributes:
        polyp_id: its number in the clip.
        frames: ranges of frames in which it is to be seen, both ends included.
        boxes_xyxy: its box in pixels, by frame; it is to be seen in these frames too. None when no box is known.
    """

    polyp_id: int
    frames: Ranges = ()
    boxes_xyxy: Mapping[int, BoxXyxy] | None = None

    def is_visible(self, frame: int) -> bool:
        """Whether it is to be seen in a frame."""
        return self.box_in(frame) is not None or _within(frame, self.frames)

    def box_in(self, frame: int) -> BoxXyxy | None:
        """Its box in a frame; None where it is not known, or not to be seen."""
        return None if self.boxes_xyxy is None else self.boxes_xyxy.get(frame)


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """What is to be found in one clip.

    Attributes:
        video: path of the clip.
        name: by which reports call it.
        group: clips of one patient or examination, which are no independent evidence of each other.
        polyps: none for a clip without.
        judged: ranges of frames that are judged, both ends included; None for all.
        in_order: False where the frames do not follow each other in time: nothing over time can be judged.
    """

    video: Path
    name: str
    group: str
    polyps: tuple[PolypTruth, ...] = ()
    judged: Ranges | None = None
    in_order: bool = True

    @property
    def unfit(self) -> str | None:
        """Why the clip cannot be judged over time; None when it can."""
        if not self.in_order:
            return "its frames are not in the order of time"
        return "it is known of none of its frames what they show" if self.judged == () else None

    @property
    def has_boxes(self) -> bool:
        """Whether it is known in every frame where the polyps are."""
        return all(polyp.boxes_xyxy is not None and not polyp.frames for polyp in self.polyps)

    @property
    def has_some_boxes(self) -> bool:
        """Whether it is known in any frame where a polyp is."""
        return any(polyp.boxes_xyxy for polyp in self.polyps)

    def is_judged(self, frame: int) -> bool:
        """Whether it is known what a frame shows."""
        return self.judged is None or _within(frame, self.judged)


def read_clip(video: Path) -> ClipTruth:
    """Reads the truth of a clip from the files beside it; boxes of every frame are read before intervals.

    Raises:
        InputError: there is none, or it cannot be used.
    """
    if not video.is_file():
        raise InputError(f"clip {str(video)!r} does not exist; check the path")
    path = truth_of(video)
    if path is None:
        names = f"{_boxes_of_all(video).name!r} or {video.name + _VISIBLE!r}"
        raise InputError(f"clip {str(video)!r} has no truth: write {names} beside it, or give a list of clips")
    return _read_visible(video, path) if path.name.endswith(_VISIBLE) else _read_boxes_of_all(video, path)


def truth_of(video: Path) -> Path | None:
    """The file that says what a clip shows, None where there is none."""
    return next((path for path in _truths(video) if path.is_file()), None)


def clips_in(folder: Path) -> tuple[list[ClipTruth], list[str]]:
    """Reads the clips of a folder that have a truth, and lists the names of the videos that have none.

    Args:
        folder: of videos; other files in it are passed over.

    Raises:
        InputError: a truth that cannot be used.
    """
    try:
        videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in _VIDEO_SUFFIXES and path.is_file())
    except OSError as error:
        raise InputError(f"cannot read {str(folder)!r}: {error.strerror or error}; check the path") from error
    clips = [read_clip(video) for video in videos if truth_of(video) is not None]
    often = Counter(clip.name for clip in clips)
    named = [replace(one, name=one.video.name, group=one.video.name) if often[one.name] > 1 else one for one in clips]
    return named, [video.name for video in videos if truth_of(video) is None]


def _truths(video: Path) -> tuple[Path, ...]:
    name = video.name + _VISIBLE
    return _boxes_of_all(video), video.with_name(name), video.absolute().parent.parent / LABELS_FOLDER / name


def _boxes_of_all(video: Path) -> Path:
    return video.with_suffix(".truth.jsonl")


def _read_visible(video: Path, path: Path) -> ClipTruth:
    """Reads intervals of frames with a label, and boxes of some frames."""
    ranges: dict[str, list[tuple[int, int]]] = {label: [] for label in (_POLYP, _NONE, _UNSURE)}
    in_order = True
    for line, row in enumerate(_rows(path, ("first", "last", "label")), start=2):
        label = row["label"]
        if label == _UNORDERED:
            in_order = False
            continue
        try:
            first, last = int(row["first"]), int(row["last"])
        except ValueError:
            first, last = 0, -1
        if label not in ranges or not 0 <= first <= last:
            raise InputError(
                f"line {line} of {str(path)!r} says no interval; write first,last,label with first <= last and the "
                f"label {_POLYP}, {_NONE}, {_UNSURE} or {_UNORDERED}"
            )
        if any(first <= end and begin <= last for known in ranges.values() for begin, end in known):
            raise InputError(f"line {line} of {str(path)!r} speaks of frames of a line before; name each frame once")
        ranges[label].append((first, last))
    judged = sorted(ranges[_POLYP] + ranges[_NONE])
    boxes = _read_some_boxes(path.with_name(video.name + _BOXES), tuple(ranges[_POLYP]), tuple(ranges[_NONE]))
    polyps = (PolypTruth(1, tuple(sorted(ranges[_POLYP])), boxes or None),) if ranges[_POLYP] else ()
    return ClipTruth(video, video.stem, video.stem, polyps, tuple(judged), in_order)


def _read_some_boxes(path: Path, polyp: Ranges, none: Ranges) -> dict[int, BoxXyxy]:
    """The boxes of the frames that show the polyp; empty without the file. Boxes of unsure frames are left out."""
    boxes: dict[int, BoxXyxy] = {}
    for line, row in enumerate(_rows(path, ("frame", "x0", "y0", "x1", "y1")) if path.is_file() else [], start=2):
        try:
            frame = int(row["frame"])
            x1, y1, x2, y2 = (float(row[side]) for side in ("x0", "y0", "x1", "y1"))
        except ValueError:
            frame, x1, y1, x2, y2 = -1, 0.0, 0.0, 0.0, 0.0
        if frame < 0 or not (math.isfinite(x1 + y1 + x2 + y2) and x1 < x2 and y1 < y2):
            raise InputError(
                f"line {line} of {str(path)!r} gives no box; write frame,x0,y0,x1,y1 with x0 < x1, y0 < y1"
            )
        if _within(frame, none):
            raise InputError(
                f"line {line} of {str(path)!r} has a box in frame {frame}, which shows no polyp; correct one"
            )
        if _within(frame, polyp):
            boxes[frame] = (x1, y1, x2, y2)
    return boxes


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The lines of a CSV file below its header, with spaces around values removed."""
    try:
        reader = csv.DictReader(read_text_bounded(path).splitlines(), skipinitialspace=True)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        rows = [] if missing else [{name: (row[name] or "").strip() for name in columns} for row in reader]
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; check the path") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{str(path)!r} is no table of text ({error}); write it again as UTF-8") from error
    if missing:
        raise InputError(f"{str(path)!r} has no column {missing[0]!r}; begin it with a line {','.join(columns)}")
    return rows


def _read_boxes_of_all(video: Path, path: Path) -> ClipTruth:
    """Reads a line for each frame, with the boxes of its polyps."""
    boxes: dict[int, dict[int, BoxXyxy]] = {}
    judged: list[int] = []
    for place, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
            frame = whole_number("frame", record["frame"], 0, _MOST_FRAMES)
            for polyp in record["polyps"]:
                x1, y1, x2, y2 = (number("a side", side, -_FARTHEST, _FARTHEST) for side in polyp["box_xyxy"])
                boxes.setdefault(int(polyp["id"]), {})[frame] = (x1, y1, x2, y2)
        except MALFORMED as error:
            raise InputError(
                f"line {place} of {str(path)!r} says no frame with its polyps ({reason_of(error)}); mend or delete it"
            ) from error
        judged.append(frame)
    if not judged:
        raise InputError(f"{str(path)!r} holds no frame; write a line for each")
    polyps = tuple(PolypTruth(polyp_id, boxes_xyxy=found) for polyp_id, found in sorted(boxes.items()))
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
        record = read_json_bounded(path, most_bytes=DATA_BYTES)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; check the path") from error
    except ValueError as error:
        raise InputError(f"{str(path)!r} is no JSON ({reason_of(error)}); write it again") from error
    if not isinstance(record, dict):
        raise InputError(f"{str(path)!r} holds a {type(record).__name__}; a JSON object is needed")
    return record


def _clip(path: Path, number: int, clip: Any) -> ClipTruth:
    where = f"clip {number} of {str(path)!r}"
    if not isinstance(clip, dict) or not isinstance(clip.get("video"), str) or not isinstance(clip.get("polyps"), list):
        raise InputError(f'{where} lacks "video" or "polyps" (an empty list when there is none)')
    video = path.parent / clip["video"]
    if not _exists(video):
        raise InputError(f"{where}: {str(video)!r} does not exist; videos are looked for from the folder of the list")
    try:
        polyps = tuple(
            PolypTruth(int(polyp.get("id", place)), _ranges(polyp["frames"], where))
            for place, polyp in enumerate(clip["polyps"], start=1)
        )
    except MALFORMED as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{where}: each polyp needs "frames", a list of [first, last] ({reason_of(error)})') from error
    judged = _ranges(clip["judged"], where) if clip.get("judged") is not None else None
    in_order = clip.get("in_order", True)
    if not isinstance(in_order, bool):
        raise InputError(f'{where}: "in_order" is true or false. Received: {in_order}')
    name = str(clip.get("name", video.stem))
    return ClipTruth(video, name, str(clip.get("group", name)), polyps, judged, in_order)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _lines(path: Path) -> list[str]:
    try:
        return read_text_bounded(path, most_bytes=DATA_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read ({reason_of(error)}); write it again") from error


def _ranges(value: Any, where: str) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for pair in value if isinstance(value, list) else [None]:
        match pair:
            case [int(first), int(last)] if 0 <= first <= last <= _MOST_FRAMES:
                ranges.append((first, last))
            case _:
                raise InputError(
                    f"{where}: frames are [[first, last], ...] from 0, first <= last. Received: {shortened(value)}"
                )
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
