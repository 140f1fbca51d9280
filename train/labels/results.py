"""What `polypstream detect` and `study` found, as labels to be corrected elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.reading.bounded import MALFORMED, number, parse_json, read_json_bounded, reason_of, whole_number
from stream.record.event_sink import EVENT_SUFFIXES, run_record_path
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.source import SourceKind
from train.data.video_truth import BoxXyxy
from train.labels.finding import Finder
from train.labels.judged import Judged, JudgedFrames, Judges
from train.labels.label_set import Footage, Label, LabelledPicture

#: Files of one procedure of a study.
_EVENTS, _RECORD = "events.jsonl", "run.json"
_MOST_FRAMES = 1 << 31
_FARTHEST = 1e7  # pixels
_UNFINISHED = ".partial"
_APART_S = 1e3  # pictures need not belong together: what is in one says nothing of the next


@dataclass(frozen=True, slots=True)
class Perceived:
    """What was perceived in a frame, before anything was decided.

    Attributes:
        useful: whether it shows something useful.
        candidates: boxes in pixels, each with its score, down to a floor below the threshold.
    """

    useful: bool
    candidates: tuple[tuple[BoxXyxy, float], ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording with what was found in it.

    Attributes:
        name: of its procedure, with its number where that has several.
        procedure: name of it.
        path: of the recording.
        frames: all of them, in order.
        size_wh: width and height of its frames in pixels.
        rate: frames a second, on the mean.
        times_s: of the frames.
        perceived: in each frame; None where the run wrote no candidates.
        threshold: score from which a detection of a single frame counts; None where the run does not say.
        model: name of the detector; None where the run does not say.
        judged: what readers said of it, which its labels follow; None where nobody did.
    """

    name: str
    procedure: str
    path: Path
    frames: tuple[LabelledPicture, ...]
    size_wh: tuple[int, int]
    rate: float
    times_s: tuple[float, ...]
    perceived: tuple[Perceived, ...] | None = None
    threshold: float | None = None
    model: str | None = None
    judged: JudgedFrames | None = None

    @property
    def is_judged(self) -> bool:
        """Whether readers judged it to its end, so that its labels are what people say."""
        return self.judged is not None and self.judged.done

    @property
    def footage(self) -> Footage:
        """What its frames are read from."""
        return self.frames[0].recording if self.frames else Footage(self.path)


@dataclass(frozen=True, slots=True)
class Results:
    """Pictures and recordings with what was found in them; notes are for people."""

    pictures: tuple[LabelledPicture, ...] = ()
    recordings: tuple[Recording, ...] = ()
    notes: tuple[str, ...] = ()


def are_results(path: Path) -> bool:
    """True for an event file, and for a folder that holds any, in itself or in its sub-folders."""
    return bool(event_files(path))


def read_results(path: Path, pictures: Sequence[Path] = (), judges: Judges | None = None) -> Results:
    """Reads event files.

    Args:
        path: an event file, a folder of some, or the results of a study.
        pictures: folders or files of the pictures and recordings, where they do not lie where the run found them.
        judges: gives what readers judged, which takes the place of what was found; None leaves it aside.

    Raises:
        InputError: no event file, one that cannot be read, or without the record of its run; or nothing of its source
            is there.
    """
    finder = Finder([one if one.is_dir() else one.parent for one in pictures])
    found = [read_run(one, finder, judges) for one in event_files(path)]
    results = _joined(found)
    if not results.pictures and not results.recordings:
        missing = next(iter(finder.missing), str(path))
        raise InputError(f"the source of {str(path)!r} is not there ({missing!r}); name its folder with --pictures")
    return results


def _joined(found: Sequence[Results]) -> Results:
    return Results(
        tuple(picture for one in found for picture in one.pictures),
        tuple(recording for one in found for recording in one.recordings),
        tuple(note for one in found for note in one.notes),
    )


