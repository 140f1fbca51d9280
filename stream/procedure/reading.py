"""A procedure as its event lines and the record of their run tell of it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import InputError
from engine.reading.bounded import MALFORMED, parse_json, read_bounded
from stream.frame import Detection, PictureState
from stream.record.event_sink import run_record_path
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.source import SourceKind

EVENTS, RECORD = "events.jsonl", "run.json"
"""Names of both files in a procedure's folder."""

PICTURE_S = 1.0
"""For which each picture is shown that has no time of its own, in seconds."""

OnShare = Callable[[float], object]
"""Told which share of something is done, 0 to 1."""

_AGAIN = "`polypstream detect SOURCE --events OUT.jsonl --candidates`"
_USUAL_STEP_S = 0.04
_TELL_EVERY = 1000  # lines


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of a procedure.

    Attributes:
        name: of the file.
        path: where it was when it was looked at; beside its events where it was moved with them.
        start_s: when it begins, in seconds of the procedure.
        first_frame: index of its first frame in the procedure.
        frames: that it has.
        duration_s: its length in seconds.
        size_bytes: of the file; None where the record does not say.
        sha256: of its first and last MiB and its size (`quick_digest`); None where the record does not say.
        stream: number of the video stream that was read; None for the one that shows the film.
        deinterlace: what became of interlaced video.
    """

    name: str
    path: Path
    start_s: float
    first_frame: int
    frames: int
    duration_s: float
    size_bytes: int | None
    sha256: str | None
    stream: int | None
    deinterlace: Deinterlace = Deinterlace.AUTO


@dataclass(frozen=True, slots=True)
class Sighting:
    """A polyp in one frame.

    Attributes:
        frame: index in the procedure.
        time_s: in the procedure.
        field_xyxy: field of view of the frame, in pixels.
        useful: whether the frame shows something useful.
        detection: what was shown.
    """

    frame: int
    time_s: float
    field_xyxy: tuple[int, int, int, int]
    useful: bool
    detection: Detection


@dataclass(frozen=True, slots=True)
class PictureFile:
    """Where a frame of pictures comes from.

    Attributes:
        name: of the file.
        page: of it, from 1.
        size_wh: width and height in pixels; None where the event does not say.
    """

    name: str
    page: int
    size_wh: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Procedure:
    """One examination.

    Attributes:
        name: of it.
        recordings: in order.
        times_s: float64 (frames,), when each frame is shown, in seconds of the procedure.
        states: of each frame.
        tracks: what was shown of each polyp over time, in order, by the number of its track.
        record: of the run.
        pictures: where each frame comes from; empty for a video.
        instruments: float64 (frames,), probability that a frame shows an instrument, NaN where nobody looked for one;
            None where nobody looked at all.
    """

    name: str
    recordings: tuple[Recording, ...]
    times_s: npt.NDArray[np.float64]
    states: tuple[PictureState, ...]
    tracks: Mapping[int, tuple[Sighting, ...]]
    record: Mapping[str, Any]
    pictures: tuple[PictureFile, ...] = ()
    instruments: npt.NDArray[np.float64] | None = None

    @property
    def end_s(self) -> float:
        """When it ends, in seconds."""
        last = self.recordings[-1]
        return last.start_s + last.duration_s

    @cached_property
    def durations_s(self) -> npt.NDArray[np.float64]:
        """How long each frame is shown: until the next one, or the end of its recording. Seconds, (frames,)."""
        following = np.append(self.times_s[1:], self.end_s)
        for recording in self.recordings:
            following[recording.first_frame + recording.frames - 1] = recording.start_s + recording.duration_s
        return np.maximum(following - self.times_s, 0.0)


def record_of(events: Path) -> Path:
    """Path of the record of the run that wrote event lines: of `detect`, else of a procedure's folder."""
    of_detect = run_record_path(events)
    return events.with_name(RECORD) if events.name == EVENTS and not of_detect.is_file() else of_detect


def are_pictures(record: Mapping[str, Any]) -> bool:
    """Whether a run looked at pictures, which need not belong together and have no times of their own."""
    return bool(record["source"].get("kind") != SourceKind.VIDEO.value)


