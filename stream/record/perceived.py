"""What an earlier run perceived, read back from its event lines, so that it can be decided anew without the video."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from engine.errors import InputError
from stream.frame import Detection, FieldOfView, Frame, FrameResult
from stream.record.event_sink import run_record_path

# Times in event lines are rounded to a microsecond.
_ALIKE_S = 1e-5
_NO_IMAGE = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Perceived:
    """Event lines with candidates.

    Attributes:
        path: of the lines; packed by gzip where it ends in .gz.
        floor: score down to which they hold candidates, 0 to 1.
        record: of the run that wrote them.
    """

    path: Path
    floor: float
    record: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Perceived:
        """Check that there is something to read.

        Raises:
            InputError: there are no event lines, they hold no candidates, or the record of their run is missing.
        """
        record_path = run_record_path(path)
        try:
            with path.open(encoding="utf-8") as file:
                first = file.readline()
            record = json.loads(record_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise InputError(
                f"cannot decide anew from {str(path)!r}: {said}; it takes event lines and, beside them, the record "
                f"{record_path.name!r} of their run"
            ) from error
        floor = record.get("candidates_from") if isinstance(record, dict) else None
        if not isinstance(floor, (int, float)) or "candidates" not in _line(path, 1, first):
            raise InputError(
                f"{str(path)!r} holds no candidates; make it with `polypstream detect SOURCE --events OUT.jsonl "
                "--candidates`"
            )
        return cls(path, float(floor), record)

    def check_floor(self, needed: float, threshold: float) -> None:
        """Raises InputError unless candidates go down far enough for a rule."""
        if needed < self.floor:
            raise InputError(
                f"{str(self.path)!r} holds candidates from {self.floor:.3g} on, and threshold {threshold:g} needs them "
                f"from {needed:.3g} on; detect again with --threshold {threshold:g} --candidates"
            )

    def results(self) -> Iterator[FrameResult]:
        """Every frame as it was perceived, in order, without its picture.

        Raises:
            InputError: a line that is cut off, no event, or out of order.
        """
        return (result for _, result in self.lines())

    def lines(self) -> Iterator[tuple[Mapping[str, Any], FrameResult]]:
        """Every line, with what it says; otherwise as `results`."""
        with _opened(self.path) as file:
            for number, text in enumerate(file, start=1):
                event = _line(self.path, number, text)
                result = _result(self.path, number, event)
                if result.frame.index != number - 1:
                    raise InputError(
                        f"line {number} of {str(self.path)!r} tells of frame {result.frame.index}, not {number - 1}; "
                        "lines are missing or mixed: detect again"
                    )
                yield event, result


def laid_on(frames: Iterator[Frame], perceived: Perceived) -> Iterator[FrameResult]:
    """The frames of a source with what was perceived in them.

    Args:
        frames: of the source.
        perceived: by an earlier run over the same source.

    Raises:
        InputError: it was perceived in another video.
    """
    results = perceived.results()
    index = -1
    for index, frame in enumerate(frames):
        result = next(results, None)
        if result is None or abs(result.frame.time_s - frame.time_s) > _ALIKE_S:
            what = "ends before it" if result is None else f"has {result.frame.time_s:.3f} s"
            raise InputError(
                f"{str(perceived.path)!r} is of another video: frame {index} is at {frame.time_s:.3f} s, and the event "
                f"line {what}; give the video that it was made from"
            )
        yield FrameResult(frame, result.field_of_view, candidates=result.candidates, useful=result.useful)
    if next(results, None) is not None:
        raise InputError(
            f"{str(perceived.path)!r} is of another video: it tells of more than the {index + 1} frames of this one; "
            "give the video that it was made from"
        )


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _line(path: Path, number: int, text: str) -> Mapping[str, Any]:
    try:
        event = json.loads(text)
    except ValueError as error:
        raise InputError(
            f"line {number} of {str(path)!r} is cut off or no JSON; remove it and what follows, or detect again"
        ) from error
    if not isinstance(event, dict):
        raise InputError(f"line {number} of {str(path)!r} is no event; give lines that `polypstream detect` wrote")
    return event


def _result(path: Path, number: int, event: Mapping[str, Any]) -> FrameResult:
    try:
        left, top, right, bottom = (int(side) for side in event["field_of_view_xyxy"])
        candidates = tuple(_candidate(one) for one in event["candidates"])
        frame = Frame(
            index=int(event["frame"]),
            pts=Fraction(event["time_s"]).limit_denominator(10**6),
            image=_NO_IMAGE,
            captured_s=0.0,
            name=event.get("image"),
            page=event.get("page"),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"line {number} of {str(path)!r} is no event with candidates ({error!r}); detect again with --candidates"
        ) from error
    field = FieldOfView((left, top, right, bottom), has_picture=right > left and bottom > top)
    return FrameResult(frame, field, candidates=candidates, useful=event.get("useful") is not False)


def _candidate(record: Mapping[str, Any]) -> Detection:
    x1, y1, x2, y2 = (float(side) for side in record["box_xyxy"])
    return Detection((x1, y1, x2, y2), float(record["score"]), str(record["label"]))