def event_files(path: Path) -> list[Path]:
    """The event files of results, in order: one for each run, or for each procedure of a study."""
    if path.is_file():
        return [path] if path.suffix.lower() in EVENT_SUFFIXES else []
    files = [*path.glob("*.jsonl"), *path.glob(f"*/{_EVENTS}")]
    return sorted(one for one in files if run_of(one) is not None and _UNFINISHED not in one.name)


def run_of(events: Path) -> Path | None:
    """The record of the run that wrote an event file; None where there is none."""
    beside = (run_record_path(events), *([events.with_name(_RECORD)] if events.name == _EVENTS else []))
    return next((one for one in beside if one.is_file()), None)


def read_run(path: Path, finder: Finder, judges: Judges | None = None) -> Results:
    """Reads one event file; what is missing of its source is a note. `judges` is as of `read_results`.

    Raises:
        InputError: it cannot be read, or the record of its run is missing.
    """
    record_path = run_of(path)
    if record_path is None:
        raise InputError(f"the record of the run that wrote {str(path)!r} is missing ({run_record_path(path).name})")
    try:
        record = read_json_bounded(record_path)
        sources = [one["source"] for one in record["recordings"]] if "recordings" in record else [record["source"]]
        by_source: list[list[Mapping[str, Any]]] = [[] for _ in sources]
        for event in _events(path):
            by_source[whole_number("recording", event.get("recording", 0), 0, len(sources) - 1)].append(event)
        name = path.parent.name if path.name == _EVENTS else path.stem
        told = (record.get("settings") or {}).get("threshold")
        threshold = None if told is None else number("threshold", told, 0, 1)
        model = (record.get("model") or {}).get("name")
        judged = None if judges is None else judges(path, str(record.get("procedure") or name))
        notes: tuple[str, ...] = ()
        if judged is not None and judged.frame_count != sum(map(len, by_source)):
            notes = (f"{name}: its frames are others than those that were judged; the judgements are left aside",)
            judged = None
        names = [name] if len(sources) == 1 else [f"{name}-{number}" for number in range(1, len(sources) + 1)]
        found = [
            _of_source(name, own, source, events, finder, judged, Deinterlace.of_run(record))
            for own, source, events in zip(names, sources, by_source, strict=True)
        ]
        joined = _joined(found)
        recordings = (
            replace(one, threshold=threshold, model=None if model is None else str(model)) for one in joined.recordings
        )
        return replace(joined, recordings=tuple(recordings), notes=(*notes, *joined.notes))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; check the path") from error
    except MALFORMED as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{str(path)!r} or its {record_path.name} are not what `polypstream detect` writes ({reason_of(error)}); "
            "detect again"
        ) from error


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            try:
                event = parse_json(text)
                whole_number("frame", event["frame"], 0, _MOST_FRAMES)
                number("time_s", event["time_s"], -_FARTHEST, _FARTHEST)
            except MALFORMED as error:
                reason = reason_of(error)
                raise InputError(f"line {line} of {str(path)!r} is no event ({reason}); detect again") from error
            yield event


def _of_source(
    procedure: str,
    name: str,
    source: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]],
    finder: Finder,
    judged: Judged | None,
    deinterlace: Deinterlace,
) -> Results:
    path = Path(str(source["path"]))
    if source["kind"] == SourceKind.VIDEO.value:
        return _of_recording(procedure, name, path, source, events, finder, judged, deinterlace)
    return _of_pictures(name, path, events, finder, judged)