def read_procedure(
    result: Path, *, needs_candidates: bool = True, pictures: bool = False, on_share: OnShare | None = None
) -> Procedure:
    """Reads the events of a procedure.

    Args:
        result: a procedure's folder, or the event lines of a run of `polypstream detect` over a video.
        needs_candidates: refuse events without candidates, which do not say what frames showed: all would be useful.
        pictures: whether pictures will do as well. Each is then shown for a second, and each detection in them is a
            track by itself.
        on_share: told again and again which share of the lines is read.

    Raises:
        InputError: there are none, they hold no candidates, are cut off, of another version, or of pictures.
    """
    if result.is_dir():
        events, name = result / EVENTS, result.resolve().name
        if not events.is_file():
            raise InputError(
                f"{str(result)!r} is no procedure's folder: it holds no {EVENTS}; give such a folder of a study's "
                f"results, or event lines of {_AGAIN}"
            )
    else:
        events, name = result, result.stem
    record_path = record_of(events)
    record = read_record(events, record_path, pictures=pictures)
    lines = _Lines(events, needs_candidates=needs_candidates, pictures=are_pictures(record))
    read = 0
    try:
        size = events.stat().st_size
        with events.open(encoding="utf-8") as file:
            for text in file:
                lines.add(text)
                read += len(text)
                if on_share is not None and len(lines.times_s) % _TELL_EVERY == 0:
                    on_share(min(read / size, 1.0))
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else "it is no text"
        raise InputError(f"cannot read {str(events)!r}: {said}; give event lines of {_AGAIN}") from error
    if not lines.times_s:
        raise InputError(f"{str(events)!r} tells of no frame; make it again with {_AGAIN}")
    times_s = np.array(lines.times_s)
    try:
        recordings = _recordings(record, times_s, np.array(lines.recordings), beside=events.parent)
        name = str(record.get("procedure") or name)
        instruments = None
        if record.get("instruments") is not None:
            float(record["instruments"]["threshold"])  # reports count by it
            instruments = np.array(lines.instruments)
    except MALFORMED as error:
        raise InputError(
            f"{str(record_path)!r} is no record of this version ({error!r}); make it again with {_AGAIN}"
        ) from error
    tracks = {key: tuple(seen) for key, seen in sorted(lines.tracks.items())}
    return Procedure(name, recordings, times_s, tuple(lines.states), tracks, record, tuple(lines.pictures), instruments)


class _Lines:
    """What event lines hold, gathered line by line."""

    def __init__(self, path: Path, *, needs_candidates: bool, pictures: bool) -> None:
        self._needs_candidates, self._pictures = needs_candidates, pictures
        self.times_s: list[float] = []
        self.recordings: list[int] = []
        self.states: list[PictureState] = []
        self.instruments: list[float] = []
        self.tracks: dict[int, list[Sighting]] = defaultdict(list)
        self.pictures: list[PictureFile] = []
        self._path = path

    def add(self, text: str) -> None:
        number = len(self.times_s) + 1
        try:
            event = parse_json(text)
        except ValueError as error:
            raise InputError(
                f"line {number} of {str(self._path)!r} is cut off or no JSON; make it again with {_AGAIN}"
            ) from error
        without = isinstance(event, dict) and "detections" in event and "candidates" not in event
        if without and self._needs_candidates:
            raise InputError(
                f"{str(self._path)!r} holds no candidates, so it does not say what frames showed; make it with {_AGAIN}"
            )
        try:
            self._take(event)
        except MALFORMED as error:
            raise InputError(
                f"line {number} of {str(self._path)!r} is no event line of this version ({error!r}); make it again "
                f"with {_AGAIN}"
            ) from error

    def _take(self, event: Mapping[str, Any]) -> None:
        frame, recording = int(event["frame"]), int(event.get("recording", 0))
        time_s = frame * PICTURE_S if self._pictures else float(event["time_s"])
        if frame != len(self.times_s):
            raise ValueError(f"it tells of frame {frame}, not {len(self.times_s)}: lines are missing or mixed")
        if self.times_s and (time_s < self.times_s[-1] or recording < self.recordings[-1]):
            raise ValueError(f"its time {time_s} lies before that of the line above")
        state = PictureState(event.get("state", PictureState.USEFUL))
        instrument = float(event.get("instrument", math.nan))
        left, top, right, bottom = map(int, event["field_of_view_xyxy"])
        useful = event.get("useful") is not False
        for one in event["detections"]:
            if self._pictures:
                one = {**one, "track_id": len(self.tracks) + 1}
            if one["track_id"] is not None:
                seen = Sighting(frame, time_s, (left, top, right, bottom), useful, detection_of(one))
                self.tracks[int(one["track_id"])].append(seen)
        if self._pictures:
            width, height = map(int, event.get("resolution_wh") or (0, 0))
            size_wh = (width, height) if width > 0 and height > 0 else None
            self.pictures.append(PictureFile(str(event["image"]), int(event.get("page", 1)), size_wh))
        self.times_s.append(time_s)
        self.recordings.append(recording)
        self.states.append(state)
        self.instruments.append(instrument)


