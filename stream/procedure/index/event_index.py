"""The event lines of a procedure as arrays, kept beside them: an hour of events is parsed once.

The arrays are made anew when the events or their record have changed.
"""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s
from engine.errors import PolypstreamError
from engine.files import make_folder, write_bytes
from engine.reading.bounded import MALFORMED
from stream.procedure.reading import EVENTS, OnShare, Procedure, read_procedure, record_of
from stream.procedure.times import Moment, moments_of, stretches_of

log = logging.getLogger(__name__)

MOMENTS = tuple(Moment)
SCRATCH = ".review"
"""Folder beside event lines for what can be made anew of them."""

_FORMAT = 3


@dataclass(frozen=True, slots=True, eq=False)
class EventIndex:
    """What the event lines of a procedure hold.

    Attributes:
        times_s: float64 (frames,), when each frame is shown, in seconds of the procedure.
        stretches: float64 (stretches, 3): start and end in seconds of the procedure, and the place of what they show in
            `MOMENTS`.
        frames: int64 (sightings,), index of the frame in the procedure, of each sighting of a track.
        tracks: int64 (sightings,), number of its track; sightings stand by track, then by frame.
        boxes: float32 (sightings, 4), x0, y0, x1, y1 in pixels.
        scores: float32 (sightings,), 0 to 1.
        between: bool (sightings,), whether a box was put between two that were seen.
        labels: text of the label of each track, by the order of `np.unique(tracks)`.
        images: text (frames,), name of the file of each frame; of pictures only, else (0,).
        pages: int64 (frames,), page of that file, from 1; as `images`.
        sizes: int64 (frames, 2), width and height of each picture, where the lines tell of them; else (0, 2).
    """

    times_s: npt.NDArray[np.float64]
    stretches: npt.NDArray[np.float64]
    frames: npt.NDArray[np.int64]
    tracks: npt.NDArray[np.int64]
    boxes: Float32s
    scores: Float32s
    between: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.str_]
    images: npt.NDArray[np.str_]
    pages: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]


def index_path(events: Path) -> Path:
    """Where the index of event lines is kept."""
    return events.parent / SCRATCH / f"{events.stem}.npz"


def is_kept(events: Path) -> bool:
    """Whether the index of event lines is kept, and they have not changed since."""
    return _kept(events, ()) is not None


def kept_index(events: Path) -> EventIndex | None:
    """The index of event lines as it was kept; None where it was not, or they have changed since."""
    found = _kept(events, [one.name for one in fields(EventIndex)])
    return None if found is None else EventIndex(**found)


def _kept(events: Path, names: Sequence[str]) -> dict[str, Any] | None:
    """Arrays of the index by their names; None where it was not kept, or the lines have changed since."""
    try:
        with np.load(index_path(events), allow_pickle=False) as arrays:
            if tuple(arrays["stamp"].tolist()) != _stamp(events):
                return None
            return {name: arrays[name] for name in names}
    except (OSError, EOFError, zipfile.BadZipFile, *MALFORMED):
        return None


def read_index(events: Path, on_share: OnShare | None = None) -> EventIndex:
    """The index of event lines: as it was kept, or made anew and kept, which takes a second for half an hour of them.

    Args:
        events: lines of a run, with its record beside them.
        on_share: told again and again which share of the lines is read; what it raises ends the reading.

    Raises:
        InputError: the event lines cannot be read.
    """
    kept = kept_index(events)
    if kept is not None:
        return kept
    result = events.parent if events.name == EVENTS else events
    stamp = _stamp(events)
    index = _index_of(read_procedure(result, needs_candidates=False, pictures=True, on_share=on_share))
    _keep(events, index, stamp)
    return index


def keep_index(events: Path, procedure: Procedure) -> None:
    """Keeps the index of event lines that were just written.

    Args:
        events: the lines.
        procedure: what was read from them.
    """
    _keep(events, _index_of(procedure), _stamp(events))


def _keep(events: Path, index: EventIndex, stamp: tuple[int, ...]) -> None:
    """Where it cannot be written, it is not kept: it can be made anew at any time."""
    data = io.BytesIO()
    arrays = {one.name: getattr(index, one.name) for one in fields(EventIndex)}
    np.savez(data, stamp=np.array(stamp, np.int64), **arrays)
    path = index_path(events)
    try:
        make_folder(path.parent)
        write_bytes(path, data.getvalue(), private=True)
    except (PolypstreamError, OSError) as error:  # a full disk, or a folder that is only to be read
        log.info("the index of %s is not kept: %s", events, error)


def _stamp(events: Path) -> tuple[int, ...]:
    found = [_FORMAT]
    for path in (events, record_of(events)):
        try:
            status = path.stat()
            found += [status.st_size, status.st_mtime_ns]
        except OSError:
            found += [-1, -1]
    return tuple(found)


def _index_of(procedure: Procedure) -> EventIndex:
    seen = [(track, one) for track, sightings in sorted(procedure.tracks.items()) for one in sightings]
    stretches = stretches_of(procedure, moments_of(procedure))
    return EventIndex(
        times_s=procedure.times_s,
        stretches=np.array(
            [(one.start_s, one.end_s, MOMENTS.index(one.moment)) for one in stretches], np.float64
        ).reshape(-1, 3),
        frames=np.array([one.frame for _, one in seen], np.int64),
        tracks=np.array([track for track, _ in seen], np.int64),
        boxes=np.array([one.detection.box_xyxy for _, one in seen], np.float32).reshape(-1, 4),
        scores=np.array([one.detection.score for _, one in seen], np.float32),
        between=np.array([one.detection.between for _, one in seen], np.bool_),
        labels=np.array([sightings[-1].detection.label for _, sightings in sorted(procedure.tracks.items())], np.str_),
        images=np.array([one.name for one in procedure.pictures], np.str_),
        pages=np.array([one.page for one in procedure.pictures], np.int64),
        sizes=np.array([one.size_wh for one in procedure.pictures if one.size_wh], np.int64).reshape(-1, 2),
    )
