"""Which pieces a recording is looked at in."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from stream.record.spans import Span
from stream.study.tasks import JoinTask, PerceiveTask

SEAM_S = 1.0
"""How far the pieces of a recording overlap, in seconds: there both must have seen the same."""

WARM_UP_S = 10.0
"""How long before a piece its frames are looked at, in seconds (`benchmarks/study_segments.py`)."""

_LONGER = 6  # times as long is the memory of a piece that saw something else than the one before it


def segments_of(task: PerceiveTask, length_s: float) -> tuple[PerceiveTask, ...]:
    """Splits a recording.

    Args:
        task: of the whole recording.
        length_s: of a piece in seconds; the last one may be longer or shorter by half.

    Returns:
        A task for each piece, in the order of time; none where there is nothing to split, or the length is not known.
    """
    count = 0 if task.duration_s is None else round(task.duration_s / length_s)
    if count < 2:
        return ()
    spans = [
        Span(
            max(number * length_s - SEAM_S, 0.0),
            (number + 1) * length_s if number + 1 < count else None,
            WARM_UP_S if number else 0.0,
        )
        for number in range(count)
    ]
    return tuple(_segment(task, span) for span in spans)


def with_longer_memory(segment: PerceiveTask) -> PerceiveTask | None:
    """The same piece with more frames before it; None where it began with the recording already."""
    span = segment.span
    if span is None or span.warm_up_s >= span.start_s:
        return None
    warm_up_s = min(_LONGER * span.warm_up_s, span.start_s)
    return _segment(segment, replace(span, warm_up_s=warm_up_s))


def segment_names(key: str) -> str:
    """Pattern of the names of files of what was perceived in any piece of a recording."""
    return f"{key}-*"


def remove_segments(task: PerceiveTask | JoinTask) -> None:
    """Removes what was perceived in pieces of a recording: the whole is known."""
    for path in task.store.glob(segment_names(task.key)):
        with suppress(OSError):
            path.unlink()


def _segment(task: PerceiveTask, span: Span) -> PerceiveTask:
    end = "end" if span.end_s is None else f"{span.end_s:g}"
    whole = task.key.partition("-")[0]
    return replace(task, key=f"{whole}-{span.start_s:g}-{end}-{span.warm_up_s:g}", span=span)
