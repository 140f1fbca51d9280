"""The procedures of a results folder: of a study, or the event lines of single runs with their run records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import InputError, PolypstreamError, first_line
from engine.reading.bounded import MALFORMED, reason_of
from stream.judgements.reviewed import OPENED, judgements_folder
from stream.procedure.reading import EVENTS, PICTURE_S, are_pictures, read_record, record_of
from stream.procedure.report import JSON, report_folder
from stream.record.event_sink import run_record_path
from stream.sources.pictures import natural_key
from stream.study.ledger import Ledger, ProcedureEntry, State
from stream.study.listing import LEDGER

_USUAL_RATE = 25.0  # frames a second


@dataclass(frozen=True, slots=True)
class ReviewRecording:
    """A recording of a procedure.

    Attributes:
        number: in the procedure, from 0.
        name: of the file.
        path: where it is, or was when it was looked at.
        width: of its frames, in pixels.
        height: of its frames, in pixels.
        frames: that it has.
        first_frame: index of its first frame in the procedure.
        start_s: when it begins, in seconds of the procedure.
        duration_s: its length in seconds.
        size_bytes: of the file; None where the record does not say.
        sha256: of its ends and its size (`quick_digest`); None where the record does not say.
        stream: number of the video stream that was looked at; None for the one that shows the film.
        pictures: whether it is a folder of pictures, or one of them, and no video.
    """

    number: int
    name: str
    path: Path
    width: int
    height: int
    frames: int
    first_frame: int
    start_s: float
    duration_s: float
    size_bytes: int | None
    sha256: str | None
    stream: int | None
    pictures: bool = False


@dataclass(frozen=True, slots=True)
class ReviewProcedure:
    """A procedure that can be reviewed, or that failed.

    Attributes:
        name: of it.
        events: path of its event lines.
        record: of the run.
        recordings: in order; empty where it failed.
        report: path of its `report.json`, which need not be there.
        failure: why it cannot be reviewed; None where it can.
        opened: whether it was opened in the page, and is not of the results that are reviewed.
    """

    name: str
    events: Path
    record: Mapping[str, Any]
    recordings: tuple[ReviewRecording, ...]
    report: Path
    failure: str | None = None
    opened: bool = False

    @property
    def folder(self) -> Path:
        """Folder of its event lines."""
        return self.events.parent

    @property
    def duration_s(self) -> float:
        """Length of all recordings in seconds."""
        return sum(one.duration_s for one in self.recordings)

    @property
    def of_pictures(self) -> bool:
        """Whether it is of pictures, which have no times."""
        return any(one.pictures for one in self.recordings)


class ResultsFolder:
    """Procedures of a results folder. Those that come while it is looked at are found too."""

    def __init__(self, results: Path) -> None:
        """Looks whether there are any.

        Args:
            results: of `polypstream study`, a folder with event lines, or one file of event lines.

        Raises:
            InputError: there is nothing to review.
        """
        if (results / EVENTS).is_file():  # one procedure of a study
            results = results / EVENTS
        self._only = None if results.is_dir() else results
        self.folder = results if self._only is None else judgements_folder(results)
        self._listed: dict[str, ReviewProcedure] = {}
        self._opened: ResultsFolder | None = None
        self._named: dict[str, tuple[ReviewProcedure, ReviewProcedure]] = {}  # opened ones, and as they are listed
        self._known: dict[Path, tuple[tuple[int, int], ReviewProcedure]] = {}
        if not results.exists():
            raise InputError(f"there is no {str(results)!r}; name the results of `polypstream study`, or event lines")
        if self._only is not None and self._only.suffix != ".jsonl":
            raise InputError(
                f"{str(results)!r} is no file of event lines (.jsonl); name one, or the results of a study"
            )

    @property
    def title(self) -> str:
        """What people call it."""
        if self._only is None:
            return self.folder.resolve().name
        return self._only.resolve().parent.name if self._only.name == EVENTS else self._only.stem

    def procedure(self, name: str) -> ReviewProcedure | None:
        """A procedure by its name; None where there is none."""
        found = self._listed.get(name)
        if found is not None and found.failure is None:
            owner = self._opened if found.opened and self._opened is not None else self
            if owner._known.get(found.events, (None,))[0] == _stamp(found.events):
                return found
        return self.procedures().get(name)

    def procedures(self) -> dict[str, ReviewProcedure]:
        """All procedures by name, in natural order."""
        found = self._own()
        if self._only is None and (self.folder / OPENED).is_dir():
            self._opened = self._opened or ResultsFolder(self.folder / OPENED)
            for name, one in self._opened.procedures().items():
                name = name if name not in found else f"{name} ({OPENED})"
                before, named = self._named.get(name, (None, None))
                if before is not one or named is None:  # whoever knows it by what it was goes on with that
                    named = replace(one, name=name, opened=True)
                    self._named[name] = (one, named)
                found[name] = named
        self._listed = dict(sorted(found.items(), key=lambda item: natural_key(item[0])))
        return self._listed

    def _own(self) -> dict[str, ReviewProcedure]:
        found: dict[str, ReviewProcedure] = {}
        entries = self._entries()
        for events in self._events():
            procedure = self._procedure(events)
            if procedure is not None:
                entry = entries.pop(events.parent.name, None) if events.name == EVENTS else None
                if entry is not None and entry.state is State.FAILED and procedure.failure is None:
                    procedure = replace(procedure, failure=entry.error)
                found.setdefault(procedure.name, procedure)
        for folder, entry in entries.items():
            events = self.folder / folder / EVENTS
            failure = entry.error or "it was not looked at to its end yet; run `polypstream study` again"
            found.setdefault(entry.name, ReviewProcedure(entry.name, events, {}, (), events.with_name(JSON), failure))
        return found

    def _events(self) -> Iterator[Path]:
        if self._only is not None:
            yield self._only
            return
        yield from self.folder.glob(f"*/{EVENTS}")
        yield from (path for path in self.folder.glob("*.jsonl") if run_record_path(path).is_file())

    def _entries(self) -> dict[str, ProcedureEntry]:
        """What the ledger of a study says of its procedures, by their folders."""
        if self._only is not None or not (self.folder / LEDGER).is_file():
            return {}
        with Ledger(self.folder / LEDGER) as ledger:
            return {entry.folder: entry for entry in ledger.procedures()}

    def _procedure(self, events: Path) -> ReviewProcedure | None:
        stamp = _stamp(events)
        if stamp is None:
            return None
        known = self._known.get(events)
        if known is None or known[0] != stamp:
            known = self._known[events] = stamp, _read(events)
        return known[1]


def _stamp(events: Path) -> tuple[int, int] | None:
    """What changes with the record of a run; None where there is none."""
    try:
        status = record_of(events).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _read(events: Path) -> ReviewProcedure:
    of_study, record_path = events.name == EVENTS, record_of(events)
    name = events.resolve().parent.name if of_study else events.stem
    report = report_folder(events.parent if of_study else events) / JSON
    try:
        record = read_record(events, record_path, pictures=True)
        recordings = _recordings(record)
    except PolypstreamError as error:
        return ReviewProcedure(name, events, {}, (), report, first_line(error))
    except MALFORMED as error:
        failure = f"{record_path} is no record of this version ({reason_of(error)}); make it again"
        return ReviewProcedure(name, events, {}, (), report, failure)
    return ReviewProcedure(str(record.get("procedure") or name), events, record, recordings, report)


def _recordings(record: Mapping[str, Any]) -> tuple[ReviewRecording, ...]:
    listed = record.get("recordings")
    if listed is None:
        source = record["source"]
        file = record.get("source_file") or {}
        listed = [{**file, "path": source["path"], "source": source, "frames": record["counts"]["frames"]}]
    found: list[ReviewRecording] = []
    pictures = are_pictures(record)
    for number, one in enumerate(listed):
        source = one.get("source") or {}
        width, height = source.get("resolution_wh") or record["source"]["resolution_wh"]
        path, stream = Path(str(one["path"])), source.get("stream")
        found.append(
            ReviewRecording(
                number=number,
                name=str(one.get("name") or path.name),
                path=path,
                width=int(width),
                height=int(height),
                frames=int(one["frames"]),
                first_frame=found[-1].first_frame + found[-1].frames if found else 0,
                start_s=float(one.get("start_s") or 0.0),
                duration_s=float(one["frames"]) * PICTURE_S if pictures else _duration_s(one, source, record),
                size_bytes=None if one.get("size_bytes") is None else int(one["size_bytes"]),
                sha256=None if one.get("sha256") is None else str(one["sha256"]),
                stream=None if stream is None else int(stream),
                pictures=pictures,
            )
        )
    return tuple(found)


def _duration_s(recording: Mapping[str, Any], source: Mapping[str, Any], record: Mapping[str, Any]) -> float:
    """Length of a recording: not every file names its own, but a run to the end knows when the last frame was over."""
    for told in (recording.get("duration_s"), source.get("duration_s"), record.get("end_s")):
        if told:
            return float(told)
    return float(recording["frames"]) / float(source.get("average_rate") or _USUAL_RATE)
