"""One recording of a study, looked at, and what was perceived put into the store of the results."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.files import replacing, write_errors
from stream.record.recording import Models, Opened, Outcome, RecordingSettings, detect_recording
from stream.study.tasks import PerceiveTask

STORE = ".perceived"
"""Folder in the results that keeps what was perceived."""

_REMEDY = "free space, and run the same command again"


def lines_path(store: Path, key: str) -> Path:
    """Where the event lines of what was perceived are kept."""
    return store / f"{key}.jsonl.gz"


def record_path(store: Path, key: str) -> Path:
    """Where the record of the run that perceived it is kept. It is written last: where it is, all is."""
    return store / f"{key}.run.json"


def is_perceived(store: Path, key: str) -> bool:
    """Whether something is kept under this key."""
    return record_path(store, key).is_file() and lines_path(store, key).is_file()


def stored_result(store: Path, key: str) -> dict[str, Any] | None:
    """What `perceive` returned when it stored something under this key; None where nothing usable is stored."""
    if not is_perceived(store, key):
        return None
    try:
        record = perceived_record(store, key)
        return {
            "frames": int(record["counts"]["frames"]),
            "duration_s": record["end_s"],
            "seconds": record["timings"]["seconds"],
            "remark": record["error"],
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def perceived_record(store: Path, key: str) -> dict[str, Any]:
    """The record of the run that perceived something. Raises OSError or ValueError when it cannot be read."""
    record: dict[str, Any] = json.loads(record_path(store, key).read_text(encoding="utf-8"))
    return record


def perceive(
    task: PerceiveTask,
    settings: RecordingSettings,
    models: Models,
    scratch: Path,
    on_progress: Callable[[float], None],
) -> Mapping[str, Any]:
    """Looks at a recording, unless somebody has stored the same before: a worker may end before it can say so.

    Args:
        task: what is to be done.
        settings: how recordings are looked at; source and events are those of the task.
        models: of these settings.
        scratch: empty folder of its own for the time of the work.
        on_progress: told how many seconds of the video were looked at, from another thread.

    Returns:
        frames, duration_s, seconds that it took, and `remark`: what is wrong with the recording, None for nothing.

    Raises:
        PolypstreamError: it failed; nothing of it is in the store.
    """
    stored = stored_result(task.store, task.key)
    if stored is not None:
        return stored
    events = scratch / "events.jsonl"
    frames, rate = 0, 25.0

    def on_open(opened: Opened) -> None:
        nonlocal rate
        rate = float(opened.info.average_rate or 1 / (opened.info.step_s or 1 / 25))

    def count(finished: int) -> None:
        nonlocal frames
        frames += finished
        on_progress(frames / rate)

    result = detect_recording(
        replace(settings, source=str(task.recording), events=events, candidates=True, span=task.span),
        models=models,
        on_open=on_open,
        on_progress=count,
    )
    if result.outcome is not Outcome.FINISHED:
        raise result.error or RunError(f"{task.recording}: ended before its end; run the same command again")
    written = result.files[-1]
    _store(events, written, task)
    stored = stored_result(task.store, task.key)
    if stored is None:
        raise RunError(f"what was perceived in {task.recording} was removed by others; run the same command again")
    return stored


def _store(events: Path, record: Path, task: PerceiveTask) -> None:
    target = lines_path(task.store, task.key)
    with (
        write_errors(target, remedy=_REMEDY),
        replacing(target, private=True) as partial,
        events.open("rb") as lines,
        partial.open("wb") as raw,
    ):
        with gzip.GzipFile(filename="", mode="wb", compresslevel=5, fileobj=raw, mtime=0) as packed:
            shutil.copyfileobj(lines, packed)
        raw.flush()
        os.fsync(raw.fileno())
    with write_errors(record_path(task.store, task.key), remedy=_REMEDY):
        record.replace(record_path(task.store, task.key))
