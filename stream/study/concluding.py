"""One procedure of a study: what was perceived in its recordings, joined in time, decided, and written down."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from engine.boxes import pairwise_iou
from engine.errors import InputError, PolypstreamError, WriteError
from engine.files import make_folder, replacing, write_errors, write_text
from stream.decision.rule import DecisionRule
from stream.frame import FrameResult
from stream.procedure.index import keep_index
from stream.procedure.kept import KeptPictures
from stream.procedure.looks import OtherRecordingError
from stream.procedure.reading import EVENTS, RECORD
from stream.procedure.report import HTML, JSON, write_report
from stream.record.deciding import RecordingDecision
from stream.record.event_sink import event_of, run_record_text
from stream.record.perceived import Perceived
from stream.record.recording import library_versions
from stream.study.extras.frames_table import write_frames_table
from stream.study.extras.videos import remove_videos, write_videos
from stream.study.extras.wanted import FRAMES, Extras
from stream.study.perceiving import lines_path, perceived_record
from stream.study.tasks import ConcludeTask, Part

_REMEDY = "free space, and run the same command again"
PICTURES = ".pictures"
"""Folder in the results that keeps the pictures that were read for reports (`KeptPictures`)."""

#: Entries of a run's record that are the same for all recordings of a study.
_SHARED = ("model", "classifier", "endoscope", "instruments", "decided_by")
#: Two boxes of one frame that overlap so much are of one polyp.
_SAME_POLYP_IOU = 0.7


@dataclass(frozen=True, slots=True)
class _Joined:
    """A recording at its place in the procedure."""

    part: Part
    record: Mapping[str, Any]
    perceived: Perceived
    start_s: Fraction
    duration_s: Fraction
    resolution_wh: tuple[int, int]


def is_concluded(folder: Path, extras: Extras, *, recordings: int) -> bool:
    """Whether the folder of a procedure of so many recordings holds all that is written of one."""
    report = all((folder / name).is_file() for name in (EVENTS, RECORD, JSON, HTML))
    return report and extras.are_in(folder, recordings=recordings)


def conclude(task: ConcludeTask, on_step: Callable[[], object]) -> Mapping[str, Any]:
    """Decides what is found in a procedure, and writes its folder.

    Args:
        task: what is to be done.
        on_step: called again and again while the work goes on.

    Returns:
        frames, tracks and duration_s of the procedure, and remark: what is not there of what was wanted beside the
        report, and why; None where all of it is there.

    Raises:
        PolypstreamError: what was perceived cannot be read, or the folder cannot be written.
    """
    joined = _joined(task)
    make_folder(task.folder)
    target = task.folder / EVENTS
    counts = {"frames": 0, "frames_with_detections": 0, "detections": 0}
    tracks: set[int] = set()
    with (
        write_errors(target, remedy=_REMEDY),
        replacing(target, private=True) as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for event in decided_lines(_lines_of(joined), task.rule, resolution_wh=joined[0].resolution_wh):
            file.write(json.dumps(event, allow_nan=False) + "\n")
            counts["frames"] += 1
            on_step()
            counts["frames_with_detections"] += bool(event["detections"])
            counts["detections"] += len(event["detections"])
            tracks.update(one["track_id"] for one in event["detections"])
        file.flush()
        os.fsync(file.fileno())
    record = _record(task, joined, {**counts, "tracks": len(tracks)})
    write_text(task.folder / RECORD, run_record_text(record), remedy=_REMEDY, private=True)
    pictures = KeptPictures(task.folder.parent / PICTURES)
    kept = pictures if task.most_picture_bytes else None
    pdf, fhir = task.extras.pdf, task.extras.fhir
    try:
        report = write_report(task.folder, pdf=pdf, fhir=fhir, kept=kept, overwrite=True, on_step=lambda *_: on_step())
    except OtherRecordingError as error:
        raise InputError(f"{error.fault}; see where it is, and run the same command again") from error
    finally:
        pictures.trim(task.most_picture_bytes)
    keep_index(target, report.procedure)
    remark = _write_extras(task, on_step)
    return {"frames": counts["frames"], "tracks": len(tracks), "duration_s": float(_end_s(joined)), "remark": remark}


def _write_extras(task: ConcludeTask, on_step: Callable[[], object]) -> str | None:
    """Writes what is wanted beside the report; what is not wanted now and was made of other events goes.

    Returns:
        Why a recording has no annotated one: its report stands all the same. None where nothing is missing.
    """
    if task.extras.frames_table:
        write_frames_table(task.folder, procedure=task.procedure, on_step=on_step)
    else:
        (task.folder / FRAMES).unlink(missing_ok=True)
    if task.extras.videos is None:
        remove_videos(task.folder)
        return None
    try:
        write_videos(task.folder, task.extras.videos, encoder=task.extras.encoder, on_step=on_step)
    except WriteError:  # the disk is full: the study has to stop
        raise
    except PolypstreamError as error:
        return f"an annotated recording is missing: {error}"
    return None


def _joined(task: ConcludeTask) -> list[_Joined]:
    """The recordings one after the other, each from where the one before ends."""
    joined: list[_Joined] = []
    start_s = Fraction(0)
    for part in task.parts:
        try:
            record = perceived_record(task.store, part.key)
            floor, end_s = float(record["candidates_from"]), record["end_s"]
            width, height = record["source"]["resolution_wh"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"what was perceived in {part.path} cannot be read ({error}); remove {part.key}.run.json in "
                f"{task.store}, and run the same command again"
            ) from error
        perceived = Perceived(lines_path(task.store, part.key), floor, record)
        perceived.check_floor(task.rule.floor, task.threshold)
        duration_s = Fraction(end_s or 0).limit_denominator(10**6)
        joined.append(_Joined(part, record, perceived, start_s, duration_s, (int(width), int(height))))
        start_s += duration_s
    return joined


def _end_s(joined: Sequence[_Joined]) -> Fraction:
    return joined[-1].start_s + joined[-1].duration_s


def decided_lines(
    lines: Iterable[tuple[dict[str, Any], FrameResult]], rule: DecisionRule, *, resolution_wh: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """Event lines with what is decided over all of them.

    Args:
        lines: each with what was perceived in its frame, in the order of time.
        rule: by which it is decided what is shown.
        resolution_wh: of the frames, in pixels.
    """
    decision = RecordingDecision(rule, over_time=True, resolution_wh=resolution_wh)
    waiting: deque[dict[str, Any]] = deque()
    for line, result in lines:
        waiting.append(line)
        for decided in decision.update(result):
            yield _with_detections(waiting.popleft(), decided)
    for decided in decision.finish():
        yield _with_detections(waiting.popleft(), decided)


def _lines_of(joined: Sequence[_Joined]) -> Iterator[tuple[dict[str, Any], FrameResult]]:
    """The lines of the procedure, in order."""
    frames = 0
    for number, recording in enumerate(joined):
        for line, result in recording.perceived.lines(recording.resolution_wh):
            pts = recording.start_s + result.frame.pts
            frame = replace(result.frame, index=frames, pts=pts)
            yield (
                {"frame": frames, "time_s": round(float(pts), 6), "recording": number, **_rest(line)},
                replace(result, frame=frame),
            )
            frames += 1


def _rest(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in ("frame", "time_s")}


def _with_detections(line: dict[str, Any], decided: FrameResult) -> dict[str, Any]:
    """A line with what was decided. Kinds stay with the boxes that they were told of when the picture was at hand."""
    detections = event_of(decided)["detections"]
    kinds = [one for one in line["detections"] if "classes" in one]
    if kinds and detections:
        overlaps = pairwise_iou(*(np.array([one["box_xyxy"] for one in side]) for side in (detections, kinds)))
        for detection, row in zip(detections, overlaps, strict=True):
            best = int(row.argmax())
            if row[best] >= _SAME_POLYP_IOU:
                detection["classes"] = kinds[best]["classes"]
    return {**line, "detections": detections}


def _record(task: ConcludeTask, joined: Sequence[_Joined], counts: Mapping[str, int]) -> dict[str, Any]:
    first = joined[0].record
    return {
        "outcome": "finished",
        "procedure": task.procedure,
        "listed": dict(task.listed),
        "duration_s": _end_s(joined),
        "recordings": [
            {
                "name": one.part.path.name,
                "path": one.part.path,
                "start_s": one.start_s,
                "duration_s": one.duration_s,
                "frames": one.record["counts"]["frames"],
                "size_bytes": one.part.size_bytes,
                "sha256": one.part.sha256,
                **{key: one.record.get(key) for key in ("source", "problems", "runtime", "versions", "timings")},
            }
            for one in joined
        ],
        "versions": library_versions(),
        "source": first["source"],
        **{key: first[key] for key in _SHARED if key in first},
        "settings": {**first["settings"], "threshold": task.threshold},
        "decision": asdict(task.rule),
        "candidates_from": max(one.perceived.floor for one in joined),
        "counts": counts,
    }
