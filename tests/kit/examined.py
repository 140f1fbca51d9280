"""Procedures for tests: the rendered sample clip with event lines as `polypstream detect --candidates` writes them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.reading.digests import quick_digest

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "examples" / "colon.mp4"
_RESOLUTION = (640, 480)
_FIELD = [102, 14, 621, 466]
_FRAMES = 500
_STEP_S = 0.04

Change = Callable[[dict[str, Any]], object]


def examined_clip(
    folder: Path,
    *,
    frames: int = _FRAMES,
    track_of: Callable[[int, int], int | None] = lambda polyp, frame: polyp,
    change: Change = lambda event: None,
) -> Path:
    """Writes a copy of the sample clip, events of it by its ground truth, and their run record.

    Args:
        folder: to write to.
        frames: that were looked at; the clip has 500.
        track_of: number of the track that a polyp has in a frame; None where it is not detected.
        change: of each event, before it is written.

    Returns:
        Path of the event lines.
    """
    recording = folder / "colon.mp4"
    shutil.copy(CLIP, recording)
    events = folder / "exam.jsonl"
    write_events(events, clip_events(frames, track_of), change)
    write_record(events.with_suffix(".run.json"), recording, frames)
    return events


def examined_cut(folder: Path, frames: int, **more: Any) -> Path:
    """As `examined_clip`, of a recording that has no more frames than that; the pictures are those of the clip."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    events = examined_clip(folder, frames=frames, **more)
    recording = folder / "colon.mp4"
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(CLIP), "-frames:v", str(frames), "-c", "copy", "-an"]
    subprocess.run([*command, str(recording)], check=True)
    write_record(events.with_suffix(".run.json"), recording, frames)
    return events


def clip_events(
    frames: int, track_of: Callable[[int, int], int | None] = lambda polyp, frame: polyp
) -> Iterator[dict[str, Any]]:
    """Event lines of the sample clip by its ground truth."""
    lines = (CLIP.with_suffix(".truth.jsonl")).read_text(encoding="utf-8").splitlines()
    truth = {line["frame"]: line["polyps"] for line in map(json.loads, lines)}
    for frame in range(frames):
        seen = [
            {"box_xyxy": one["box_xyxy"], "score": 0.9, "label": "polyp", "track_id": track}
            for one in truth.get(frame, [])
            if (track := track_of(one["id"], frame)) is not None
        ]
        yield {
            "frame": frame,
            "time_s": round(frame * _STEP_S, 6),
            "field_of_view_xyxy": _FIELD,
            "detections": seen,
            "candidates": [],
        }


def write_events(path: Path, events: Iterator[dict[str, Any]], change: Change = lambda event: None) -> None:
    """Writes event lines."""
    with path.open("w", encoding="utf-8") as file:
        for event in events:
            change(event)
            file.write(json.dumps(event) + "\n")


def run_record(recording: Path, frames: int = _FRAMES, **more: Any) -> dict[str, Any]:
    """A run record of the sample clip."""
    return {
        "outcome": "finished",
        "started": "2026-01-02T03:04:05+00:00",
        "versions": {"python": "3.11", "polypstream": "0.1.0"},
        "source": {"kind": "video", "path": str(recording), "duration_s": _FRAMES * _STEP_S, "stream": 0}
        | {"resolution_wh": list(_RESOLUTION)},
        "counts": {"frames": frames},
        "source_file": {"size_bytes": recording.stat().st_size, "sha256": quick_digest(recording)},
        "model": {"name": "unknown", "folder": "nowhere", "networks": {}, "files": {"model.json": "ab" * 32}},
        "decided_by": "cd" * 32,
        "settings": {"threshold": 0.7},
        **more,
    }


def write_record(path: Path, recording: Path, frames: int = _FRAMES, **more: Any) -> None:
    """Writes a run record of the sample clip."""
    path.write_text(json.dumps(run_record(recording, frames, **more)), encoding="utf-8")


def examined_parts(folder: Path, *, parts: int = 2, **more: Any) -> Path:
    """Writes the folder of a procedure of several recordings, each a copy of the sample clip, as studies do.

    Args:
        folder: to write to; the recordings lie in `recordings` below it, the procedure in `exam-17`.
        parts: how many recordings.
        more: entries of the record.

    Returns:
        The procedure's folder.
    """
    procedure = folder / "exam-17"
    procedure.mkdir(parents=True)
    (folder / "recordings").mkdir()
    recordings: list[Mapping[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for part in range(parts):
        path = folder / "recordings" / f"exam17_{part + 1:03d}.mp4"
        shutil.copy(CLIP, path)
        start_s = part * _FRAMES * _STEP_S
        for event in clip_events(_FRAMES, lambda polyp, frame, part=part: polyp + 10 * part):  # type: ignore[misc]
            event["time_s"] = round(event["time_s"] + start_s, 6)
            lines.append({**event, "frame": event["frame"] + part * _FRAMES, "recording": part})
        recordings.append(
            {
                "name": path.name,
                "path": str(path),
                "start_s": start_s,
                "duration_s": _FRAMES * _STEP_S,
                "frames": _FRAMES,
                "size_bytes": path.stat().st_size,
                "sha256": quick_digest(path),
                "source": {"stream": 0},
            }
        )
    write_events(procedure / "events.jsonl", iter(lines))
    first = folder / "recordings" / "exam17_001.mp4"
    write_record(procedure / "run.json", first, procedure="exam-17", recordings=recordings, **more)
    return procedure


def findings_of(report: Path) -> Sequence[Mapping[str, Any]]:
    """Findings of a written `report.json`."""
    found: Sequence[Mapping[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["findings"]
    return found
