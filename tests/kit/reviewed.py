"""Results of a study without detections, made in no time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.reading.digests import quick_digest
from stream.sources.opening import open_source


def make_results(results: Path, procedures: Mapping[str, Sequence[Path]]) -> Path:
    """Writes the event lines and the run record of procedures in which nothing was found.

    Args:
        results: folder to write to.
        procedures: recordings by the name of their procedure.
    """
    for name, paths in procedures.items():
        lines: list[dict[str, Any]] = []
        recordings: list[dict[str, Any]] = []
        start_s = 0.0
        for number, path in enumerate(paths):
            with open_source(path) as source:
                info = source.info
                times_s = [frame.time_s for frame in source]
                end_s = float(source.end_s or times_s[-1])
            lines += [
                {
                    "frame": len(lines) + place,
                    "time_s": round(start_s + time_s, 6),
                    "recording": number,
                    "field_of_view_xyxy": [0, 0, *info.resolution_wh],
                    "detections": [],
                }
                for place, time_s in enumerate(times_s)
            ]
            recordings.append(
                {
                    "name": path.name,
                    "path": str(path),
                    "start_s": start_s,
                    "duration_s": end_s,
                    "frames": len(times_s),
                    "size_bytes": path.stat().st_size,
                    "sha256": quick_digest(path),
                    "source": {"kind": "video", "resolution_wh": list(info.resolution_wh), "stream": info.stream},
                }
            )
            start_s += end_s
        folder = results / name
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        record = {"procedure": name, "source": recordings[0]["source"], "recordings": recordings, "settings": {}}
        (folder / "run.json").write_text(json.dumps({**record, "counts": {"frames": len(lines)}}))
    return results
