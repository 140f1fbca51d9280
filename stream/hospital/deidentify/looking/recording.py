"""A recording looked at from its first frame to its last, before anything of it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.arrays import Plane
from engine.errors import InputError
from engine.interrupts import check
from stream.frame import Frame
from stream.hospital.deidentify.looking.body import Evidence, evidence_of, frames_inside
from stream.hospital.deidentify.looking.fields import Fields, safe_mask
from stream.hospital.deidentify.looking.following import regions_of_words
from stream.hospital.deidentify.looking.overlays import SAMPLES_A_SECOND, Overlay, OverlayWatch
from stream.hospital.deidentify.looking.reading import Reading
from stream.hospital.deidentify.looking.recogniser import Recogniser
from stream.hospital.deidentify.looking.regions import Reason, Region, joined
from stream.sources.source import Source
from stream.view.tracker import FieldOfViewTracker

_MARGINS_OF_OVERLAYS = 3  # the edge of the field stands still too
_OVERLAY_GAP_S = 15.0  # over which an overlay that is found again at the same place was not gone


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen of a recording.

    Attributes:
        frames: how many it has.
        inside: bool, shape (frames,): which are surely inside the body.
        fields: what may be shown of each.
        regions: what is covered in them.
        samples: frames in which words were looked for.
    """

    frames: int
    inside: npt.NDArray[np.bool_]
    fields: Fields
    regions: tuple[Region, ...]
    samples: int


def look_at_recording(
    source: Source,
    recogniser: Recogniser | None,
    *,
    text_every_s: float,
    on_frame: Callable[[], object] | None = None,
) -> Look:
    """Looks at all frames of a recording.

    Args:
        source: opened, and not read yet.
        recogniser: that reads words; None to look for static overlays only.
        text_every_s: distance of the frames in which words are looked for, in seconds.
        on_frame: told of each frame.

    Raises:
        InputError: it has no frame, or frames of several sizes.
        RunError: Tesseract failed.
    """
    tracker, fields, watch = FieldOfViewTracker(), Fields(), OverlayWatch()
    evidence: list[Evidence] = []
    times_s: list[float] = []
    with_picture: list[bool] = []
    last_overlay_s = -np.inf
    resolution_wh = source.info.resolution_wh
    with Reading(recogniser, text_every_s=text_every_s) as reading:
        for frame in source:
            check()
            if frame.resolution_wh != resolution_wh:
                raise InputError(
                    f"{source.info.path}: its frames change their size from {resolution_wh} to {frame.resolution_wh} "
                    f"at {frame.time_s:.2f} s; cut it there, and give the parts"
                )
            field = tracker.update(frame.picture, frame.time_s)
            fields.note(field, frame.time_s, resolution_wh)
            evidence.append(evidence_of(frame.picture, field))
            times_s.append(frame.time_s)
            with_picture.append(field.has_picture)
            if field.has_picture and frame.time_s >= last_overlay_s + 1 / SAMPLES_A_SECOND:
                last_overlay_s = frame.time_s
                mask = safe_mask(field, resolution_wh, margins=_MARGINS_OF_OVERLAYS)
                watch.update(_luma(frame), mask, frame.index)
            reading.update(frame, field)
            if on_frame is not None:
                on_frame()
        samples = reading.finish()
    if not times_s:
        raise InputError(f"{source.info.path} holds no frame that can be decoded")
    watch.finish()
    times = np.array(times_s)
    overlays = _regions_of_overlays(watch.found, times)
    words = regions_of_words(samples, last=len(times_s) - 1, resolution_wh=resolution_wh)
    # A frame without a field of view is never bridged: it may be a page of text.
    inside = frames_inside(np.array(evidence, np.int8), times) & np.array(with_picture)
    return Look(len(times_s), inside, fields, (*words, *overlays), len(samples))


def _luma(frame: Frame) -> Plane:
    picture = frame.picture
    if picture.is_bgr or picture.planes[0].dtype != np.uint8:
        return np.ascontiguousarray(frame.image[:, :, 1])
    return np.asarray(picture.planes[0], np.uint8)


def _regions_of_overlays(found: list[Overlay], times_s: npt.NDArray[np.float64]) -> tuple[Region, ...]:
    """Overlays as regions: known in some seconds, covered for as long before and after them as it may have stood."""

    def at(time_s: float) -> int:
        return int(np.searchsorted(times_s, time_s).clip(0, len(times_s) - 1))

    return joined(
        Region(
            one.box_xyxy,
            at(float(times_s[one.first]) - _OVERLAY_GAP_S),
            at(float(times_s[one.last]) + _OVERLAY_GAP_S),
            Reason.OVERLAY,
        )
        for one in found
    )
