"""`OUT.deid.json`: what was done to a file, for those who answer for its release. It quotes no word and no name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.files import write_text
from engine.reading.bounded import MALFORMED, read_json_bounded
from stream.hospital.deidentify.looking.regions import Region, Stretch
from stream.hospital.deidentify.planning import Item

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to one file.

    Attributes:
        frames: how many it has.
        resolution_wh: of the first one, in pixels.
        regions: that are covered inside the field of view.
        black: frames that are black as a whole: outside the body, doubtful, or without field of view.
        dropped: names of what stood beside the pictures.
        notes: what else a person should know.
    """

    frames: int
    resolution_wh: tuple[int, int]
    regions: tuple[Region, ...]
    black: tuple[Stretch, ...]
    dropped: tuple[str, ...]
    notes: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def black_frames(self) -> int:
        """How many frames are black as a whole."""
        return sum(one.last - one.first + 1 for one in self.black)

    def __str__(self) -> str:
        """In one line."""
        parts = [f"{self.frames} frames, {self.black_frames} of them black"]
        parts += [f"{len(self.regions)} regions covered"] if self.regions else []
        parts += [f"{len(self.dropped)} pieces of metadata dropped"] if self.dropped else []
        return "; ".join([*parts, *self.notes])


def write_record(item: Item, done: Done, *, settings: dict[str, Any], source_digest: str, output_digest: str) -> None:
    """Writes the record of a file that is finished.

    Raises:
        WriteError: it cannot be written.
    """
    from stream.record.recording import library_versions

    record = {
        "version": _VERSION,
        "kind": item.kind.value,
        "frames": done.frames,
        "resolution_wh": list(done.resolution_wh),
        "regions": [
            {"box_xyxy": list(one.box_xyxy), "first": one.first, "last": one.last, "reason": one.reason.value}
            for one in done.regions
        ],
        "black": [{"first": one.first, "last": one.last} for one in done.black],
        "black_frames": done.black_frames,
        "dropped": list(done.dropped),
        "notes": list(done.notes),
        **done.more,
        "settings": settings,
        "versions": library_versions(),
        "source": {"sha256_of_ends_and_size": source_digest},
        "output": {"sha256": output_digest},
    }
    write_text(item.record, json.dumps(record, indent=1) + "\n", what="record", private=True)


def is_done(item: Item, *, settings: dict[str, Any], source_digest: str) -> bool:
    """Whether a file was finished before, from the same source and with the same settings."""
    if not item.output.is_file():
        return False
    try:
        record = read_json_bounded(item.record)
        same: bool = record["settings"] == settings and record["source"]["sha256_of_ends_and_size"] == source_digest
    except (OSError, *MALFORMED):
        return False
    return same


def record_of(output: Path) -> dict[str, Any]:
    """The record of an output; nothing where there is none that can be read."""
    from stream.hospital.deidentify.planning import record_path

    try:
        record = read_json_bounded(record_path(output))
    except (OSError, *MALFORMED):
        return {}
    return record if isinstance(record, dict) else {}
