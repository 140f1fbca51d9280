"""All frames of a procedure as a table for statistics: Apache Parquet, a row for each frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import WriteError
from engine.files import replacing, write_errors
from stream.frame import PictureState
from stream.procedure.reading import EVENTS
from stream.study.extras.wanted import FRAMES

if TYPE_CHECKING:
    import pyarrow

_ROWS = 20_000  # that are held at once
_REMEDY = "free space, and run the same command again"


def write_frames_table(folder: Path, *, procedure: str, on_step: Callable[[], object]) -> Path:
    """Writes `frames.parquet` of a procedure's folder, whole or not at all.

    Columns: `procedure`, `recording` (its number in the procedure, from 0), `frame` and `time_s` (in the procedure),
    `state` (`PictureState`), `useful`, `instrument` (probability that the frame shows one; null where nobody looked),
    `best_score` (of the candidates; null where there is none), and `boxes`: what was shown, each with `x1`, `y1`, `x2`,
    `y2` (pixels), `score`, `label`, `track_id`, `between`.

    Args:
        folder: of the procedure; its event lines are read.
        procedure: its name.
        on_step: called again and again while the work goes on.

    Raises:
        WriteError: it cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    schema, target = _schema(), folder / FRAMES
    with (
        write_errors(target, remedy=_REMEDY),
        (folder / EVENTS).open(encoding="utf-8") as lines,
        replacing(target, private=True) as partial,
    ):
        try:
            with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
                rows = (_row(json.loads(line), procedure) for line in lines)
                while group := list(islice(rows, _ROWS)):
                    writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
                    on_step()
        except pyarrow.ArrowException as error:
            raise WriteError(f"cannot write {target}: {error}; {_REMEDY}") from error
    return target


def _row(event: Mapping[str, Any], procedure: str) -> dict[str, Any]:
    boxes = [
        {
            **dict(zip(("x1", "y1", "x2", "y2"), one["box_xyxy"], strict=True)),
            **{name: one[name] for name in ("score", "label", "track_id")},
            "between": one.get("between") is True,
        }
        for one in event["detections"]
    ]
    return {
        "procedure": procedure,
        "recording": event["recording"],
        "frame": event["frame"],
        "time_s": event["time_s"],
        "state": event.get("state", PictureState.USEFUL.value),
        "useful": event.get("useful") is not False,
        "instrument": event.get("instrument"),
        "best_score": max((one["score"] for one in event["candidates"]), default=None),
        "boxes": boxes,
    }


def _schema() -> pyarrow.Schema:
    from pyarrow import bool_, dictionary, field, float32, float64, int16, int32, int64, list_, schema, string, struct

    box = [
        *(field(side, float32(), nullable=False) for side in ("x1", "y1", "x2", "y2")),
        field("score", float32(), nullable=False),
        field("label", string(), nullable=False),
        field("track_id", int32()),
        field("between", bool_(), nullable=False),
    ]
    return schema(
        [
            field("procedure", dictionary(int32(), string()), nullable=False),
            field("recording", int16(), nullable=False),
            field("frame", int64(), nullable=False),
            field("time_s", float64(), nullable=False),
            field("state", dictionary(int32(), string()), nullable=False),
            field("useful", bool_(), nullable=False),
            field("instrument", float32()),
            field("best_score", float32()),
            field("boxes", list_(struct(box)), nullable=False),
        ]
    )
