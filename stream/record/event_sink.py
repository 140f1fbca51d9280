"""What was found, as text: one JSON object a frame, and the record of a run."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from enum import Enum
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from engine.closing import Completing
from engine.errors import WriteError
from engine.files import Claim, UnfinishedFile, replacing, take_name, write_errors
from engine.text.redaction import redacted_record
from stream.frame import Detection, FrameResult, PictureState
from stream.record.output_path import OutputFile

log = logging.getLogger(__name__)

EVENT_SUFFIXES = frozenset({".jsonl"})
"""Endings of event files."""


class LineSink(Completing):
    """Writes lines of JSON, in order.

    The lines stand in NAME.partial.jsonl (or .partial-2.jsonl, where an earlier run left a file of this name) until
    `close`, which gives the file its name. Each line is handed to the system at once: a killed run loses none.

    Attributes:
        path: of the finished file.
        partial_path: where the lines are until then.
        lines: that were written.
    """

    def __init__(self, path: Path, *, overwrite: bool = False, claim: Claim | None = None) -> None:
        """Begin the file.

        Args:
            path: target, ending in .jsonl.
            overwrite: whether an existing file may be replaced.
            claim: by `claim_output`, of a run that holds it for longer; by default it is held until the file is closed.

        Raises:
            OutputError: it cannot be written there, or another run writes it.
        """
        self.path, self.lines = path, 0
        self._overwrite = overwrite
        self._output = OutputFile(path, suffixes=EVENT_SUFFIXES, overwrite=overwrite, claim=claim)
        self._file: UnfinishedFile | None = self._output.file
        self.partial_path = self._output.partial_path

    def write_line(self, record: Mapping[str, Any]) -> None:
        """Add a line.

        Raises:
            WriteError: the disk is full or gone; the lines written before stay in `partial_path`.
        """
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        line = json.dumps(record, allow_nan=False)
        try:
            self._file.write(f"{line}\n".encode())
        except OSError as error:
            raise self._write_error(error) from error
        self.lines += 1

    def close(self) -> None:
        """Complete the file and give it its name; more than one call does no harm.

        Raises:
            WriteError: the disk is full or gone, or others made a file of this name meanwhile; what was written stays
                in `partial_path`.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with file:
                os.fsync(file.fileno())
            take_name(self.partial_path, self.path, overwrite=self._overwrite)
        except FileExistsError as error:
            raise self._output.taken_error("the lines are") from error
        except OSError as error:
            raise self._write_error(error) from error
        finally:
            self._output.let_go()

    def abort(self) -> None:
        """End without giving the file its name: the lines so far stay in `partial_path`."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                file.close()
            self._output.let_go()

    def _write_error(self, error: OSError) -> WriteError:
        return self._output.write_error(error, "the lines so far are")


class EventSink(LineSink):
    """Writes one line of JSON for every frame, in order."""

    def __init__(
        self, path: Path, *, overwrite: bool = False, candidates: bool = False, claim: Claim | None = None
    ) -> None:
        """Begin the file.

        Args:
            path: target, ending in .jsonl.
            overwrite: whether an existing file may be replaced.
            candidates: whether lines also say what was perceived.
            claim: as of `LineSink`.

        Raises:
            OutputError: it cannot be written there.
        """
        super().__init__(path, overwrite=overwrite, claim=claim)
        self._candidates = candidates

    def write(self, result: FrameResult) -> None:
        """Add the line of one frame.

        Raises:
            WriteError: as `write_line`.
        """
        self.write_line(event_of(result, candidates=self._candidates))


def event_of(result: FrameResult, *, candidates: bool = False) -> dict[str, Any]:
    """One frame's event, ready for JSON.

    Args:
        result: the frame, its field of view and its detections.
        candidates: whether to add what was perceived: `candidates`, `useful` where it is false, the `state` of a
            picture that is not plainly useful, `instrument` where one was looked for, and `resolution_wh` where frames
            may differ in size (pictures).

    Returns:
        frame, time_s, image and page (pictures only), field_of_view_xyxy and detections, as in the documentation.
    """
    frame = result.frame
    event: dict[str, Any] = {"frame": frame.index, "time_s": round(frame.time_s, 6)}
    if frame.name is not None:
        event["image"] = frame.name
    if frame.page is not None:
        event["page"] = frame.page
    event["field_of_view_xyxy"] = [int(value) for value in result.field_of_view.box_xyxy]
    event["detections"] = [_detection(detection) for detection in result.detections]
    if candidates:
        if frame.name is not None:
            event["resolution_wh"] = list(frame.resolution_wh)
        event["candidates"] = [_box_and_score(candidate, digits=2) for candidate in result.candidates]
        if not result.useful:
            event["useful"] = False
        if result.state is not PictureState.USEFUL:
            event["state"] = result.state.value
        if result.instrument is not None:
            event["instrument"] = round(result.instrument, 3)
    return event


def _box_and_score(detection: Detection, *, digits: int = 1) -> dict[str, Any]:
    """Candidates are written with more digits: what is decided anew from them is the same to the last digit but one."""
    return {
        "box_xyxy": [round(float(value), digits) for value in detection.box_xyxy],
        "score": round(float(detection.score), 3 + digits),
        "label": detection.label,
    }


def _detection(detection: Detection) -> dict[str, Any]:
    event = {**_box_and_score(detection), "track_id": detection.track_id}
    if detection.between:
        event["between"] = True
    if detection.classes is not None:
        event["classes"] = {name: round(float(value), 4) for name, value in detection.classes} or None
    return event


def run_record_path(events_path: Path, number: int = 1) -> Path:
    """Where the record of a run stands: events.jsonl -> events.run.json, events.run-2.json."""
    numbered = "" if number == 1 else f"-{number}"
    return events_path.with_name(f"{events_path.stem}.run{numbered}.json")


def run_record_text(record: Mapping[str, Any]) -> str:
    """The record of a run as JSON; addresses in it are redacted, and its values are turned into those of JSON."""
    plain = json.loads(json.dumps(record, default=_to_json, allow_nan=False))
    return json.dumps(redacted_record(plain), indent=2) + "\n"


def write_run_record(events_path: Path, record: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write the record of a run beside its events, whole or not at all.

    Args:
        events_path: the event file, existing or not.
        overwrite: whether an earlier record may be replaced; otherwise this one gets a number (events.run-2.json).
        record: versions, model, runtime, settings, counts, timings. Addresses in it are redacted; paths, fractions,
            enums and NumPy numbers are turned into JSON's.

    Returns:
        The path that was written.

    Raises:
        WriteError: it could not be written.
    """
    text = run_record_text(record)
    for number in count(1):
        target = run_record_path(events_path, number)
        try:
            with (
                write_errors(target),
                replacing(target, private=True, overwrite=overwrite) as partial,
                partial.open("w", encoding="utf-8", newline="\n") as file,
            ):
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except WriteError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
            log.warning("%s was made by others meanwhile; the record of this run gets another name", target)
            continue
        return target
    raise AssertionError


def _to_json(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"a run record cannot hold {type(value).__name__}: {value!r}")
