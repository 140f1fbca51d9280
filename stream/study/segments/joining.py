"""What was perceived in the pieces of a recording, made into what is perceived in the whole."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.errors import InputError, PolypstreamError
from engine.files import replacing, write_errors, write_text
from stream.decision.rule import rule_of_record
from stream.frame import FrameResult
from stream.record.event_sink import run_record_text
from stream.record.perceived import Perceived
from stream.study.concluding import blank, decided_lines
from stream.study.perceiving import lines_path, perceived_record, record_path
from stream.study.segments.planning import SEAM_S, remove_segments, segment_names
from stream.study.tasks import JoinTask, PerceiveTask

AGAIN, WHOLE = "again", "whole"
"""Entries of a result that is none: numbers of pieces that need a longer memory; why it must be one piece."""

_STEP = 1000  # frames
_ALIKE_PX = 1.0  # sides of boxes that two pieces saw in the same frame
_REMEDY = "free space, and run the same command again"

#: A line of a piece, and what it says.
_Line = tuple[Mapping[str, Any], FrameResult]


class _NotAlikeError(Exception):
    """Two pieces read different frames where they overlap."""


class _SeenOtherwiseError(Exception):
    """Pieces saw something else than the pieces before them, where both looked."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__()
        self.numbers = tuple(numbers)


def join(task: JoinTask, on_step: Callable[[], object]) -> Mapping[str, Any]:
    """Joins the pieces of a recording, decides over the whole, and puts it into the store in their place.

    Args:
        task: what is to be done.
        on_step: told now and then that work goes on.

    Returns:
        As of `perceive`. Where the pieces do not fit together instead: `AGAIN`, numbers of the pieces that saw
        something else than the piece before them, or `WHOLE`, why the recording must be looked at in one piece.

    Raises:
        PolypstreamError: what was perceived cannot be read, or the store cannot be written.
    """
    try:
        records = [perceived_record(task.store, segment.key) for segment in task.segments]
        if any(record["problems"]["mended_times"] for record in records):
            return {WHOLE: "its times are wrong in places, and mended from its beginning on"}
        if any(record["error"] or record["problems"]["still_growing"] for record in records[:-1]):
            return {WHOLE: "it breaks off in the middle"}
        return _join(task, records, on_step)
    except _SeenOtherwiseError as error:
        return {AGAIN: error.numbers}
    except _NotAlikeError as error:
        return {WHOLE: str(error)}
    except PolypstreamError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"what was perceived in pieces of {task.recording} cannot be read ({error}); remove "
            f"{segment_names(task.key)} in {task.store}, and run the same command again"
        ) from error


def _join(task: JoinTask, records: Sequence[Mapping[str, Any]], on_step: Callable[[], object]) -> Mapping[str, Any]:
    first = records[0]
    width, height = first["source"]["resolution_wh"]
    pieces = _Pieces(task, records)
    counts = {"frames": 0, "frames_with_detections": 0, "frames_without_picture": 0, "detections": 0}
    tracks: set[int] = set()
    target = lines_path(task.store, task.key)
    with (
        write_errors(target, remedy=_REMEDY),
        replacing(target, private=True) as partial,
        partial.open("wb") as raw,
    ):
        with gzip.GzipFile(filename="", mode="wb", compresslevel=5, fileobj=raw, mtime=0) as packed:
            rule = rule_of_record(first["decision"])
            for line in decided_lines(pieces.lines((width, height)), rule, resolution_wh=(width, height)):
                packed.write(json.dumps(line, allow_nan=False).encode() + b"\n")
                counts["frames"] += 1
                if not counts["frames"] % _STEP:
                    on_step()
                counts["frames_with_detections"] += bool(line["detections"])
                counts["detections"] += len(line["detections"])
                tracks.update(one["track_id"] for one in line["detections"])
        raw.flush()
        os.fsync(raw.fileno())
        if pieces.other:
            raise _SeenOtherwiseError(pieces.other)
    counts["frames_without_picture"] = pieces.without_picture
    record = {
        **first,
        **{name: records[-1][name] for name in ("error", "end_s")},
        "problems": _problems(records),
        "settings": {**first["settings"], "source": str(task.recording), "span": None},
        "counts": {**counts, "tracks": len(tracks)},
        "second_picture": _second_picture(records),
        "timings": _timings(records, counts["frames"]),
        "segments": [_segment(segment, one) for segment, one in zip(task.segments, records, strict=True)],
    }
    write_text(record_path(task.store, task.key), run_record_text(record), remedy=_REMEDY, private=True)
    remove_segments(task)
    return {
        "frames": counts["frames"],
        "duration_s": record["end_s"],
        "seconds": record["timings"]["seconds"],
        "remark": record["error"],
    }


