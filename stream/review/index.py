"""The event lines of a procedure as arrays, kept beside the results: an hour of events is parsed once.

The arrays are made anew when the events or their record have changed.
"""

from __future__ import annotations

import io
import logging
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s
from engine.errors import PolypstreamError
from engine.files import make_folder, write_bytes
from engine.reading.bounded import MALFORMED
from stream.procedure.reading import EVENTS, read_procedure
from stream.procedure.times import Moment, moments_of, stretches_of
from stream.review.results import ReviewProcedure, record_of

log = logging.getLogger(__name__)

_FORMAT = 2
MOMENTS = tuple(Moment)


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
    """

    times_s: npt.NDArray[np.float64]
    stretches: npt.NDArray[np.float64]
    frames: npt.NDArray[np.int64]
    tracks: npt.NDArray[np.int64]
    boxes: Float32s
    scores: Float32s
    between: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.str_]


def read_index(procedure: ReviewProcedure, cache: Path | None = None) -> EventIndex:
    """The index of a procedure: as it was kept, or made anew.

    Args:
        procedure: of which.
        cache: file to keep it in; None keeps it nowhere. Where it cannot be written, it is not kept.

    Raises:
        InputError: the event lines cannot be read.
    """
    stamp = _stamp(procedure)
    if cache is not None:
        kept = _kept(cache, stamp)
        if kept is not None:
            return kept
    index = _made(procedure)
    if cache is not None:
        data = io.BytesIO()
        arrays = {one.name: getattr(index, one.name) for one in fields(EventIndex)}
        np.savez(data, stamp=np.array(stamp, np.int64), **arrays)
        try:
            make_folder(cache.parent)
            write_bytes(cache, data.getvalue(), private=True)
        except (PolypstreamError, OSError) as error:  # a full disk, or a folder that is only to be read
            log.info("the index of %s is not kept: %s", procedure.events, error)
    return index


def _stamp(procedure: ReviewProcedure) -> tuple[int, ...]:
    found = [_FORMAT]
    for path in (procedure.events, record_of(procedure.events)):
        try:
            status = path.stat()
            found += [status.st_size, status.st_mtime_ns]
        except OSError:
            found += [-1, -1]
    return tuple(found)


def _kept(cache: Path, stamp: tuple[int, ...]) -> EventIndex | None:
    try:
        with np.load(cache, allow_pickle=False) as arrays:
            if tuple(arrays["stamp"].tolist()) != stamp:
                return None
            return EventIndex(**{one.name: arrays[one.name] for one in fields(EventIndex)})
    except (OSError, EOFError, zipfile.BadZipFile, *MALFORMED):
        return None


def _made(procedure: ReviewProcedure) -> EventIndex:
    of_study = procedure.events.name == EVENTS
    read = read_procedure(procedure.folder if of_study else procedure.events, needs_candidates=False)
    seen = [(track, one) for track, sightings in sorted(read.tracks.items()) for one in sightings]
    stretches = stretches_of(read, moments_of(read))
    return EventIndex(
        times_s=read.times_s,
        stretches=np.array(
            [(one.start_s, one.end_s, MOMENTS.index(one.moment)) for one in stretches], np.float64
        ).reshape(-1, 3),
        frames=np.array([one.frame for _, one in seen], np.int64),
        tracks=np.array([track for track, _ in seen], np.int64),
        boxes=np.array([one.detection.box_xyxy for _, one in seen], np.float32).reshape(-1, 4),
        scores=np.array([one.detection.score for _, one in seen], np.float32),
        between=np.array([one.detection.between for _, one in seen], np.bool_),
        labels=np.array([sightings[-1].detection.label for _, sightings in sorted(read.tracks.items())], np.str_),
    )