def _of_pictures(
    name: str, path: Path, events: Sequence[Mapping[str, Any]], finder: Finder, judged: Judged | None
) -> Results:
    pictures: list[LabelledPicture] = []
    left_out: set[int] = set()
    pages = absent = 0
    for place, event in enumerate(events):
        image = str(event["image"])
        whole = path / image if path.is_dir() else path
        found = whole if whole.is_file() else finder.find(image)
        pictures.append(LabelledPicture(image, found or whole, labels=_labels(event, tracks=False)))
        if event.get("page", 1) != 1:
            pages += 1
        elif found is None:
            absent += 1
        else:
            continue
        left_out.add(place)
    notes = [f"{pages} further pages of pictures are left out: only first pages are exported"] if pages else []
    if absent:
        notes.append(f"{absent} pictures of {name} are not there: left out (--pictures names their folder)")
    if judged is not None:
        told, judgements = judged.frames(tuple(pictures), _APART_S * np.arange(len(pictures), dtype=np.float64), 0)
        pictures = list(told)
        notes.append(f"{name}: {judgements.text}; this counts in the place of what was found")
    return Results(tuple(one for place, one in enumerate(pictures) if place not in left_out), (), tuple(notes))


def _of_recording(
    procedure: str,
    name: str,
    path: Path,
    source: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]],
    finder: Finder,
    judged: Judged | None,
    deinterlace: Deinterlace,
) -> Results:
    found = path if path.is_file() else finder.find(path.name)
    if found is None:
        return Results(notes=(f"recording {path.name!r} is not there: left out (--pictures names its folder)",))
    width, height = (whole_number("resolution_wh", side, 1, 1 << 31) for side in source["resolution_wh"])
    stream = source.get("stream")
    number_of_stream = None if stream is None else whole_number("stream", stream, 0, _MOST_FRAMES)
    footage = Footage(found, number_of_stream, deinterlace)
    first = events[0]["frame"] if events else 0
    frames = tuple(
        LabelledPicture(
            f"{name}/{event['frame'] - first:06d}",
            found,
            event["frame"] - first,
            (width, height),
            _labels(event, tracks=True),
            group=procedure,
            footage=footage,
        )
        for event in events
    )
    times = tuple(float(event["time_s"]) for event in events)
    length = times[-1] - times[0] if len(times) > 1 else 0.0
    rate = (len(times) - 1) / length if length > 0 else 25.0
    complete = bool(events) and all("candidates" in event for event in events)
    perceived = tuple(map(_perceived, events)) if complete else None
    recording = Recording(name, procedure, found, frames, (width, height), rate, times, perceived)
    if judged is None:
        return Results((), (recording,))
    told, judgements = judged.frames(frames, np.array(times), first)
    note = f"{name}: {judgements.text}; this counts in the place of what was found"
    return Results((), (replace(recording, frames=told, judged=judgements),), (note,))


def _perceived(event: Mapping[str, Any]) -> Perceived:
    candidates = tuple((_box(one), number("score", one["score"], 0, 1)) for one in event["candidates"])
    return Perceived(event.get("useful") is not False, candidates)


def _labels(event: Mapping[str, Any], *, tracks: bool) -> tuple[Label, ...]:
    labels: list[Label] = []
    for one in event["detections"]:
        track = "" if not tracks or one.get("track_id") is None else str(one["track_id"])
        score = number("score", one["score"], 0, 1)
        labels.append(Label(str(one["label"]), _box(one), None, track, score))
    return tuple(labels)


def _box(one: Mapping[str, Any]) -> BoxXyxy:
    x1, y1, x2, y2 = (number("a side of box_xyxy", side, -_FARTHEST, _FARTHEST) for side in one["box_xyxy"])
    return x1, y1, x2, y2


def tracks_of(recording: Recording) -> dict[str, tuple[str, dict[int, tuple[float, float, float, float]]]]:
    """Class and boxes by frame of each track; what belongs to none is a track of its own in every frame."""
    tracks: dict[str, tuple[str, dict[int, tuple[float, float, float, float]]]] = {}
    for place, frame in enumerate(recording.frames):
        for index, label in enumerate(frame.labels):
            key = label.track or f"frame-{place}-{index}"
            tracks.setdefault(key, (label.name, {}))[1][place] = label.box_xyxy
    return tracks