def detection_of(record: Mapping[str, Any]) -> Detection:
    """A detection of a track as an event line tells of it."""
    x1, y1, x2, y2 = map(float, record["box_xyxy"])
    classes = record.get("classes")
    return Detection(
        (x1, y1, x2, y2),
        float(record["score"]),
        str(record["label"]),
        track_id=int(record["track_id"]),
        classes=None if classes is None else tuple((str(name), float(share)) for name, share in classes.items()),
        between=record.get("between") is True,
    )


def read_record(events: Path, path: Path, *, pictures: bool = False) -> Mapping[str, Any]:
    """Reads the record of a run over a video.

    Args:
        events: lines that it belongs to, for messages.
        path: of the record.
        pictures: whether one of pictures will do as well.

    Raises:
        InputError: there is none, it cannot be read, or it is of pictures.
    """
    try:
        record = parse_json(read_bounded(path))
    except FileNotFoundError as error:
        missing = events if not events.exists() else path
        raise InputError(
            f"no such file: {str(missing)!r}; a report takes event lines and, beside them, the record {path.name!r} of "
            f"their run, as {_AGAIN} makes them"
        ) from error
    except (OSError, ValueError, json.JSONDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"cannot read {str(path)!r}: {said}; make it again with {_AGAIN}") from error
    if not isinstance(record, dict) or not isinstance(record.get("source"), dict):
        raise InputError(f"{str(path)!r} is no record of a run; make it again with {_AGAIN}")
    if are_pictures(record) and not pictures:
        raise InputError(
            f"{str(events)!r} is of pictures and no video, so there are no times to report; give the events of a video"
        )
    return record


def _recordings(
    record: Mapping[str, Any], times_s: npt.NDArray[np.float64], of_frame: npt.NDArray[np.int64], *, beside: Path
) -> tuple[Recording, ...]:
    listed = record.get("recordings")
    if listed is None:
        source = record["source"]
        file = record.get("source_file") or {}
        listed = [{**file, "path": source["path"], "source": source, "start_s": 0.0}]
    if not isinstance(listed, list) or not listed:
        raise ValueError("it lists no recordings")
    found = []
    for number, one in enumerate(listed):
        own = np.flatnonzero(of_frame == number)
        if not len(own):
            raise ValueError(f"no line tells of recording {number}, {one['path']}")
        path, start_s = Path(str(one["path"])), float(one.get("start_s", 0.0))
        own_times = times_s[own]
        usual_s = PICTURE_S if are_pictures(record) else _USUAL_STEP_S
        step_s = float(np.median(np.diff(own_times))) if len(own) > 1 else usual_s
        told = one.get("duration_s")
        duration_s = float(own_times[-1]) + step_s - start_s if told is None else float(told)
        stream = (one.get("source") or {}).get("stream")
        found.append(
            Recording(
                name=str(one.get("name") or path.name),
                path=_where(path, beside),
                start_s=start_s,
                first_frame=int(own[0]),
                frames=len(own),
                duration_s=max(duration_s, float(own_times[-1]) - start_s),
                size_bytes=None if one.get("size_bytes") is None else int(one["size_bytes"]),
                sha256=None if one.get("sha256") is None else str(one["sha256"]),
                stream=None if stream is None else int(stream),
                deinterlace=Deinterlace.of_run(record),
            )
        )
    if of_frame.max() >= len(found):
        raise ValueError(f"lines tell of recording {int(of_frame.max())}, and it lists {len(found)}")
    return tuple(found)


def _where(path: Path, beside: Path) -> Path:
    """Where a recording is: where the record says; or, where it was moved with them, beside its events."""
    moved = beside / path.name
    return moved if not path.exists() and moved.is_file() else path