class _Pieces:
    """The lines of all pieces in order, and whether the pieces fit together."""

    def __init__(self, task: JoinTask, records: Sequence[Mapping[str, Any]]) -> None:
        self._task, self._records = task, records
        self.other: list[int] = []  # pieces that saw something else than the one before
        self.without_picture = 0

    def lines(self, resolution_wh: tuple[int, int]) -> Iterator[tuple[dict[str, Any], FrameResult]]:
        """Each frame once. Raises _NotAlikeError where frames are missing or have other times."""
        image = blank(resolution_wh)
        frames, tail = 0, list[_Line]()
        for number, (segment, record) in enumerate(zip(self._task.segments, self._records, strict=True)):
            head, before, tail = list[_Line](), tail, []
            assert segment.span is not None
            seam_ends_s = segment.span.start_s + SEAM_S if number else 0.0
            tail_from_s = float("inf") if segment.span.end_s is None else segment.span.end_s - SEAM_S
            perceived = Perceived(lines_path(self._task.store, segment.key), float(record["candidates_from"]), record)
            for line, result in perceived.lines():
                if number and result.frame.time_s < seam_ends_s:
                    head.append((line, result))
                    continue
                if result.frame.time_s >= tail_from_s:
                    tail.append((line, result))
                self.without_picture += not result.field_of_view.has_picture
                frame = replace(result.frame, index=frames, image=image)
                yield {**line, "frame": frames}, replace(result, frame=frame)
                frames += 1
            if number:
                self._compare(number, before, head)

    def _compare(self, number: int, before: Sequence[_Line], head: Sequence[_Line]) -> None:
        """What the piece before saw where it overlaps with this one, and what this one saw."""
        if not before or [one.frame.pts for _, one in before] != [one.frame.pts for _, one in head]:
            at_s = self._task.segments[number].span.start_s  # type: ignore[union-attr]
            raise _NotAlikeError(f"its frames are not found again when it is read from {at_s:g} s on")
        threshold = float(self._records[0]["settings"]["threshold"])
        for (_, one), (_, other) in zip(before, head, strict=True):
            if not (saw_the_same(one, other, threshold) and saw_the_same(other, one, threshold)):
                self.other.append(number)
                return


def saw_the_same(one: FrameResult, other: FrameResult, threshold: float) -> bool:
    """Whether two looks at a frame found the same field of view, and what the first detected, the second saw too."""
    return (
        one.useful == other.useful
        and _near(one.field_of_view.box_xyxy, other.field_of_view.box_xyxy)
        and all(
            any(_near(seen.box_xyxy, again.box_xyxy) for again in other.candidates)
            for seen in one.candidates
            if seen.score >= threshold
        )
    )


def _near(box: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(side - again) <= _ALIKE_PX for side, again in zip(box, other, strict=True))


def _second_picture(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    told = [record["second_picture"] for record in records if record["second_picture"] is not None]
    return {**told[0], "frames": sum(one["frames"] for one in told)} if told else None


def _problems(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of all pieces together; what is damaged where two of them overlap is counted twice."""
    counts = {
        name: sum(record["problems"][name] for record in records) for name in ("corrupt_packets", "corrupt_frames")
    }
    return {**records[-1]["problems"], **counts}


def _timings(records: Sequence[Mapping[str, Any]], frames: int) -> dict[str, Any]:
    """Of all pieces together, as if one core had looked at one after the other."""
    seconds = sum(record["timings"]["seconds"] for record in records)
    return {"seconds": round(seconds, 3), "frames_per_second": round(frames / seconds, 2) if seconds else None}


def _segment(segment: PerceiveTask, record: Mapping[str, Any]) -> dict[str, Any]:
    assert segment.span is not None
    return {
        "start_s": segment.span.start_s,
        "end_s": segment.span.end_s,
        "warm_up_s": segment.span.warm_up_s,
        "started": record["started"],
        "seconds": record["timings"]["seconds"],
        "runtime": record["runtime"],
        "versions": record["versions"],
    }
